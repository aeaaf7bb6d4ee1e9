"""What a client demands of the answer to its Request, besides the path."""

from __future__ import annotations

from nsmproto.connection_pb2 import Connection, Mechanism

from .checks import require
from .onward import check_addresses


def check_answer(answer: Connection, sent: Connection, preference: Mechanism, what: str) -> bool:
    mechanism = answer.mechanism
    wanted = sent.mechanism if sent.mechanism.type else preference
    good = require(
        (mechanism.cls, mechanism.type) == (wanted.cls, wanted.type),
        f"{what}: mechanism {mechanism.cls}/{mechanism.type}, not {wanted.cls}/{wanted.type}",
    )
    for key, value in preference.parameters.items():
        have = mechanism.parameters.get(key)
        good &= require(have == value, f"{what}: the mechanism's {key} is {have!r}, we sent {value!r}")
    require(answer.network_service == sent.network_service, f"{what}: it is of service {answer.network_service!r}")
    good &= require(answer.network_service_endpoint_name, f"{what}: it names no endpoint")
    require(answer.payload in ("IP", "ETHERNET"), f"{what}: payload {answer.payload!r}")
    require(sent.labels.items() <= answer.labels.items(), f"{what}: labels of ours are missing")
    require(answer.state == 0, f"{what}: state {answer.state}, not UP")
    for position, segment in enumerate(answer.path.path_segments):
        ours = sent.path.path_segments[position].metrics.items() if position == 0 else ()
        require(set(ours) <= set(segment.metrics.items()), f"{what}: metrics of our segment are missing")
    return good & check_addresses(answer, what)


def check_refreshed(answer: Connection, before: Connection, what: str) -> None:
    """A refresh that nobody had a reason for must change nothing that carries traffic."""
    old, new = before.path.path_segments[1], answer.path.path_segments[1]
    if old.name == new.name:
        require(old.id == new.id, f"{what}: a refresh changed the id of the server's segment")
    if before.network_service_endpoint_name != answer.network_service_endpoint_name:
        return
    for side in ("src_ip_addrs", "dst_ip_addrs"):
        had, has = list(getattr(before.context.ip_context, side)), list(getattr(answer.context.ip_context, side))
        require(sorted(had) == sorted(has), f"{what}: a refresh changed {side} from {had} to {has}")
    segments = zip(before.path.path_segments, answer.path.path_segments, strict=False)
    for position, (earlier, later) in enumerate(segments):
        require(
            later.expires.seconds >= earlier.expires.seconds,
            f"{what}: a refresh moved `expires` of segment {position} back",
        )
