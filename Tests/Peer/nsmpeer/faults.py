"""What a manager or endpoint can be told to do wrong, to see what its peers make of it."""

from __future__ import annotations

import time

from nsmproto.connection_pb2 import Connection

from . import tokens
from .identity import Identity, Peer
from .tokens import SECOND

NAMES = {
    "no-path-header": "registry answers lack the header `path`",
    "silent-monitor": "monitor streams never send anything",
    "no-expires": "our segment of an answer has no `expires`",
    "no-token": "our segment of an answer has no token",
    "wrong-audience": "our segment's token is for somebody else",
    "expired-token": "our segment's token has expired",
    "wrong-id": "an answer has another connection id",
    "no-descriptor": "the endpoint does not send its network namespace",
    "huge-answer": "an answer of 64 MiB",
    "slow-answer": "an answer takes 60 s",
    "no-answer": "every Request is refused with INTERNAL",
}


def spoil(answer: Connection, own: int, faults: set[str], identity: Identity, caller: Peer) -> None:
    """Makes an answer what `faults` ask for; `own` is the index of our segment."""
    segment = answer.path.path_segments[own]
    hour = tokens.now() + 3600 * SECOND
    if "no-expires" in faults:
        segment.ClearField("expires")
    if "no-token" in faults:
        segment.token = ""
    if "wrong-audience" in faults:
        segment.token = tokens.sign(identity.id, [f"{caller.id}-not"], hour, identity.key)
    if "expired-token" in faults:
        segment.token = tokens.sign(identity.id, [caller.id], tokens.now() - 60 * SECOND, identity.key)
        segment.expires.CopyFrom(tokens.timestamp(tokens.now() - 60 * SECOND))
    if "wrong-id" in faults:
        answer.id += "-not"
    if "huge-answer" in faults:
        answer.context.extra_context["filler"] = "x" * (64 << 20)
    if "slow-answer" in faults:
        time.sleep(60)
