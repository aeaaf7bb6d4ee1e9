"""What an attacker can do by calls: each method is an order, and returns what came of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf import text_format
from nsmproto import connection_pb2_grpc, networkservice_pb2_grpc, registry_pb2, registry_pb2_grpc
from nsmproto.connection_pb2 import Connection, MonitorScopeSelector

from .. import tokens
from ..checks import plain
from ..descriptors import inode_url, open_path
from ..identity import IdentitySource
from ..relay import Link
from ..rpc import FAILURES, Channel, reason
from ..tokens import SECOND
from . import keys, messages
from .messages import Order
from .offer import Offer

_EMPTY_PATH = '{"Index":0,"PathSegments":null}'


class Hand:
    """Keeps what it has got until it is told to let go."""

    def __init__(self, name: str, manager: str, workload_api: str, namespace: str) -> None:
        self._name, self._manager, self._workload_api, self._namespace = name, manager, workload_api, namespace
        self._taken: list[tuple[Order, Connection]] = []
        self._registered: list[Order] = []
        self._identities: Any = None
        self._open: list[Callable[[], object]] = []
        self._offers: dict[str, Offer] = {}
        self._had: dict[str, Connection] = {}

    @property
    def identities(self) -> Any:
        if not self._identities:
            self._identities = IdentitySource(self._workload_api)
        return self._identities

    # MARK: connections

    def _channel(self, order: Order) -> Channel:
        source = keys.read(order["key"]) if "key" in order else self.identities
        if "trust" in order:
            source = keys.trusting(source, order["trust"])
        channel = Channel(order.get("manager", self._manager), source, "evil", 5, int(order.get("lifetime", 120)) * SECOND)
        self._open.append(channel.close)
        return channel

    @contextlib.contextmanager
    def _call(self, order: Order) -> Iterator[Channel]:
        """A channel for one order; it stays open when the order says `hold`."""
        channel = self._channel(order)
        try:
            yield channel
        finally:
            if not order.get("hold"):
                self._open.remove(channel.close)
                channel.close()

    def _metadata(self, order: Order, channel: Channel, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """What a call carries. `claim`, `audience` and `subject` are in a token that is signed as it must be, `expires` is
        the text beside it."""
        text, end = channel.token()
        if order.keys() & {"claim", "audience", "subject"}:
            text = messages.claiming(order, channel)
        said = order.get("expires") or tokens.rfc3339(end)
        return ((tokens.CLIENT_TOKEN, text), (tokens.CLIENT_TOKEN_EXPIRES, said), *more)

    def _registration(self, order: Order, channel: Channel) -> tuple[tuple[str, str], ...]:
        return self._metadata(order, channel, ("path", order.get("path_header", _EMPTY_PATH)))

    def request(self, order: Order) -> Order:
        """Asks for a connection. `namespace` is the file whose descriptor goes along."""
        order = {"name": self._name, **order}
        with self._call(order) as channel:
            namespace = order.get("namespace", self._namespace)
            url = channel.link.descriptors.send(namespace) if namespace else ""
            message = messages.request(order, channel, url)
            if again := self._had.get(order.get("again", "")):
                message.connection.CopyFrom(again)
                if url and message.connection.mechanism.type:
                    message.connection.mechanism.parameters["inodeURL"] = url
                messages.spoil(message, order)
            stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
            began = time.monotonic()
            try:
                answer = stub.Request(
                    message, timeout=order.get("timeout", 15), metadata=self._metadata(order, channel)
                )
            except grpc.RpcError as error:
                return {"answer": status(error, channel.link), "seconds": time.monotonic() - began}
            self._had[order.get("keep", "")] = answer
            self._taken.append((_where(order), answer))
            if not order.get("keep"):
                return {"answer": "accepted", "connection": plain(answer) if order.get("tell") else None}
            return {"answer": "accepted", "ids": [segment.id for segment in answer.path.path_segments]}

    def close(self, order: Order) -> Order:
        """Closes a connection that was had (`again`), or whatever the order's path says."""
        with self._call(order) as channel:
            connection = self._had.get(order.get("again", "")) or messages.request(order, channel, "").connection
            if "again" in order:
                messages.spoil(connection, order)
            stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
            return self._answer(
                lambda: stub.Close(connection, timeout=10, metadata=self._metadata(order, channel)), channel
            )

    def monitor(self, order: Order) -> Order:
        """What the first event of a stream shows to us."""
        with self._call(order) as channel:
            selector = text_format.Parse(order.get("text", ""), MonitorScopeSelector())
            stub = connection_pb2_grpc.MonitorConnectionStub(channel.grpc)
            stream = stub.MonitorConnections(selector, timeout=5, metadata=self._metadata(order, channel))
            try:
                first = next(iter(stream))
            except (grpc.RpcError, StopIteration) as error:
                return {"answer": reason(error), "connections": {}}
            stream.cancel()
            return {"answer": "accepted", "connections": plain(first).get("connections", {})}

    # MARK: registry

    def _endpoint(self, order: Order, channel: Channel) -> registry_pb2.NetworkServiceEndpoint:
        url = order.get("url", "")
        if file := order.get("socket"):
            url = channel.link.descriptors.send(file)
        services = order.get("services", ["evil"])
        message = registry_pb2.NetworkServiceEndpoint(
            name=order.get("name", f"{self._name}-endpoint") * order.get("repeat", 1), network_service_names=services, url=url
        )
        return messages.spoil(message, {"text": order.get("text", "")})

    def register(self, order: Order) -> Order:
        """An endpoint: `url` as it is, or a descriptor of the file `socket`."""
        with self._call(order) as channel:
            stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
            metadata = self._registration(order, channel)
            message = self._endpoint(order, channel)
            outcome = self._answer(lambda: stub.Register(message, timeout=10, metadata=metadata), channel)
            if outcome["answer"] == "accepted":
                self._registered.append({**_where(order), "name": message.name, "services": order.get("services", ["evil"])})
            return outcome

    def unregister(self, order: Order) -> Order:
        with self._call(order) as channel:
            stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
            metadata = self._registration(order, channel)
            message = self._endpoint(order, channel)
            return self._answer(lambda: stub.Unregister(message, timeout=10, metadata=metadata), channel)

    def service(self, order: Order) -> Order:
        """Registers a service, or with `away` takes it back."""
        with self._call(order) as channel:
            stub = registry_pb2_grpc.NetworkServiceRegistryStub(channel.grpc)
            method = stub.Unregister if order.get("away") else stub.Register
            message = messages.spoil(registry_pb2.NetworkService(name=order.get("name", "evil")), {"text": order.get("text", "")})
            metadata = self._registration(order, channel)
            return self._answer(lambda: method(message, timeout=10, metadata=metadata), channel)

    def find(self, order: Order) -> Order:
        """All that the registry shows of endpoints."""
        with self._call(order) as channel:
            stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
            query = registry_pb2.NetworkServiceEndpointQuery()
            text_format.Merge(order.get("text", ""), query)
            found = []
            try:
                for answer in stub.Find(query, timeout=10, metadata=self._metadata(order, channel)):
                    found.append(plain(answer.network_service_endpoint))
            except grpc.RpcError as error:
                return {"answer": status(error, channel.link), "endpoints": found}
            arrived = len(channel.link.descriptors._arrived)
            return {"answer": "accepted", "endpoints": found, "descriptors": arrived}

    # MARK: endpoints

    def offer(self, order: Order) -> Order:
        """Listens and registers; see Offer."""
        order = {"name": f"{self._name}-endpoint", **order}
        offer = Offer(order, self.identities, self._namespace)
        self._offers[offer.name] = offer
        self._open.append(offer.stop)
        return self.register({"name": offer.name, "socket": offer.path, **order, "text": order.get("registration", "")})

    def seen(self, order: Order) -> Order:
        """What has come to the endpoint."""
        return {"answer": "accepted", **self._offers[order.get("name", f"{self._name}-endpoint")].seen()}

    # MARK: identities

    def fetch(self, order: Order) -> Order:
        """Our identity; with `file` it is written there with its key, for somebody else."""
        identity = self.identities.newest(10)
        if file := order.get("file"):
            keys.write(identity, file)
        return {"answer": "accepted", "id": identity.id, "pid": os.getpid()}

    def issue(self, order: Order) -> Order:
        """An identity by the authority in a file."""
        keys.issue(order["authority"], order["id"], order["file"])
        return {"answer": "accepted"}

    def workload(self, order: Order) -> Order:
        """One call of the Workload API with the given metadata."""
        return keys.call_workload_api(self._workload_api, order.get("metadata", []))

    def inode(self, order: Order) -> Order:
        """The name of a file in messages."""
        descriptor = open_path(order["file"])
        try:
            return {"answer": "accepted", "url": inode_url(descriptor)}
        finally:
            os.close(descriptor)

    def release(self, order: Order) -> Order:
        """Lets go of all connections and endpoints, as an honest client would: the next attack starts anew."""
        for key, connection in self._taken:
            with contextlib.suppress(*FAILURES), self._call(key) as channel:
                stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
                stub.Close(connection, timeout=2, metadata=channel.metadata())
        for registration in self._registered:
            with contextlib.suppress(*FAILURES):
                self.unregister(registration)
        self._taken, self._registered = [], []
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop()()
        self._offers, self._had = {}, {}
        return {"answer": "accepted"}

    @staticmethod
    def _answer(call: Callable[[], object], channel: Channel) -> Order:
        try:
            call()
        except grpc.RpcError as error:
            return {"answer": status(error, channel.link)}
        return {"answer": "accepted"}


def _where(order: Order) -> Order:
    """What an order says of the connection that it is given by."""
    return {key: order[key] for key in ("key", "trust", "manager") if key in order}


def status(error: grpc.RpcError, link: Link) -> str:
    """A status that the library made up because the connection ended is none."""
    if error.code() == grpc.StatusCode.UNAVAILABLE and link.ended.wait(0.2):  # type: ignore[attr-defined]
        return f"closed {link.end_reason}".rstrip()
    return f"status {error.code().name} {(error.details() or '').strip()[:500]}"  # type: ignore[attr-defined]
