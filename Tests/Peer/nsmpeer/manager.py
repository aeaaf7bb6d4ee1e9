"""The manager: registry, connections of clients to endpoints, and the forwarder between them, as one path segment."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field

import grpc
from google.protobuf.empty_pb2 import Empty
from nsmproto import networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism, State
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from . import faults, forwarder, path, settings, tokens
from .checks import Refused, deviation, event, log, require
from .identity import IdentitySource
from .monitor import DELETE, UPDATE, MonitorServer
from .netns import KernelRefused
from .onward import Endpoints, Leg, readable_namespace
from .order import Refreshes, Turns
from .registry import Registry, network_service
from .rpc import FAILURES, Caller, Server, reason, served
from .tokens import SECOND


@dataclass
class Entry:
    """A connection that is established. `connection` is at our segment, with the client's mechanism."""

    connection: Connection
    leg: Leg
    namespace: int  # the client's, readable
    pair: forwarder.Pair
    refreshes: Refreshes = field(default_factory=Refreshes)
    process: int = 0
    link: int = 0
    expires: int = 0
    delivered: bool = True  # the client has the answer to its last request
    timer: threading.Timer | None = None

    @property
    def client(self) -> tuple[str, str]:
        """Name and id of the first segment."""
        first = self.connection.path.path_segments[0]
        return first.name, first.id


