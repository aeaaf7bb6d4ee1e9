"""An endpoint: hands out addresses and its network namespace to whoever a manager sends."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import string
import tempfile
import threading
import time
from argparse import Namespace
from dataclasses import dataclass

import grpc
from google.protobuf.empty_pb2 import Empty
from nsmproto import networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism, State
from nsmproto.connectioncontext_pb2 import DNSConfig
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from . import dataplane, descriptors, faults, path, settings, tokens
from .checks import Refused, deviation, event, require
from .identity import IdentitySource
from .ipam import PointToPoint
from .monitor import DELETE, UPDATE, MonitorServer
from .order import Refreshes, Turns
from .registrar import Registrar, Registration
from .rpc import Caller, Server, served
from .tokens import SECOND

_LATE = 1.0  # a Close and the end of a token may meet


def interface_name(service: str) -> str:
    """15 characters: the first ten of the service's name, a dash, random ones."""
    start = service[:10] + "-"
    return start + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(15 - len(start)))


@dataclass
class Entry:
    """An established connection, at our segment."""

    connection: Connection
    client: str  # segment 0, by which a returning client is known
    refreshes: Refreshes
    link: int
    expires: int = 0
    timer: threading.Timer | None = None


class Endpoint(networkservice_pb2_grpc.NetworkServiceServicer):
    """Serves Requests of a manager (or forwarder) for some services."""

    def __init__(self, options: Namespace, source: IdentitySource, url: str) -> None:
        self.name = options.name
        self._services: list[str] = options.services
        self._payload: str = options.payload
        self._knows_payload: bool = options.register_service  # else it is what another one registered
        self._lifetime = int(settings.duration(options.token_lifetime) * SECOND)
        self._faults = set(options.fault)
        self._fresh_names: bool = options.fresh_names
        self._ipam = PointToPoint(settings.prefix_groups(options.cidr_prefix.strip("-")))
        self._dns = [DNSConfig(**item) for item in json.loads(settings.text("DNS_CONFIGS", "[]"))]
        self._mtu: int = options.mtu
        self._namespace_path: str = options.netns
        self._namespace = os.open(options.netns, os.O_RDONLY | os.O_CLOEXEC)
        self._turns = Turns()
        self._entries: dict[str, Entry] = {}
        self._idle_since = time.monotonic()
        health = {"networkservice.NetworkService", "connection.MonitorConnection"}
        self.server = Server(url, source, self.name, health)
        self._monitor = MonitorServer(self.server, "silent-monitor" in self._faults)
        networkservice_pb2_grpc.add_NetworkServiceServicer_to_server(self, self.server.grpc)

    @property
    def idle(self) -> float:
        """Seconds without a connection."""
        return 0 if self._entries else time.monotonic() - self._idle_since

    def end_streams(self) -> None:
        """Monitoring breaks; the connections stay."""
        self._monitor.end_streams()
        event("streams ended")

    @served
    def Request(self, request: NetworkServiceRequest, context: grpc.ServicerContext) -> Connection:
        connection, what = request.connection, f"Request of {request.connection.id!r}"
        caller = self.server.caller(context, what)
        if "no-answer" in self._faults:
            raise Refused("INTERNAL", "told to refuse")
        with self._turns.turn(caller.peer.id, connection.id, context, what):
            own = path.enter_server(connection, self.name, what)
            path.put_tokens(connection, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(connection, own, caller.peer, what)
            del connection.path.path_segments[own + 1 :]
            key = connection.id
            entry = self._entries.get(key)
            event("request", connection=connection, refresh=bool(entry))
            if entry and connection.state == State.RESELECT_REQUESTED:
                self._close(key, "reselect")
                entry = None
            self._check(request, entry, caller, what)
            self._replace_lost(connection)
            try:
                self._ipam.assign(_client(connection), connection)
                self._set_mechanism(request, entry, caller, what)
            except Refused:
                if not entry:
                    self._ipam.release(_client(connection))
                raise
            self._set_context(connection)
            connection.state = State.UP
            self._keep(connection, entry, caller)
            answer = Connection()
            answer.CopyFrom(connection)
            path.leave_server(answer, own, trim=True)
            faults.spoil(answer, own, self._faults, caller.identity, caller.peer)
            if "no-descriptor" not in self._faults:
                caller.link.descriptors.send(self._namespace_path)
            return answer

    def _check(self, request: NetworkServiceRequest, entry: Entry | None, caller: Caller, what: str) -> None:
        connection = request.connection
        if not require(connection.network_service in self._services, f"{what}: service {connection.network_service!r}"):
            raise Refused("NOT_FOUND", f"{what}: {connection.network_service!r} is not offered here")
        named = connection.network_service_endpoint_name
        require(named == self.name, f"{what}: for the endpoint {named!r}, we are {self.name!r}")
        same = connection.payload == self._payload or not self._knows_payload
        require(same, f"{what}: payload {connection.payload!r}, registered {self._payload!r}")
        require(connection.state != State.DOWN, f"{what}: its state is DOWN")
        require(connection.HasField("context"), f"{what}: there is no context")
        if entry and entry.link == caller.link.number and entry.connection.labels == connection.labels:
            entry.refreshes.check(what)
        if entry:
            entry.refreshes.disturbed = True

    def _replace_lost(self, connection: Connection) -> None:
        """The same client under another id at our segment: its manager has forgotten the old one."""
        for key, entry in list(self._entries.items()):
            if key != connection.id and entry.client == _client(connection):
                self._close(key, "replaced", keep_addresses=True)

    def _set_mechanism(self, request: NetworkServiceRequest, entry: Entry | None, caller: Caller, what: str) -> None:
        connection = request.connection
        own_url = descriptors.inode_url(self._namespace)
        choices = [connection.mechanism] if connection.mechanism.type else list(request.mechanism_preferences)
        supported = [choice for choice in choices if choice.type == "KERNEL"]
        if not supported:
            kinds = ", ".join(choice.type for choice in choices)
            deviation(f"{what}: no KERNEL mechanism but {kinds or 'none at all'}")
            raise Refused("INVALID_ARGUMENT", f"{what}: supported is KERNEL, asked for is {kinds or 'nothing'}")
        chosen = Mechanism()
        chosen.CopyFrom(supported[0])
        require(chosen.cls == "LOCAL", f"{what}: class {chosen.cls!r} of a KERNEL mechanism")
        sent = chosen.parameters.get("inodeURL", "")
        if sent:
            caller.link.descriptors.expect(sent, what)
        if connection.mechanism.type:
            require(sent == own_url, f"{what}: the mechanism names the namespace {sent}, ours is {own_url}")
        before = entry.connection.mechanism.parameters["name"] if entry else ""
        asked = chosen.parameters.get("name", "")
        kept = "" if self._fresh_names else before
        name = asked or kept or interface_name(connection.network_service)
        require(
            not before or before == (asked or kept), f"{what}: the interface was {before}, now {asked!r} is asked for"
        )
        require(len(name.encode()) <= 15, f"{what}: interface name {name!r}")
        chosen.parameters["inodeURL"] = own_url
        chosen.parameters["name"] = name
        connection.mechanism.CopyFrom(chosen)

    def _set_context(self, connection: Connection) -> None:
        for config in self._dns:
            if config not in connection.context.dns_context.configs:
                connection.context.dns_context.configs.append(config)
        if self._mtu:
            connection.context.MTU = self._mtu
        name = connection.mechanism.parameters["name"]
        connection.path.path_segments[connection.path.index].metrics["server_interface"] = f"KERNEL/{name}"

    def _keep(self, connection: Connection, entry: Entry | None, caller: Caller) -> None:
        new = entry is None
        if entry is None:
            entry = Entry(connection, _client(connection), Refreshes(), caller.link.number)
        entry.connection, entry.link, entry.expires = connection, caller.link.number, caller.expires
        ends = (tokens.nanoseconds(segment.expires) for segment in connection.path.path_segments)
        entry.refreshes.succeeded(min(ends) / SECOND)
        if entry.timer:
            entry.timer.cancel()
        remaining = (caller.expires - tokens.now()) / SECOND
        entry.timer = threading.Timer(remaining + _LATE, self._expire, (connection.id, caller.expires))
        entry.timer.daemon = True
        entry.timer.start()
        self._entries[connection.id] = entry
        self._monitor.publish(UPDATE, connection)
        event("connected" if new else "refreshed", connection=connection)
        if new:
            threading.Timer(2, self._check_interface, (entry,)).start()

    def _check_interface(self, entry: Entry) -> None:
        """The one who asked has had time to make the interface, or to close."""
        connection = entry.connection
        name, what = connection.mechanism.parameters["name"], f"connection {connection.id}"
        if self._entries.get(connection.id) is entry and dataplane.interface_faults(
            self._namespace, connection, name, False
        ):
            time.sleep(2)
            if self._entries.get(connection.id) is entry:
                dataplane.check_interface(self._namespace, entry.connection, name, False, 1, what)

    def _expire(self, key: str, expires: int) -> None:
        entry = self._entries.get(key)
        if entry and entry.expires == expires:
            if self.server.has_link(entry.link):
                deviation(
                    f"connection {key}: its token expired; the caller is connected and neither refreshed nor closed"
                )
            self._close(key, "token expired")

    def _close(self, key: str, why: str, keep_addresses: bool = False) -> None:
        entry = self._entries.pop(key, None)
        if not entry:
            return
        if entry.timer:
            entry.timer.cancel()
        if not keep_addresses:
            self._ipam.release(entry.client)
        self._idle_since = time.monotonic()
        self._monitor.publish(DELETE, entry.connection)
        event("closed", connection=entry.connection, reason=why)

    @served
    def Close(self, request: Connection, context: grpc.ServicerContext) -> Empty:
        what = f"Close of {request.id!r}"
        caller = self.server.caller(context, what)
        with self._turns.turn(caller.peer.id, request.id, context, what):
            own = path.enter_server(request, self.name, what)
            path.put_tokens(request, own, caller.token, caller.expires, caller.identity, caller.peer, self._lifetime)
            path.check_for_server(request, own, caller.peer, what)
            url = request.mechanism.parameters.get("inodeURL", "")
            if url:
                caller.link.descriptors.expect(url, what)
            if request.id in self._entries:
                require(url, f"{what}: without the mechanism that its Request was answered with")
                self._close(request.id, "closed by the caller")
            return Empty()


def _client(connection: Connection) -> str:
    first = connection.path.path_segments[0]
    return f"{first.name}/{first.id}"


def run(options: Namespace, stop: threading.Event) -> None:
    source = IdentitySource(options.workload_api)
    source.newest()
    folder = ""
    url = options.listen
    if not url:
        os.makedirs(options.base_dir, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f"{options.name}-", dir=options.base_dir)
        os.chmod(folder, 0o755)
        url = f"unix://{folder}/listen.on"
    endpoint = Endpoint(options, source, url)
    endpoint.server.start()
    signal.signal(signal.SIGUSR1, lambda *_: endpoint.end_streams())
    event("ready", url=endpoint.server.url)
    what = Registration(
        options.name,
        options.services,
        settings.standard_labels(settings.labels(options.labels)),
        options.payload,
        options.register_service,
        endpoint.server.url,
    )
    dial = settings.seconds("DIAL_TIMEOUT", "5s")
    lifetime = int(settings.duration(options.token_lifetime) * SECOND)
    registrar = Registrar(what, options.connect_to, source, dial, lifetime)
    registrar.start()
    idle_limit = settings.seconds("IDLE_TIMEOUT", "0")
    try:
        while not stop.wait(0.5 if idle_limit else None):
            if idle_limit and endpoint.idle > idle_limit:
                break
    finally:
        registrar.stop(options.unregister_itself)
        endpoint.server.stop()
        source.stop()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
