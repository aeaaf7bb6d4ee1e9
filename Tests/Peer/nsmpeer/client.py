"""A client: one connection to each network service that it was told of, kept alive until it is told to stop."""

from __future__ import annotations

import os
import queue
import threading
import time
from argparse import Namespace
from dataclasses import dataclass, field

from nsmproto import networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism, MonitorScopeSelector, PathSegment, State
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from . import dataplane, descriptors, path, settings
from .answers import check_answer, check_refreshed
from .checks import Refused, deviation, event, log, require
from .endpoint import interface_name
from .identity import IdentitySource
from .monitor import MonitorStream, is_down
from .rpc import FAILURES, Channel, reason, wait_until
from .settings import ServiceURL
from .tokens import SECOND

_PAUSE = 0.2


@dataclass
class Plan:
    """What all connections of a client share."""

    name: str
    manager: str
    source: IdentitySource
    dial_timeout: float
    request_timeout: float
    token_lifetime: int
    netns: str
    namespace: int  # the same, readable
    liveness: bool
    liveness_interval: float
    liveness_timeout: float
    once: bool
    excluded: list[str]
    labels: dict[str, str]
    notes: dict[str, str]  # of the context, beside what it has fields for
    prefixes: dict[str, list[str]] = field(default_factory=dict)  # addresses in use, by connection id

    def channel(self, name: str) -> Channel:
        return Channel(self.manager, self.source, name, self.dial_timeout, self.token_lifetime)


