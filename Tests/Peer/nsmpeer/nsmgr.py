"""A manager as a stock one is: a registry, and a forwarder of somebody else that it puts between clients and endpoints.

It calls no endpoint and makes no interface. Managers of other hosts are reached by TCP: their registries tell of their
endpoints, and forwarders here call them.
"""

from __future__ import annotations

import os
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field

import grpc
from google.protobuf.empty_pb2 import Empty
from nsmproto import networkservice_pb2_grpc, registry_pb2, registry_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism, MonitorScopeSelector, PathSegment, State
from nsmproto.networkservice_pb2 import NetworkServiceRequest
from nsmproto.registry_pb2 import NetworkService, NetworkServiceEndpoint

from . import path, settings
from .checks import Refused, event, log, require
from .identity import IdentitySource
from .monitor import DELETE, UPDATE, MonitorServer, MonitorStream, is_down
from .onward import Endpoints, check_addresses, check_second_close
from .order import Turns
from .registry import Endpoint, Registry
from .rpc import FAILURES, Caller, Channel, Server, reason, served
from .tokens import SECOND


@dataclass
class Entry:
    """A connection that a forwarder made. `connection` is at our segment."""

    connection: Connection
    forwarder: str
    channel: Channel
    files: dict[str, int]  # namespaces of the client, by inode URL
    monitor: MonitorStream | None = None
    expires: int = 0
    timer: threading.Timer | None = None

    def free(self) -> None:
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files = {}


@dataclass
class _Others:
    """The registries of other hosts' managers."""

    urls: list[str]
    source: IdentitySource
    lifetime: int
    channels: dict[str, Channel] = field(default_factory=dict)

    def _channel(self, url: str) -> Channel:
        old = self.channels.get(url)
        if old and old.alive and old.identity is self.source.newest():
            return old
        self.channels[url] = Channel(url, self.source, f"to {url}", 1.0, self.lifetime)
        return self.channels[url]

    def endpoints(self, wanted: NetworkServiceEndpoint) -> list[NetworkServiceEndpoint]:
        found = []
        for url in self.urls:
            try:
                channel = self._channel(url)
                stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
                query = registry_pb2.NetworkServiceEndpointQuery(network_service_endpoint=wanted)
                answers = stub.Find(query, timeout=2, metadata=channel.metadata())
                found += [answer.network_service_endpoint for answer in answers]
            except FAILURES as error:
                log.info("registry of %s: %s", url, reason(error))
        return found

    def services(self, wanted: NetworkService) -> list[NetworkService]:
        found = []
        for url in self.urls:
            try:
                channel = self._channel(url)
                stub = registry_pb2_grpc.NetworkServiceRegistryStub(channel.grpc)
                query = registry_pb2.NetworkServiceQuery(network_service=wanted)
                answers = stub.Find(query, timeout=2, metadata=channel.metadata())
                found += [answer.network_service for answer in answers]
            except FAILURES as error:
                log.info("registry of %s: %s", url, reason(error))
        return found