class Manager(networkservice_pb2_grpc.NetworkServiceServicer):
    """One process does what a manager, a registry and a forwarder do."""

    def __init__(self, options: Namespace, source: IdentitySource) -> None:
        self._name = options.name
        self._lifetime = int(settings.duration(options.token_lifetime) * SECOND)
        self._faults = set(options.fault)
        self._turns = Turns()
        self._entries: dict[str, Entry] = {}
        health = {"networkservice.NetworkService", "connection.MonitorConnection"}
        health |= {"registry.NetworkServiceRegistry", "registry.NetworkServiceEndpointRegistry"}
        self.server = Server(options.listen, source, self._name, health)
        registration = int(settings.duration(options.registration_lifetime) * SECOND)
        self.registry = Registry(self.server, registration, self._lifetime, self._faults)
        self.registry.shared_services = options.shared_services
        for text in options.service:
            service = network_service(text)
            self.registry.services[service.name] = service
        self._endpoints = Endpoints(self.registry, source, self._lifetime, options.exclude)
        self.registry.probe = self._endpoints.channel
        self.registry.removed = self._endpoint_removed
        self._monitor = MonitorServer(self.server, "silent-monitor" in self._faults)
        networkservice_pb2_grpc.add_NetworkServiceServicer_to_server(self, self.server.grpc)

    @served
    def Request(self, request: NetworkServiceRequest, context: grpc.ServicerContext) -> Connection:
        connection, what = request.connection, f"Request of {request.connection.id!r}"
        caller = self.server.caller(context, what)
        if "no-answer" in self._faults:
            raise Refused("INTERNAL", "told to refuse")
        if not connection.id and not connection.path.path_segments:
            deviation(f"{what}: neither an id nor a path")
        with self._turns.turn(caller.peer.id, connection.id, context, what):
            fresh = len(connection.path.path_segments) == 1
            own = path.enter_server(connection, self._name, what)
            path.put_tokens(connection, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(connection, own, caller.peer, what)
            if fresh:
                self._replace_lost(connection, what)
            entry = self._entries.get(connection.id)
            mechanism = _client_mechanism(request, entry, what)
            self._check_client(connection, entry, caller, fresh, what)
            event("request", connection=connection, refresh=bool(entry))
            timeout = context.time_remaining() or 15
            taken = caller.link.descriptors.take(mechanism.parameters["inodeURL"], timeout, what)
            entry = self._establish(connection, mechanism, readable_namespace(taken, what), entry, timeout * 0.9, what)
            self._settle(entry, caller, context)
            answer = Connection()
            answer.CopyFrom(entry.connection)
            path.leave_server(answer, own, trim=False)
            faults.spoil(answer, own, self._faults, caller.identity, caller.peer)
            return answer

    def _replace_lost(self, connection: Connection, what: str) -> None:
        """A client that starts anew while its connection stands: the old one goes first, it bears the same names."""
        client = connection.path.path_segments[0].name, connection.path.path_segments[0].id
        for key, entry in list(self._entries.items()):
            if entry.client == client and key != connection.id:
                if entry.delivered:
                    deviation(f"{what}: a new connection while monitoring showed an established one to start from")
                self._tear_down(key, "replaced")

    def _check_client(
        self, connection: Connection, entry: Entry | None, caller: Caller, fresh: bool, what: str
    ) -> None:
        reselect = connection.state == State.RESELECT_REQUESTED
        if fresh and not entry:
            segments = connection.path.path_segments
            require(
                self._monitor.was_watched(connection), f"{what}: no MonitorConnections of {segments[0].id!r} before"
            )
            metric = segments[0].metrics.get("client_interface", "")
            require(metric.startswith("KERNEL/"), f"{what}: metric client_interface is {metric!r}, not KERNEL/NAME")
            require(connection.HasField("context"), f"{what}: there is no context")
        if reselect:
            named = connection.network_service_endpoint_name or connection.mechanism.type
            require(not named, f"{what}: RESELECT_REQUESTED, but endpoint or mechanism are still set")
        if entry and caller.link.unix and entry.process == caller.link.credentials[0] and not reselect:
            same = connection.labels == entry.connection.labels
            if same and entry.connection.state == State.UP:
                entry.refreshes.check(what)
            if entry.delivered:
                require(self._monitor.was_watched(connection), f"{what}: refreshed, but nobody has monitored it")
        if entry:
            entry.refreshes.disturbed = True  # if this fails, trying again soon is right

    def _establish(
        self,
        connection: Connection,
        mechanism: Mechanism,
        namespace: int,
        entry: Entry | None,
        timeout: float,
        what: str,
    ) -> Entry:
        """Takes `namespace` over."""
        reselect = connection.state == State.RESELECT_REQUESTED
        last = entry.leg.endpoint if entry else ""
        try:
            if entry and reselect:
                self._release(connection.id, entry, "reselect")
                entry = None
            connection.state = State.UP
            leg = self._ask_endpoints(connection, entry, last, timeout, what)
            try:
                return self._connect(connection, mechanism, namespace, entry, leg)
            except (KernelRefused, OSError) as error:
                if not entry:
                    self._endpoints.close(leg)
                leg.free()
                raise Refused("INTERNAL", f"{what}: {error}") from error
        except BaseException:
            os.close(namespace)
            raise

    def _ask_endpoints(self, connection: Connection, entry: Entry | None, last: str, timeout: float, what: str) -> Leg:
        end = time.monotonic() + timeout
        names = self._endpoints.candidates(connection, last)
        if names == [connection.network_service_endpoint_name]:
            # When the named one does not answer, another one is better than none.
            free = Connection(network_service=connection.network_service, labels=dict(connection.labels))
            names += [name for name in self._endpoints.candidates(free, last) if name != names[0]]
        failures = []
        for name in names:
            service = self.registry.services.get(connection.network_service)
            connection.payload = service.payload if service else connection.payload or "IP"
            try:
                old = entry.leg if entry else None
                return self._endpoints.request(name, connection, max(0.1, end - time.monotonic()), old)
            except FAILURES as error:
                failures.append(f"{name}: {reason(error)}")
        found = "; ".join(failures) or f"no endpoint offers {connection.network_service!r} to these labels"
        raise Refused("UNAVAILABLE", f"{what}: {found}")

    def _connect(
        self, connection: Connection, mechanism: Mechanism, namespace: int, old: Entry | None, leg: Leg
    ) -> Entry:
        """The data plane, then the books."""
        pair = old.pair if old else forwarder.Pair(f"nsmpeer:{connection.id}")
        name = mechanism.parameters["name"]
        client, server = forwarder.sides(leg.connection, namespace, name, leg.namespace, leg.interface)
        if old and old.leg.endpoint != leg.endpoint:
            pair.delete([old.namespace, old.leg.namespace])
        policies = list(leg.connection.context.ip_context.policies)
        created = pair.establish(client, server, leg.connection.context.MTU, leg.connection.payload == "IP", policies)
        if old:
            if old.leg.endpoint != leg.endpoint:
                self._endpoints.close(old.leg)
            old.leg.free()
            os.close(old.namespace)
        now = Connection()
        now.CopyFrom(leg.connection)
        now.mechanism.CopyFrom(mechanism)
        entry = old or Entry(now, leg, namespace, pair)
        entry.connection, entry.leg, entry.namespace = now, leg, namespace
        self._entries[now.id] = entry
        event("connected" if not old or created else "refreshed", connection=now, created=created)
        return entry

    def _settle(self, entry: Entry, caller: Caller, context: grpc.ServicerContext) -> None:
        """Timers and watches of an established connection."""
        key = entry.connection.id
        if entry.timer:
            entry.timer.cancel()
        entry.expires = caller.expires
        # An endpoint refuses a Close with a token in its path that has expired, so ours must come before;
        # and a token says its end in whole seconds.
        remaining = caller.expires // SECOND - time.time()
        entry.timer = threading.Timer(max(0, remaining - min(1.0, remaining / 10)), self._expire, (key, caller.expires))
        entry.timer.daemon = True
        entry.timer.start()
        entry.process, entry.link = (caller.link.credentials[0] if caller.link.unix else 0), caller.link.number
        entry.delivered = context.is_active()
        ends = (tokens.nanoseconds(segment.expires) for segment in entry.connection.path.path_segments)
        entry.refreshes.succeeded(min(ends) / SECOND)
        self._monitor.publish(UPDATE, entry.connection)
        leg = entry.leg
        self._endpoints.watch(leg, lambda why: self._lost(key, leg, why))

    def _lost(self, key: str, leg: Leg, why: str) -> None:
        entry = self._entries.get(key)
        if entry and entry.leg is leg and entry.connection.state != State.DOWN:
            entry.connection.state = State.DOWN
            entry.refreshes.disturbed = True
            event("down", connection=entry.connection, reason=why)
            self._monitor.publish(UPDATE, entry.connection)

    def _endpoint_removed(self, name: str) -> None:
        for key, entry in list(self._entries.items()):
            if entry.leg.endpoint == name:
                self._lost(key, entry.leg, "the endpoint's registration has gone")

    def _expire(self, key: str, expires: int) -> None:
        entry = self._entries.get(key)
        if entry and entry.expires == expires:
            if self.server.has_link(entry.link) or self._monitor.is_watched(entry.connection):
                deviation(f"connection {key}: its token expired although its client is still there")
            self._tear_down(key, "token expired")

    @served
    def Close(self, request: Connection, context: grpc.ServicerContext) -> Empty:
        what = f"Close of {request.id!r}"
        caller = self.server.caller(context, what)
        with self._turns.turn(caller.peer.id, request.id, context, what):
            own = path.enter_server(request, self._name, what)
            path.put_tokens(request, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(request, own, caller.peer, what)
            url = request.mechanism.parameters.get("inodeURL", "")
            if url:
                caller.link.descriptors.expect(url, what)
            if request.id in self._entries:
                require(url, f"{what}: without the mechanism that its Request was answered with")
                self._tear_down(request.id, "closed by the client")
            return Empty()

    def _tear_down(self, key: str, why: str) -> None:
        entry = self._entries.pop(key, None)
        if not entry:
            return
        self._release(key, entry, why)
        self._monitor.publish(DELETE, entry.connection)

    def _release(self, key: str, entry: Entry, why: str) -> None:
        self._entries.pop(key, None)
        if entry.timer:
            entry.timer.cancel()
        self._endpoints.close(entry.leg)
        try:
            entry.pair.delete([entry.namespace, entry.leg.namespace])
        except KernelRefused as error:
            log.warning("%s: %s", key, error)
        entry.leg.free()
        os.close(entry.namespace)
        event("closed", connection=entry.connection, reason=why)

    def command(self, line: str) -> None:
        """A test's word: refresh ID, down ID, end-streams."""
        word, _, key = line.strip().partition(" ")
        chosen = [entry for entry in self._entries.values() if key in ("", entry.connection.id, entry.client[1])]
        if word == "end-streams":
            for entry in chosen:
                entry.refreshes.disturbed = True
            self._monitor.end_streams()
        for entry in chosen if word in ("refresh", "down") else ():
            entry.refreshes.disturbed = True
            copy = Connection()
            copy.CopyFrom(entry.connection)
            copy.state = State.REFRESH_REQUESTED if word == "refresh" else State.DOWN
            self._monitor.publish(UPDATE, copy)

    def stop(self, close: bool) -> None:
        """Connections stay, so that another manager can take them over, unless `close`."""
        for key in list(self._entries) if close else ():
            self._tear_down(key, "the manager ends")
        self.registry.removed = lambda name: None
        self._monitor.end_streams()
        self.server.stop()
        self._turns.wait_for_all(5)
        for key in list(self._entries) if close else ():  # of calls that were under way
            self._tear_down(key, "the manager ends")


def _client_mechanism(request: NetworkServiceRequest, entry: Entry | None, what: str) -> Mechanism:
    """The chosen mechanism of a refresh, or the first KERNEL one of the preferences."""
    connection = request.connection
    kernel = [choice for choice in request.mechanism_preferences if choice.type == "KERNEL"]
    require(kernel, f"{what}: no KERNEL among the mechanism preferences")
    for choice in kernel:
        require(choice.cls == "LOCAL", f"{what}: class {choice.cls!r} of a KERNEL preference")
        name = choice.parameters.get("name", "")
        require(0 < len(name.encode()) <= 15, f"{what}: interface name {name!r}")
        require("inodeURL" in choice.parameters, f"{what}: a KERNEL preference without inodeURL")
    if not connection.mechanism.type:
        if not kernel:
            raise Refused("INVALID_ARGUMENT", f"{what}: no supported mechanism")
        return kernel[0]
    if connection.mechanism.type != "KERNEL":
        raise Refused("INVALID_ARGUMENT", f"{what}: mechanism {connection.mechanism.type} is not supported")
    if entry:
        before = entry.connection.mechanism.parameters["name"]
        now = connection.mechanism.parameters["name"]
        require(before == now, f"{what}: the interface was {before} and is now {now}")
    return connection.mechanism


def run(options: Namespace, stop: threading.Event) -> None:
    source = IdentitySource(options.workload_api)
    source.newest()
    manager = Manager(options, source)
    manager.server.start()
    signal.signal(signal.SIGUSR1, lambda *_: manager.command("refresh"))
    event("ready", url=manager.server.url)

    def listen() -> None:
        for line in sys.stdin:
            manager.command(line)

    if options.control:
        threading.Thread(target=listen, daemon=True).start()
    stop.wait()
    manager.stop(options.close_at_end)
    source.stop()