class ClientConnection:
    """One thread does everything for one connection, so its calls cannot overlap."""

    def __init__(self, number: int, url: ServiceURL, plan: Plan) -> None:
        self.id = f"{plan.name}-{number}"
        self._url, self._plan = url, plan
        self._inbox: queue.Queue[tuple[str, str]] = queue.Queue()
        self._stop = threading.Event()
        self._current: Connection | None = None  # as last returned
        self._channel: Channel | None = None  # of the last Request; the monitor uses it on
        self._monitor: MonitorStream | None = None
        self._generation = 0
        self.ok = False
        self.up = threading.Event()
        parameters = {"name": url.interface or interface_name(url.service)}
        self._preference = Mechanism(cls="LOCAL", type=url.mechanism, parameters=parameters)

    @property
    def interface(self) -> str:
        return self._preference.parameters["name"]

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name=self.id, daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stop.set()
        self._inbox.put(("stop", ""))

    def _run(self) -> None:
        try:
            start = self._first()
            while not self._stop.is_set() and not self._try(start, "connected"):
                time.sleep(_PAUSE)
            self.up.set()
            if self._plan.once:
                self.ok = bool(self._current) and self._is_alive()
                require(self.ok, f"{self.id}: connected, but the endpoint's addresses do not answer")
            else:
                self._keep_up()
        except Exception as error:
            log.exception("%s", self.id)
            deviation(f"{self.id}: {type(error).__name__}: {error}")
        finally:
            self.up.set()
            self._close_for_good()

    def _first(self) -> Connection:
        """What to ask for: by the first word of a monitor stream, what we had before a restart, else something new."""
        found: list[Connection] = []
        while not self._stop.is_set():
            try:
                channel = self._plan.channel(f"{self.id} start")
            except FAILURES as error:
                log.info("%s: %s", self.id, reason(error))
                time.sleep(_PAUSE)
                continue
            selector = MonitorScopeSelector(path_segments=[PathSegment(id=self.id)])
            stream = MonitorStream(channel, selector, 1, timeout=self._plan.request_timeout)
            known = stream.first(min(2.0, self._plan.request_timeout))
            stream.stop()
            channel.close()
            if known is not None:
                found = known
                break
            time.sleep(_PAUSE)
        for connection in found:
            first = connection.path.path_segments[0]
            if connection.path.index == 1 and first.id == self.id and connection.mechanism.type == self._url.mechanism:
                return self._recovered(connection)
        labels = settings.standard_labels({**self._plan.labels, **self._url.labels})
        wanted = Connection(id=self.id, network_service=self._url.service, labels=labels)
        wanted.context.extra_context.update(self._plan.notes)
        return wanted

    def _recovered(self, connection: Connection) -> Connection:
        event("recovered", connection=connection)
        connection.path.index, connection.id = 0, self.id
        alive = self._plan.liveness and dataplane.alive(self._plan.namespace, connection, self._plan.liveness_timeout)
        if connection.state == State.DOWN and not alive:
            _reselect(connection)
        return connection

    def _try(self, wanted: Connection, said: str) -> bool:
        """One Request with everything that belongs to it."""
        sent = Connection()
        sent.CopyFrom(wanted)
        channel = None
        try:
            channel = self._plan.channel(self.id)
            answer = self._request(channel, sent)
        except FAILURES as error:
            log.info("%s: request: %s", self.id, reason(error))
            event("failed", id=self.id, reason=reason(error))
            if channel:
                channel.close()
            return False
        if self._current and said == "refreshed":
            check_refreshed(answer, self._current, self.id)
        self._current = answer
        self._exclude(answer)
        dataplane.check_interface(self._plan.namespace, answer, self.interface, True, 1, self.id)
        self._watch(channel)
        event(said, connection=answer)
        return True

    def _request(self, channel: Channel, sent: Connection) -> Connection:
        path.start_client(sent, self._plan.name)
        sent.context.ip_context.SetInParent()
        sent.context.dns_context.SetInParent()
        context = sent.context.ip_context
        others = [prefix for key, found in self._plan.prefixes.items() if key != self.id for prefix in found]
        own = {*context.src_ip_addrs, *context.dst_ip_addrs}
        kept = {*context.excluded_prefixes, *others, *self._plan.excluded} - own
        context.excluded_prefixes[:] = sorted(kept)
        segment = sent.path.path_segments[0]
        segment.metrics["client_interface"] = f"KERNEL/{self.interface}"
        preference = self._preference
        preference.parameters["inodeURL"] = channel.link.descriptors.send(self._plan.netns)
        if sent.mechanism.type:
            sent.mechanism.parameters["inodeURL"] = channel.link.descriptors.send(self._plan.netns)
        token = channel.token()
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
        request = NetworkServiceRequest(connection=sent, mechanism_preferences=[preference])
        answer = stub.Request(request, timeout=self._plan.request_timeout, metadata=channel.metadata(token))
        what = f"{self.id}: answer to Request"
        good = path.check_response(answer, sent, *token, channel.peer, what)
        if not good & check_answer(answer, sent, preference, what):
            self._call_close(channel, answer)
            raise Refused("INTERNAL", f"{what} is not what the protocol asks for")
        return answer

    def _exclude(self, connection: Connection) -> None:
        context = connection.context.ip_context
        routes = [route.prefix for route in (*context.src_routes, *context.dst_routes)]
        hosts = [prefix for prefix in routes if prefix.endswith(("/32", "/128"))]
        self._plan.prefixes[self.id] = [*context.src_ip_addrs, *context.dst_ip_addrs, *hosts]

    def _watch(self, channel: Channel) -> None:
        """The heal monitor: of our own segment, on the connection of the last Request."""
        assert self._current
        old, self._channel = self._channel, channel
        if self._monitor:
            self._monitor.stop()
        if old:
            old.close()
        self._generation += 1
        generation = self._generation
        segment = self._current.path.path_segments[0]

        def on_event(connection: Connection, deleted: bool) -> None:
            segments = connection.path.path_segments
            if connection.path.index > 1 or segments[0].id != self.id or generation != self._generation:
                return
            if is_down(connection, deleted):
                self._inbox.put(("control-plane", "deleted" if deleted else "state DOWN"))
            elif connection.state == State.REFRESH_REQUESTED:
                self._inbox.put(("refresh", "REFRESH_REQUESTED"))

        def on_end(code: object) -> None:
            if getattr(code, "name", "") != "CANCELLED" and generation == self._generation:
                self._inbox.put(("control-plane", f"the monitor stream ended with {getattr(code, 'name', code)}"))

        selector = MonitorScopeSelector(path_segments=[PathSegment(id=segment.id, name=segment.name)])
        self._monitor = MonitorStream(channel, selector, 1, on_event, on_end)

    def _keep_up(self) -> None:
        threading.Thread(target=self._check_liveness, name=f"{self.id} liveness", daemon=True).start()
        due = time.monotonic() + self._period()
        while not self._stop.is_set():
            try:
                what, why = self._inbox.get(timeout=max(0, due - time.monotonic()))
            except queue.Empty:
                what, why = "refresh", "due"
            assert self._current
            if what == "stop":
                return
            if what == "refresh":
                sent = Connection()
                sent.CopyFrom(self._current)
                sent.state = State.UP
                if not self._try(sent, "refreshed"):
                    due = time.monotonic() + _PAUSE
                    continue
            else:
                self._heal(what, why)
            due = time.monotonic() + self._period()

    def _period(self) -> float:
        """A fifth of what the shortest token of the path has left, as we are at index 0."""
        assert self._current
        ends = [
            segment.expires.seconds + segment.expires.nanos / SECOND for segment in self._current.path.path_segments
        ]
        return max(0.05, (min(ends) - time.time()) * (0.2 if len(ends) > 1 else 1 / 3))

    def _is_alive(self) -> bool:
        assert self._current
        return dataplane.alive(self._plan.namespace, self._current, self._plan.liveness_timeout)

    def _check_liveness(self) -> None:
        while self._plan.liveness and not self._stop.wait(self._plan.liveness_interval):
            generation = self._generation
            if not self._is_alive() and generation == self._generation and not self._stop.is_set():
                self._inbox.put(("data-plane", "no reply to pings"))
                while generation == self._generation and not self._stop.wait(0.1):
                    pass  # one complaint is enough until it is healed

    def _heal(self, what: str, why: str) -> None:
        assert self._current
        began = time.monotonic()
        event("healing", connection=self._current, plane=what, reason=why)
        self._generation += 1  # events of the past are over
        self._empty_inbox()
        while not self._stop.is_set():
            wanted = Connection()
            wanted.CopyFrom(self._current)
            wanted.state = State.UP
            if what == "data-plane" or not self._plan.liveness or not self._is_alive():
                self._close_quietly()
                _reselect(wanted)
            if self._try(wanted, "healed"):
                log.info("%s: healed after %.2f s", self.id, time.monotonic() - began)
                self._empty_inbox()
                return
            time.sleep(_PAUSE)

    def _empty_inbox(self) -> None:
        kept = []
        while not self._inbox.empty():
            item = self._inbox.get()
            kept += [item] if item[0] == "stop" else []
        for item in kept:
            self._inbox.put(item)

    def _close_quietly(self) -> None:
        try:
            channel = self._plan.channel(f"{self.id} close")
        except FAILURES as error:
            log.info("%s: close: %s", self.id, reason(error))
            return
        assert self._current
        self._call_close(channel, self._current)
        channel.close()

    def _call_close(self, channel: Channel, connection: Connection) -> bool:
        try:
            if connection.mechanism.type:
                channel.link.descriptors.send(self._plan.netns)
            stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
            stub.Close(connection, timeout=self._plan.request_timeout, metadata=channel.metadata())
            return True
        except FAILURES as error:
            log.info("%s: close: %s", self.id, reason(error))
            return False

    def _close_for_good(self) -> None:
        """Close, and what must come of it: a DELETE, no interface, and a second Close that is as good as the first."""
        if self._monitor:
            self._monitor.stop()
        if self._current:
            self._plan.prefixes.pop(self.id, None)
            try:
                self._checked_close(self._current)
            except FAILURES as error:
                log.warning("%s: close: %s", self.id, reason(error))
        if self._channel:
            self._channel.close()

    def _checked_close(self, connection: Connection) -> None:
        gone = threading.Event()

        def on_event(seen: Connection, deleted: bool) -> None:
            if deleted:
                gone.set()

        channel = self._plan.channel(f"{self.id} close")
        selector = MonitorScopeSelector(path_segments=[PathSegment(id=self.id)])
        stream = MonitorStream(channel, selector, 1, on_event)
        known = stream.first(2)
        closed = self._call_close(channel, connection)
        require(closed, f"{self.id}: Close failed")
        if known:
            require(gone.wait(2), f"{self.id}: no DELETE event within 2 s of Close")
        require(self._call_close(channel, connection), f"{self.id}: a second Close of one connection failed")
        stream.stop()
        channel.close()
        away = wait_until(lambda: not dataplane.has_interface(self._plan.namespace, self.interface), 2, 0.1)
        require(away, f"{self.id}: the interface {self.interface} is there after Close")
        event("closed", id=self.id)


