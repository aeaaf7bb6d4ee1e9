"""The path of a connection: one segment for each component that a request passed, each with its token."""

from __future__ import annotations

import uuid

from nsmproto.connection_pb2 import Connection, PathSegment

from . import tokens
from .checks import Refused, deviation, require
from .identity import Identity, Peer
from .tokens import SECOND, Token, TokenError


def own_token(identity: Identity, peer: Peer, lifetime: int) -> tuple[str, int]:
    """A token for `peer`, and what is said of its end outside of it. `lifetime` in nanoseconds."""
    end = min(tokens.now() + lifetime, identity.not_after)
    return tokens.sign(identity.id, [peer.id], end, identity.key), min(end, peer.not_after)


def start_client(connection: Connection, name: str) -> None:
    """The first component of all: a segment of its own at index 0."""
    if not connection.path.path_segments:
        connection.path.path_segments.add(name=name, id=connection.id)
    connection.path.index = 0
    connection.id = connection.path.path_segments[0].id


def check_form(connection: Connection, what: str) -> bool:
    """What must hold for every path, whoever sends it."""
    segments, index = connection.path.path_segments, connection.path.index
    if not require(segments, f"{what}: the path is empty"):
        return False
    if not require(index < len(segments), f"{what}: path index {index} of {len(segments)} segments"):
        return False
    require(
        segments[index].id == connection.id,
        f"{what}: the connection's id is {connection.id!r}, segment {index} has {segments[index].id!r}",
    )
    for position, segment in enumerate(segments):
        require(segment.name, f"{what}: segment {position} has no name")
        require(segment.id, f"{what}: segment {position} has no id")
        if position:
            require(
                segment.name != segments[position - 1].name, f"{what}: two adjacent segments are named {segment.name!r}"
            )
    ids = [segment.id for segment in segments]
    require(len(set(ids)) == len(ids), f"{what}: one id in two segments: {ids}")
    return True


def enter_server(connection: Connection, name: str, what: str) -> int:
    """Makes the path point at us, who were called; returns our index."""
    if not check_form(connection, what):
        raise Refused("INVALID_ARGUMENT", f"{what}: the path is empty or its index is out of range")
    segments, index = connection.path.path_segments, connection.path.index
    if segments[index].id != connection.id:
        raise Refused("INVALID_ARGUMENT", f"{what}: segment {index} is not the connection's")
    if segments[index].name == name:
        deviation(f"{what}: the caller is named {name!r}, as we are")
        raise Refused("INVALID_ARGUMENT", f"{what}: two adjacent components are named {name!r}")
    own = index + 1
    if own == len(segments):
        segments.add(name=name, id=str(uuid.uuid4()))
    elif segments[own].name != name:
        segments[own].name = name
        segments[own].id = str(uuid.uuid4())
    connection.path.index = own
    connection.id = segments[own].id
    return own


def put_tokens(
    connection: Connection, own: int, token: str, expires: int, identity: Identity, caller: Peer, lifetime: int
) -> None:
    """The caller's token into its segment, a token of ours for the caller into our own."""
    before, segment = connection.path.path_segments[own - 1], connection.path.path_segments[own]
    before.token = token
    before.expires.CopyFrom(tokens.timestamp(expires))
    segment.token, end = own_token(identity, caller, lifetime)
    segment.expires.CopyFrom(tokens.timestamp(end))


def leave_server(connection: Connection, own: int, trim: bool) -> None:
    """Makes the path point at the caller again. Who called nobody further is the last segment."""
    if trim:
        del connection.path.path_segments[own + 1 :]
    connection.path.index = own - 1
    connection.id = connection.path.path_segments[own - 1].id