class StockManager(networkservice_pb2_grpc.NetworkServiceServicer):
    """Forwards every request to a forwarder of this host."""

    def __init__(self, options: Namespace, source: IdentitySource) -> None:
        self._name = options.name
        self._lifetime = int(settings.duration(options.token_lifetime) * SECOND)
        self._service, self._excluded = options.forwarder_service, options.exclude
        self._turns, self._turn = Turns(), 0
        self._entries: dict[str, Entry] = {}
        health = {"networkservice.NetworkService", "connection.MonitorConnection"}
        health |= {"registry.NetworkServiceRegistry", "registry.NetworkServiceEndpointRegistry"}
        self.server = Server(options.listen, source, self._name, health)
        registration = int(settings.duration(options.registration_lifetime) * SECOND)
        self.registry = Registry(self.server, registration, self._lifetime, set())
        self.registry.shared_services = True
        if options.listen_remote:
            self.registry.public = self.server.listen_also(options.listen_remote)
        others = _Others(options.other, source, self._lifetime)
        self.registry.other_endpoints, self.registry.other_services = others.endpoints, others.services
        self._channels = Endpoints(self.registry, source, self._lifetime, [])
        self.registry.probe = self._channels.channel
        self._monitor = MonitorServer(self.server)
        networkservice_pb2_grpc.add_NetworkServiceServicer_to_server(self, self.server.grpc)

    @served
    def Request(self, request: NetworkServiceRequest, context: grpc.ServicerContext) -> Connection:
        connection, what = request.connection, f"Request of {request.connection.id!r}"
        caller = self.server.caller(context, what)
        with self._turns.turn(caller.peer.id, connection.id, context, what):
            own = path.enter_server(connection, self._name, what)
            path.put_tokens(connection, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(connection, own, caller.peer, what)
            timeout = context.time_remaining() or 15
            files = self._files(request, caller, timeout, what)
            began = time.monotonic()
            try:
                entry, created = self._ask(request, files, time.monotonic() + timeout * 0.9, what)
            except BaseException:
                for descriptor in files.values():
                    os.close(descriptor)
                raise
            self._settle(entry, caller)
            took = round(time.monotonic() - began, 4)
            event("connected" if created else "refreshed", connection=entry.connection, seconds=took)
            answer = Connection()
            answer.CopyFrom(entry.connection)
            path.leave_server(answer, own, trim=False)
            return answer

    def _files(self, request: NetworkServiceRequest, caller: Caller, timeout: float, what: str) -> dict[str, int]:
        """The namespaces that the request names, each once."""
        files: dict[str, int] = {}
        for mechanism in (*request.mechanism_preferences, request.connection.mechanism):
            url = mechanism.parameters.get("inodeURL", "")
            if url and url not in files:
                require(caller.link.unix, f"{what}: a namespace is named by TCP")
                files[url] = caller.link.descriptors.take(url, timeout, what)
        return files

    def _forwarders(self, connection: Connection) -> list[str]:
        """Those that fit; the one that the connection had comes first."""
        with self.registry.lock:
            names = sorted(
                name
                for name, entry in self.registry.endpoints.items()
                if self._service in entry.message.network_service_names
                and entry.labels(self._service).get("p2p") == "true"
            )
        if not names:
            return []
        self._turn += 1
        names = names[self._turn % len(names) :] + names[: self._turn % len(names)]
        following = connection.path.path_segments[connection.path.index + 1 :]
        last = following[0].name if following else ""
        return sorted(names, key=lambda name: name != last)

    def _ask(
        self, request: NetworkServiceRequest, files: dict[str, int], end: float, what: str
    ) -> tuple[Entry, bool]:
        """Takes `files` over when it succeeds. Says whether there was no such connection before."""
        for prefix in self._excluded:
            if prefix not in request.connection.context.ip_context.excluded_prefixes:
                request.connection.context.ip_context.excluded_prefixes.append(prefix)
        failures = []
        for name in self._forwarders(request.connection):
            entry = self.registry.endpoints.get(name)
            if not entry:
                continue
            try:
                channel, answer = self._request(name, entry, request, files, end, what)
            except FAILURES as error:
                failures.append(f"{name}: {reason(error)}")
                continue
            old = self._entries.get(answer.id)
            if old:
                if old.monitor:
                    old.monitor.stop()
                if old.timer:
                    old.timer.cancel()
                old.free()
            self._entries[answer.id] = Entry(answer, name, channel, files)
            return self._entries[answer.id], old is None
        raise Refused("UNAVAILABLE", f"{what}: {'; '.join(failures) or 'no forwarder is registered'}")

    def _request(
        self, name: str, entry: Endpoint, request: NetworkServiceRequest, files: dict[str, int], end: float, what: str
    ) -> tuple[Channel, Connection]:
        channel = self._channels.channel(entry)
        sent = NetworkServiceRequest()
        sent.CopyFrom(request)
        mechanisms = [*sent.mechanism_preferences, sent.connection.mechanism]
        for mechanism in mechanisms:
            if url := mechanism.parameters.get("inodeURL", ""):
                channel.link.descriptors.send(f"/proc/self/fd/{files[url]}")
        token = channel.token()
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
        answer = stub.Request(sent, timeout=max(0.1, end - time.monotonic()), metadata=channel.metadata(token))
        what = f"forwarder {name!r}: answer to {what}"
        good = path.check_response(answer, sent.connection, *token, channel.peer, what)
        good &= _check_answer(answer, sent, mechanisms, what)
        if not good:
            self._call_close(channel, answer, files)
            raise Refused("INTERNAL", f"{what} is not what the protocol asks for")
        return channel, answer

    def _settle(self, entry: Entry, caller: Caller) -> None:
        """Timers and the watch of an established connection."""
        key = entry.connection.id
        entry.expires = caller.expires
        remaining = caller.expires // SECOND - time.time()
        entry.timer = threading.Timer(max(0, remaining - min(1.0, remaining / 10)), self._expire, (key, caller.expires))
        entry.timer.daemon = True
        entry.timer.start()
        self._monitor.publish(UPDATE, entry.connection)
        index = entry.connection.path.index
        segment = entry.connection.path.path_segments[index]
        selector = MonitorScopeSelector(path_segments=[PathSegment(id=segment.id, name=segment.name)])

        def on_event(connection: Connection, deleted: bool) -> None:
            segments = connection.path.path_segments
            if len(segments) <= index or segments[index].id != segment.id or self._entries.get(key) is not entry:
                return
            if is_down(connection, deleted):
                self._tell(entry, State.DOWN, "the forwarder says it is down")
            elif connection.state == State.REFRESH_REQUESTED:
                self._tell(entry, State.REFRESH_REQUESTED, "the forwarder says there is something new")

        def on_end(code: grpc.StatusCode) -> None:
            if code != grpc.StatusCode.CANCELLED and self._entries.get(key) is entry:
                self._tell(entry, State.DOWN, f"the forwarder's monitor stream ended with {code.name}")

        entry.monitor = MonitorStream(entry.channel, selector, index + 1, on_event, on_end)

    def _tell(self, entry: Entry, state: int, why: str) -> None:
        entry.connection.state = state
        event("down" if state == State.DOWN else "changed", connection=entry.connection, reason=why)
        self._monitor.publish(UPDATE, entry.connection)

    def _expire(self, key: str, expires: int) -> None:
        entry = self._entries.get(key)
        if entry and entry.expires == expires:
            self._tear_down(key, "token expired")

    @served
    def Close(self, request: Connection, context: grpc.ServicerContext) -> Empty:
        what = f"Close of {request.id!r}"
        caller = self.server.caller(context, what)
        with self._turns.turn(caller.peer.id, request.id, context, what):
            own = path.enter_server(request, self._name, what)
            path.put_tokens(request, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(request, own, caller.peer, what)
            if url := request.mechanism.parameters.get("inodeURL", ""):
                caller.link.descriptors.expect(url, what)
            self._tear_down(request.id, "closed by the caller")
            return Empty()

    def _tear_down(self, key: str, why: str) -> None:
        entry = self._entries.pop(key, None)
        if not entry:
            return
        if entry.timer:
            entry.timer.cancel()
        if entry.monitor:
            entry.monitor.stop()
        registered = self.registry.endpoints.get(entry.forwarder)
        try:
            channel = entry.channel
            if not channel.alive and registered:
                channel = self._channels.channel(registered)
            if not self._call_close(channel, entry.connection, entry.files):
                again = self._call_close(channel, entry.connection, entry.files)
                check_second_close(again, channel, entry.connection, f"forwarder {entry.forwarder!r}")
        except FAILURES as error:
            log.info("close at %s: %s", entry.forwarder, reason(error))
        entry.free()
        event("closed", connection=entry.connection, reason=why)
        self._monitor.publish(DELETE, entry.connection)

    def _call_close(self, channel: Channel, connection: Connection, files: dict[str, int]) -> str:
        """Why it failed, or nothing."""
        try:
            descriptor = files.get(connection.mechanism.parameters.get("inodeURL", ""))
            if descriptor is not None:
                channel.link.descriptors.send(f"/proc/self/fd/{descriptor}")
            stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
            stub.Close(connection, timeout=5, metadata=channel.metadata())
            return ""
        except FAILURES as error:
            log.info("close at %s: %s", channel.link.name, reason(error))
            return reason(error)

    def stop(self) -> None:
        """Connections stay with the forwarder and the endpoints."""
        self._monitor.end_streams()
        self.server.stop()
        self._turns.wait_for_all(5)


# Tunnels, and what both ends of each have to know.
TUNNELS = {
    "VXLAN": ("src_ip", "dst_ip", "vni"),
    "WIREGUARD": ("src_ip", "dst_ip", "src_port", "dst_port", "src_public_key", "dst_public_key"),
}


def _check_answer(answer: Connection, sent: NetworkServiceRequest, asked: list[Mechanism], what: str) -> bool:
    """What a forwarder has to give back of what it was sent, and add."""
    mechanism, parameters = answer.mechanism, answer.mechanism.parameters
    if mechanism.type == "KERNEL":
        same = [choice for choice in asked if choice.type == "KERNEL" and choice.parameters == parameters]
        good = require(same, f"{what}: the mechanism is {dict(parameters)}, which was not asked for")
    else:
        good = require(
            mechanism.cls == "REMOTE" and mechanism.type in TUNNELS, f"{what}: mechanism {mechanism.cls}/{mechanism.type}"
        )
        for key in TUNNELS.get(mechanism.type, ()):
            good &= require(parameters.get(key), f"{what}: the {mechanism.type} mechanism has no {key}")
        starts = {choice.parameters.get("src_ip") for choice in asked if choice.type == mechanism.type}
        good &= require(parameters.get("src_ip") in starts, f"{what}: another src_ip than {starts}")
    before = sent.connection
    require(answer.network_service == before.network_service, f"{what}: of service {answer.network_service!r}")
    require(answer.network_service_endpoint_name, f"{what}: it names no endpoint")
    require(answer.payload in ("IP", "ETHERNET"), f"{what}: payload {answer.payload!r}")
    require(before.labels.items() <= answer.labels.items(), f"{what}: labels of the client are missing")
    require(answer.state == State.UP, f"{what}: state {answer.state}, not UP")
    return good & check_addresses(answer, what)


def run(options: Namespace, stop: threading.Event) -> None:
    source = IdentitySource(options.workload_api)
    source.newest()
    manager = StockManager(options, source)
    manager.server.start()
    event("ready", url=manager.server.url, public=manager.registry.public)
    stop.wait()
    manager.stop()
    source.stop()