def _reselect(connection: Connection) -> None:
    connection.ClearField("mechanism")
    connection.network_service_endpoint_name = ""
    connection.state = State.RESELECT_REQUESTED


def run(options: Namespace, stop: threading.Event) -> int:
    source = IdentitySource(options.workload_api)
    source.newest()
    plan = Plan(
        name=options.name,
        manager=options.connect_to,
        source=source,
        dial_timeout=settings.seconds("DIAL_TIMEOUT", "5s"),
        request_timeout=settings.seconds("REQUEST_TIMEOUT", "15s"),
        token_lifetime=int(settings.duration(options.token_lifetime) * SECOND),
        netns=options.netns,
        namespace=descriptors.reopen(descriptors.open_path(options.netns)),
        liveness=settings.flag("LIVENESS_CHECK_ENABLED", True),
        liveness_interval=settings.seconds("LIVENESS_CHECK_INTERVAL", "200ms"),
        liveness_timeout=settings.seconds("LIVENESS_CHECK_TIMEOUT", "1s"),
        once=options.once,
        excluded=options.exclude,
        labels={},
        notes=dict(note.split("=", 1) for note in options.note),
    )
    urls = [ServiceURL.parse(url) for url in options.services]
    connections = [ClientConnection(number, url, plan) for number, url in enumerate(urls)]
    threads = []
    for connection in connections:
        threads.append(connection.start())
        while not connection.up.wait(0.1) and not stop.is_set():
            pass
    while not stop.wait(0.1) and (not options.once or any(thread.is_alive() for thread in threads)):
        pass
    for connection in connections:
        connection.stop()
    for thread in threads:
        thread.join(plan.request_timeout)
    source.stop()
    os.close(plan.namespace)
    return 0 if not options.once or all(connection.ok for connection in connections) else 1