def chain_faults(segments: list[PathSegment]) -> list[str]:
    """Why these tokens are no chain in which each names the next component as its audience."""
    faults: list[str] = []
    parsed: list[Token | None] = []
    for position, segment in enumerate(segments):
        try:
            token = tokens.parse(segment.token)
        except TokenError as error:
            faults.append(
                f"the token of segment {position} ({segment.name}) is none: {error}"
                if segment.token
                else f"segment {position} ({segment.name}) has no token"
            )
            parsed.append(None)
            continue
        parsed.append(token)
        if token.expires <= tokens.now():
            faults.append(
                f"the token of segment {position} ({segment.name}) expired at {tokens.rfc3339(token.expires)}"
            )
        faults += [f"the token of segment {position} ({segment.name}): {fault}" for fault in token.form_faults()]
        if not segment.HasField("expires"):
            faults.append(f"segment {position} ({segment.name}) has no `expires`")
        elif tokens.nanoseconds(segment.expires) // SECOND > token.expires // SECOND:
            faults.append(f"segment {position} ({segment.name}) says it ends after its token does")
        elif tokens.nanoseconds(segment.expires) <= tokens.now():
            faults.append(f"`expires` of segment {position} ({segment.name}) is in the past")
    for position, (earlier, following) in enumerate(zip(parsed, parsed[1:], strict=False)):
        if earlier and following and following.subject not in earlier.audience:
            faults.append(
                f"the token of segment {position} is for {earlier.audience}, the next one is {following.subject}'s"
            )
    return faults


def check_for_server(connection: Connection, own: int, caller: Peer, what: str) -> None:
    """The policies of a server: the chain up to itself, and the caller's token signed by the caller's certificate."""
    segments = list(connection.path.path_segments[: own + 1])
    faults = chain_faults(segments)
    for fault in faults:
        deviation(f"{what}: {fault}")
    if faults:
        raise Refused("PERMISSION_DENIED", f"{what}: {faults[0]}")
    if not tokens.parse(segments[own - 1].token).signed_by(caller.key):
        deviation(f"{what}: the caller's token is not signed with the key of its TLS certificate")
        raise Refused("PERMISSION_DENIED", f"{what}: the caller's token is not signed by its certificate")


def check_response(response: Connection, sent: Connection, token: str, expires: int, server: Peer, what: str) -> bool:
    """The policies of a client over what its request came back with, and that every hop did what it must."""
    own = sent.path.index
    if not check_form(response, what):
        return False
    segments = list(response.path.path_segments)
    good = require(response.path.index == own, f"{what}: path index {response.path.index}, ours is {own}")
    good &= require(response.id == sent.id, f"{what}: connection id {response.id!r}, ours is {sent.id!r}")
    if not require(len(segments) > own + 1, f"{what}: the path has no segment of the server"):
        return False
    for position in range(own + 1):
        before, after = sent.path.path_segments[position], segments[position]
        good &= require(
            (before.name, before.id) == (after.name, after.id),
            f"{what}: segment {position} was {before.name}/{before.id} and came back as {after.name}/{after.id}",
        )
    require(segments[own].token == token, f"{what}: our segment does not hold the token of our call")
    require(
        tokens.nanoseconds(segments[own].expires) == expires,
        f"{what}: our segment expires at {tokens.rfc3339(tokens.nanoseconds(segments[own].expires))}, "
        f"the call said {tokens.rfc3339(expires)}",
    )
    for fault in chain_faults(segments):
        good = require(False, f"{what}: {fault}")
    for position in range(own + 1, len(segments)):
        try:
            uuid.UUID(segments[position].id)
        except ValueError:
            deviation(f"{what}: the id of segment {position} is {segments[position].id!r}, not a UUID")
    return good and _check_ends(segments, own, server, what)


def _check_ends(segments: list[PathSegment], own: int, server: Peer, what: str) -> bool:
    next_token, last, before_last = (tokens.parse(segments[place].token) for place in (own + 1, -1, -2))
    good = require(
        next_token.signed_by(server.key),
        f"{what}: the token of segment {own + 1} is not signed by the server's certificate",
    )
    good &= require(
        next_token.subject == server.id,
        f"{what}: the token of segment {own + 1} is {next_token.subject}'s, the server is {server.id}",
    )
    return good & require(
        before_last.subject in last.audience,
        f"{what}: the last token is for {last.audience}, its caller is {before_last.subject}",
    )
