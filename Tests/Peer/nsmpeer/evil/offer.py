"""An endpoint that answers as it was told, whatever the protocol says."""

from __future__ import annotations

import os
import tempfile
import threading
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from nsmproto import networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from .. import path
from ..checks import plain
from ..identity import IdentitySource
from ..monitor import MonitorServer
from ..rpc import Server, served
from ..tokens import SECOND
from . import messages
from .messages import Order


class Offer(networkservice_pb2_grpc.NetworkServiceServicer):
    """Listens on a socket of its own. The order's `answer` says what is wrong with its answers."""

    def __init__(self, order: Order, source: IdentitySource, namespace: str) -> None:
        self.name: str = order.get("name", "evil-endpoint")
        self._answer: Order = {"namespace": namespace, **order.get("answer", {})}
        self._folder = tempfile.mkdtemp(prefix="evil-")
        os.chmod(self._folder, 0o755)
        self.path = f"{self._folder}/listen.on"
        self.server = Server(f"unix://{self.path}", source, "evil-offer", {"networkservice.NetworkService"})
        self._monitor = MonitorServer(self.server)
        networkservice_pb2_grpc.add_NetworkServiceServicer_to_server(self, self.server.grpc)
        self._stopped = threading.Event()
        self.requests = self.closes = 0
        self.links: set[int] = set()
        self.last: Any = None
        self.server.start()

    def stop(self) -> None:
        self._stopped.set()
        self.server.stop(0)
        os.rmdir(self._folder)

    def seen(self) -> Order:
        return {"requests": self.requests, "closes": self.closes, "links": len(self.links), "last": self.last}

    @served
    def Request(self, request: NetworkServiceRequest, context: grpc.ServicerContext) -> Connection:
        self.requests += 1
        connection, order = request.connection, self._answer
        self.last = plain(connection) if order.get("tell") else None
        caller = self.server.caller(context, "Request")
        self.links.add(caller.link.number)
        if order.get("wait"):
            self._stopped.wait(order["wait"])
        own = path.enter_server(connection, self.name, "Request")
        path.put_tokens(connection, own, caller.token, caller.expires, caller.identity, caller.peer, 600 * SECOND)
        del connection.path.path_segments[own + 1 :]
        url = ""
        if namespace := order["namespace"]:
            url = caller.link.descriptors.send(namespace)
        parameters = {"name": order.get("interface", "evil-1"), "inodeURL": url}
        connection.mechanism.CopyFrom(Mechanism(cls="LOCAL", type="KERNEL", parameters=parameters))
        path.leave_server(connection, own, trim=True)
        messages.spoil(connection, order)
        return connection

    @served
    def Close(self, request: Connection, context: grpc.ServicerContext) -> Empty:
        self.closes += 1
        return Empty()
