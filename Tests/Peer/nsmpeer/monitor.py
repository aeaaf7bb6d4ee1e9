"""Monitoring of connections: the serving side of a manager or endpoint, and one stream of a client."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import grpc
from nsmproto import connection_pb2, connection_pb2_grpc
from nsmproto.connection_pb2 import Connection, ConnectionEvent, MonitorScopeSelector, State

from .checks import log, require
from .path import check_form
from .rpc import Channel, Server, served

INITIAL, UPDATE, DELETE = (
    connection_pb2.INITIAL_STATE_TRANSFER,
    connection_pb2.UPDATE,
    connection_pb2.DELETE,
)


def matches(selector: MonitorScopeSelector, connection: Connection) -> bool:
    """Services by name; segments as a contiguous run in which an empty field matches everything."""
    if selector.network_services and connection.network_service not in selector.network_services:
        return False
    wanted, segments = selector.path_segments, connection.path.path_segments
    return not wanted or any(
        all(
            (not want.name or want.name == have.name)
            and (not want.id or want.id == have.id)
            and (not want.token or want.token == have.token)
            for want, have in zip(wanted, segments[start:], strict=False)
        )
        for start in range(len(segments) - len(wanted) + 1)
    )


class MonitorServer(connection_pb2_grpc.MonitorConnectionServicer):
    """Connections by our own id, and who watches them."""

    def __init__(self, server: Server, silent: bool = False) -> None:
        self._server = server
        self._silent = silent  # a fault: streams never say anything
        self._lock = threading.Lock()
        self._connections: dict[str, Connection] = {}
        self._watchers: dict[int, tuple[MonitorScopeSelector, queue.Queue[ConnectionEvent | None]]] = {}
        self._seen: list[MonitorScopeSelector] = []
        connection_pb2_grpc.add_MonitorConnectionServicer_to_server(self, server.grpc)

    @served
    def MonitorConnections(
        self, request: MonitorScopeSelector, context: grpc.ServicerContext
    ) -> Iterator[ConnectionEvent]:
        caller = self._server.caller(context, "MonitorConnections", deadline=False)
        events: queue.Queue[ConnectionEvent | None] = queue.Queue()
        if not context.add_callback(lambda: events.put(None)):
            return
        with self._lock:
            self._seen = [*self._seen[-999:], request]
            found = {key: value for key, value in self._connections.items() if matches(request, value)}
            self._watchers[id(events)] = (request, events)
        log.debug("%s (%s) monitors %s", caller.peer.id, caller.link.name, str(request).replace("\n", " "))
        try:
            if not self._silent:
                yield ConnectionEvent(type=INITIAL, connections=found)
            while (event := events.get()) is not None:
                if not self._silent:
                    yield event
        finally:
            with self._lock:
                del self._watchers[id(events)]

    def publish(self, kind: connection_pb2.ConnectionEventType, connection: Connection) -> None:
        """`connection` as it is at our segment. It is kept, or forgotten with DELETE."""
        copy = Connection()
        copy.CopyFrom(connection)
        with self._lock:
            if kind == DELETE:
                self._connections.pop(copy.id, None)
            else:
                self._connections[copy.id] = copy
            for selector, events in self._watchers.values():
                if matches(selector, copy):
                    events.put(ConnectionEvent(type=kind, connections={copy.id: copy}))

    def was_watched(self, connection: Connection) -> bool:
        """Whether somebody has ever asked for what includes this connection."""
        with self._lock:
            return any(matches(selector, connection) for selector in self._seen)

    def is_watched(self, connection: Connection) -> bool:
        with self._lock:
            return any(matches(selector, connection) for selector, _ in self._watchers.values())

    def end_streams(self) -> None:
        """Ends every stream in good order, which a client must take for the loss of its control plane."""
        with self._lock:
            for _, events in self._watchers.values():
                events.put(None)


class MonitorStream:
    """One MonitorConnections call. `on_event` and `on_end` run in its own thread."""

    def __init__(
        self,
        channel: Channel,
        selector: MonitorScopeSelector,
        server_index: int,
        on_event: Callable[[Connection, bool], None] | None = None,  # the connection, and whether it was deleted
        on_end: Callable[[grpc.StatusCode], None] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.channel, self._selector, self._index = channel, selector, server_index
        self._on_event, self._on_end = on_event, on_end
        self._first = threading.Event()
        self._stopped = False
        self.initial: list[Connection] | None = None
        self.code: grpc.StatusCode | None = None
        stub = connection_pb2_grpc.MonitorConnectionStub(channel.grpc)
        self._began = time.monotonic()
        self._call = stub.MonitorConnections(selector, metadata=channel.metadata(), timeout=timeout)
        threading.Thread(target=self._read, name=f"monitor {channel.link.name}", daemon=True).start()

    def first(self, timeout: float) -> list[Connection] | None:
        """What the first event held; None when it did not come, or the stream ended before."""
        self._first.wait(timeout)
        if self.initial is None and self.code is None and not self._stopped:
            require(False, f"MonitorConnections: no INITIAL_STATE_TRANSFER within {timeout:g} s")
        return self.initial

    def stop(self) -> None:
        self._stopped = True
        self._call.cancel()

    def _read(self) -> None:
        code = grpc.StatusCode.OK
        try:
            for event in self._call:
                self._take(event)
        except grpc.RpcError as error:
            code = error.code()  # type: ignore[attr-defined]
            log.debug("monitor %s: %s %s", self.channel.link.name, code.name, error.details())  # type: ignore[attr-defined]
        self.code = code
        self._first.set()
        if not self._stopped and self._on_end:
            self._on_end(code)

    def _take(self, event: ConnectionEvent) -> None:
        what = "MonitorConnections"
        if self.initial is None:
            took = time.monotonic() - self._began
            require(
                event.type == INITIAL, f"{what}: the first event is of type {event.type}, not INITIAL_STATE_TRANSFER"
            )
            require(took < 2, f"{what}: the first event took {took:.1f} s")
        else:
            require(event.type != INITIAL, f"{what}: INITIAL_STATE_TRANSFER once more")
            require(event.connections, f"{what}: an empty event")
        for key, connection in event.connections.items():
            require(key == connection.id, f"{what}: connection {connection.id} under the key {key}")
            if not check_form(connection, what):
                continue
            require(
                connection.path.index == self._index,
                f"{what}: path index {connection.path.index}, the server's segment is {self._index}",
            )
            require(matches(self._selector, connection), f"{what}: connection {key} does not match the selector")
            for position, segment in enumerate(connection.path.path_segments):
                require(segment.token, f"{what}: segment {position} of {key} has no token")
                require(segment.HasField("expires"), f"{what}: segment {position} of {key} has no `expires`")
        if self.initial is None:
            self.initial = list(event.connections.values())
            self._first.set()
        if self._on_event and not self._stopped:
            for connection in event.connections.values():
                self._on_event(connection, event.type == DELETE)


def is_down(connection: Connection, deleted: bool) -> bool:
    return deleted or connection.state == State.DOWN
