"""A manager towards endpoints: which one, the connection to it, and what it must answer."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network

import grpc
from nsmproto import networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism, MonitorScopeSelector, PathSegment
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from . import descriptors, path
from .checks import Refused, deviation, log, require
from .identity import IdentitySource
from .monitor import MonitorStream, is_down
from .registry import Endpoint, Registry
from .rpc import FAILURES, Channel, reason, wait_until


@dataclass
class Leg:
    """An established connection to an endpoint: what it answered, with its network namespace."""

    endpoint: str
    connection: Connection  # at our segment, with the endpoint's mechanism
    namespace: int  # readable descriptor
    channel: Channel
    monitor: MonitorStream | None = None

    @property
    def interface(self) -> str:
        return self.connection.mechanism.parameters["name"]

    def free(self) -> None:
        if self.monitor:
            self.monitor.stop()
        os.close(self.namespace)


@dataclass
class Endpoints:
    """Everything that is needed to call endpoints of `registry`."""

    registry: Registry
    source: IdentitySource
    token_lifetime: int
    excluded: list[str]
    channels: dict[str, Channel] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    turns: dict[str, int] = field(default_factory=dict)

    def candidates(self, connection: Connection, last: str) -> list[str]:
        """Names of endpoints that may serve this, the next one in turn first, and `last` at the end."""
        service = self.registry.services.get(connection.network_service)
        with self.registry.lock:
            offering = {
                name: entry.labels(connection.network_service)
                for name, entry in self.registry.endpoints.items()
                if connection.network_service in entry.message.network_service_names
            }
        if connection.network_service_endpoint_name in offering:
            return [connection.network_service_endpoint_name]
        names = sorted(offering)
        for match in service.matches if service else ():
            if not match.source_selector.items() <= connection.labels.items():
                continue
            wanted = [_fill(route.destination_selector, connection.labels) for route in match.routes]
            names = sorted(name for name in offering if any(want.items() <= offering[name].items() for want in wanted))
            if not match.routes and match.HasField("metadata"):
                names = sorted(offering)
            if names or not match.fallthrough:
                break
        turn = self.turns[connection.network_service] = self.turns.get(connection.network_service, -1) + 1
        names = names[turn % len(names) :] + names[: turn % len(names)] if names else []
        return sorted(names, key=lambda name: name == last)

    def channel(self, entry: Endpoint) -> Channel:
        """A living connection to an endpoint, made with our newest identity."""
        name = entry.message.name
        with self.lock:
            old = self.channels.get(name)
            if old and old.alive and old.identity is self.source.newest():
                return old
            with self.registry.lock:
                current = self.registry.endpoints.get(name, entry)
                own = os.dup(current.descriptor) if current.descriptor is not None else -1
                url = f"unix:///proc/self/fd/{own}" if own >= 0 else current.url
            try:
                new = Channel(url, self.source, f"to {name}", 1.0, self.token_lifetime)
            finally:
                if own >= 0:
                    os.close(own)
            self.channels[name] = new
        if old and not old.alive:
            old.close()
        return new

    def request(self, name: str, connection: Connection, timeout: float, old: Leg | None) -> Leg:
        """Asks one endpoint. `connection` is at our segment; `old` is what a refresh continues."""
        entry = self.registry.endpoints.get(name)
        if not entry:
            raise Refused("NOT_FOUND", f"there is no endpoint {name}")
        channel = self.channel(entry)
        sent = Connection()
        sent.CopyFrom(connection)
        sent.network_service_endpoint_name = name
        sent.ClearField("mechanism")
        for prefix in self.excluded:
            if prefix not in sent.context.ip_context.excluded_prefixes:
                sent.context.ip_context.excluded_prefixes.append(prefix)
        if old and old.endpoint == name:
            sent.mechanism.CopyFrom(old.connection.mechanism)
            channel.link.descriptors.send(f"/proc/self/fd/{old.namespace}")
        preference = Mechanism(cls="LOCAL", type="KERNEL")
        request = NetworkServiceRequest(connection=sent, mechanism_preferences=[preference])
        token = channel.token()
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
        answer = stub.Request(request, timeout=timeout, metadata=channel.metadata(token))
        what = f"endpoint {name!r}: answer to Request"
        try:
            good = path.check_response(answer, sent, *token, channel.peer, what) & _check_answer(answer, sent, what)
            if not good:
                raise Refused("INTERNAL", f"{what} is not what the protocol asks for")
            namespace = channel.link.descriptors.take(answer.mechanism.parameters["inodeURL"], timeout, what)
            return Leg(name, answer, readable_namespace(namespace, what), channel)
        except Refused:
            if not old:
                self._call_close(channel, sent if not answer.path.path_segments else answer, None)
            raise

    def watch(self, leg: Leg, lost: Callable[[str], None]) -> None:
        """Calls `lost` when the endpoint says that the connection is down, or is no longer there to say anything."""
        segment = leg.connection.path.path_segments[leg.connection.path.index]
        selector = MonitorScopeSelector(path_segments=[PathSegment(id=segment.id, name=segment.name)])
        index = leg.connection.path.index

        def on_event(connection: Connection, deleted: bool) -> None:
            segments = connection.path.path_segments
            if is_down(connection, deleted) and len(segments) > index and segments[index].id == segment.id:
                lost("the endpoint says it is down")

        def on_end(code: grpc.StatusCode) -> None:
            if code != grpc.StatusCode.CANCELLED:
                lost(f"the endpoint's monitor stream ended with {code.name}")

        leg.monitor = MonitorStream(leg.channel, selector, index + 1, on_event, on_end)

    def close(self, leg: Leg) -> None:
        """Closes at the endpoint as well as can be. Twice, since a second one must be as good as the first."""
        try:
            entry = self.registry.endpoints.get(leg.endpoint)
            channel = leg.channel if leg.channel.alive or not entry else self.channel(entry)
        except FAILURES as error:
            log.info("close at %s: %s", leg.endpoint, reason(error))
            return
        if leg.monitor:
            leg.monitor.stop()
        if not self._call_close(channel, leg.connection, leg.namespace):
            again = self._call_close(channel, leg.connection, leg.namespace)
            check_second_close(again, channel, leg.connection, f"endpoint {leg.endpoint!r}")

    def _call_close(self, channel: Channel, connection: Connection, namespace: int | None) -> str:
        """Why it failed, or nothing."""
        try:
            if namespace is not None:
                channel.link.descriptors.send(f"/proc/self/fd/{namespace}")
            stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
            stub.Close(connection, timeout=5, metadata=channel.metadata())
            return ""
        except FAILURES as error:
            log.info("close at %s: %s", channel.link.name, reason(error))
            return reason(error)


def check_second_close(failure: str, channel: Channel, connection: Connection, what: str) -> None:
    """A second Close is as good as the first, unless tokens of the path, or who was asked, have ended meanwhile."""
    # Our own token is a new one in each call.
    ends = [segment.expires.seconds for segment in connection.path.path_segments[: connection.path.index]]
    if failure and min(ends, default=time.time() + 1) > time.time() and not wait_until(lambda: not channel.alive, 2):
        require(False, f"{what}: a second Close of one connection failed: {failure}")


def _fill(selector: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    """Values such as {{.app}} stand for the client's label of that name."""
    filled = {}
    for key, value in selector.items():
        if value.startswith("{{") and value.endswith("}}"):
            value = labels.get(value.strip("{} ").removeprefix("."), "")
        filled[key] = value
    return filled


