"""Messages that are right but for what an order says: texts in protobuf's text format, masses, forged tokens, paths."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from google.protobuf import text_format
from google.protobuf.message import Message
from nsmproto.connection_pb2 import Connection, Mechanism, PathSegment
from nsmproto.connectioncontext_pb2 import DNSConfig, ExtraPrefixRequest, IpNeighbor, PolicyRoute, Route
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from .. import tokens
from ..rpc import Channel
from ..tokens import SECOND

Order = dict[str, Any]


def address(number: int) -> str:
    """One of sixteen million in 10.0.0.0/8."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _mass(connection: Connection) -> dict[str, Callable[[int], object]]:
    """How one more of each kind is added."""
    context, ip = connection.context, connection.context.ip_context
    return {
        "src_ip_addrs": lambda i: ip.src_ip_addrs.append(f"{address(i)}/32"),
        "dst_ip_addrs": lambda i: ip.dst_ip_addrs.append(f"{address(i)}/32"),
        "excluded_prefixes": lambda i: ip.excluded_prefixes.append(f"{address(i)}/32"),
        "extra_prefixes": lambda i: ip.extra_prefixes.append(f"{address(i)}/32"),
        "src_routes": lambda i: ip.src_routes.append(Route(prefix=f"{address(i)}/32")),
        "dst_routes": lambda i: ip.dst_routes.append(Route(prefix=f"{address(i)}/32")),
        "ip_neighbors": lambda i: ip.ip_neighbors.append(
            IpNeighbor(ip=address(i), hardware_address=f"02:00:00:{i >> 16 & 255:02x}:{i >> 8 & 255:02x}:{i & 255:02x}")
        ),
        "policies": lambda i: ip.policies.append(PolicyRoute(proto="6", dst_port=str(1 + i % 65000))),
        "extra_prefix_request": lambda i: ip.extra_prefix_request.append(
            ExtraPrefixRequest(prefix_len=24, required_number=1, requested_number=1)
        ),
        "labels": lambda i: connection.labels.update({f"label-{i}": "x"}),
        "extra_context": lambda i: context.extra_context.update({f"key-{i}": "x"}),
        "dns": lambda i: context.dns_context.configs.append(DNSConfig(dns_server_ips=[address(i)])),
        "segments": lambda i: connection.path.path_segments.append(PathSegment(name=f"hop-{i}", id=f"hop-{i}")),
        "metrics": lambda i: connection.path.path_segments[0].metrics.update({f"metric-{i}": "x"}),
    }


def fill(connection: Connection, masses: dict[str, int]) -> None:
    for kind, count in masses.items():
        add = _mass(connection)[kind]
        for number in range(count):
            add(number)


def forge(how: str, subject: str, audience: list[str], channel: Channel, lifetime: float = 600) -> str:
    """A token in somebody's name: `none` without a signature, `stranger` with a new key, `own` with our real key."""
    end = tokens.now() + int(lifetime * SECOND)
    if how == "own":
        return tokens.sign(subject, audience, end, channel.identity.key)
    text = tokens.sign(subject, audience, end, ec.generate_private_key(ec.SECP256R1()))
    if how == "stranger":
        return text
    head = tokens._encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{head}.{text.split('.')[1]}."


def claiming(order: Order, channel: Channel) -> str:
    """Our own token, good but for what it claims."""
    claims = {
        "sub": order.get("subject", channel.identity.id),
        "exp": order.get("claim", tokens.now() // SECOND + 300),
        "aud": order.get("audience", [channel.peer.id]),
    }
    parts = [tokens._encode(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims)]
    signed = ".".join(parts)
    signature = channel.identity.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = utils.decode_dss_signature(signature)
    return f"{signed}.{tokens._encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def segment(order: Order, channel: Channel) -> PathSegment:
    """One of a path: its name, id, a token that is forged as `token` says in the name of `sub` for `aud`, its end."""
    made = PathSegment(name=order.get("name", ""), id=order.get("id", ""))
    if how := order.get("token"):
        made.token = forge(how, order["sub"], order.get("aud") or [channel.identity.id], channel)
        made.expires.CopyFrom(tokens.timestamp(tokens.now() + 600 * SECOND))
    text_format.Merge(order.get("text", ""), made)
    return made


def request(order: Order, channel: Channel, url: str) -> NetworkServiceRequest:
    """A Request. Its path has our segment alone, unless the order says otherwise."""
    name = order.get("name", "evil")
    connection = Connection(id=order.get("id", f"{name}-0"), network_service=order.get("service", ""))
    for part in order.get("path", [{"name": name, "id": connection.id}]):
        connection.path.path_segments.append(segment(part, channel))
    connection.path.index = order.get("index", 0)
    if connection.path.index < len(connection.path.path_segments):
        connection.id = connection.path.path_segments[connection.path.index].id
    connection.context.ip_context.SetInParent()
    made = NetworkServiceRequest(connection=connection)
    if url:
        parameters = {"name": order.get("interface", "evil-0"), "inodeURL": url}
        made.mechanism_preferences.append(Mechanism(cls="LOCAL", type="KERNEL", parameters=parameters))
    return spoil(made, order)


def spoil(message: Message, order: Order) -> Any:
    """Puts in what an order says of a whole message, and masses where it holds a connection."""
    for name in order.get("clear", ()):
        message.ClearField(name)
    text_format.Merge(order.get("text", ""), message)
    connection = getattr(message, "connection", message)
    if isinstance(connection, Connection):
        for place, text in order.get("segments", {}).items():
            text_format.Merge(text, connection.path.path_segments[int(place)])
        fill(connection, order.get("masses", {}))
    return message