def readable_namespace(descriptor: int, what: str) -> int:
    """The same namespace for setns and ip. Takes the given descriptor over."""
    try:
        if not descriptors.is_network_namespace(descriptor):
            deviation(f"{what}: the descriptor is no network namespace")
            raise Refused("INVALID_ARGUMENT", f"{what}: the descriptor is no network namespace")
        return descriptors.reopen(descriptor)
    finally:
        os.close(descriptor)


def check_addresses(connection: Connection, what: str) -> bool:
    """What a context says must be addresses, and none of those that were excluded."""
    context = connection.context.ip_context
    good = True
    excluded = [ip_network(prefix, strict=False) for prefix in context.excluded_prefixes]
    for text in (*context.src_ip_addrs, *context.dst_ip_addrs):
        try:
            address = ip_interface(text)
        except ValueError:
            good = require(False, f"{what}: {text!r} is no address with a prefix length")
            continue
        require("/" in text, f"{what}: the address {text} has no prefix length")
        for net in excluded:
            if net.version == address.version and net.prefixlen == net.max_prefixlen:
                good &= require(address.ip not in net, f"{what}: the address {text} is excluded by {net}")
    for route in (*context.src_routes, *context.dst_routes):
        try:
            ip_network(route.prefix)
        except ValueError:
            good = require(False, f"{what}: the route to {route.prefix!r} is none")
    return good


def _check_answer(answer: Connection, sent: Connection, what: str) -> bool:
    mechanism = answer.mechanism
    good = require(
        (mechanism.cls, mechanism.type) == ("LOCAL", "KERNEL"), f"{what}: mechanism {mechanism.cls}/{mechanism.type}"
    )
    name = mechanism.parameters.get("name", "")
    good &= require(0 < len(name.encode()) <= 15, f"{what}: the interface name is {name!r}")
    require(answer.network_service == sent.network_service, f"{what}: it is of service {answer.network_service!r}")
    require(
        answer.network_service_endpoint_name == sent.network_service_endpoint_name,
        f"{what}: it is of endpoint {answer.network_service_endpoint_name!r}",
    )
    require(answer.payload == sent.payload, f"{what}: payload {answer.payload!r} instead of {sent.payload!r}")
    require(sent.labels.items() <= answer.labels.items(), f"{what}: labels of the client are missing")
    require(answer.state == 0, f"{what}: state {answer.state}, not UP")
    return good & check_addresses(answer, what)
