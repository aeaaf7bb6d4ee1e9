"""An honest client that measures: a new connection, a Request and a Close, again and again."""

from __future__ import annotations

import threading
import time
from argparse import Namespace

from nsmproto import health_pb2, health_pb2_grpc, networkservice_pb2_grpc
from nsmproto.connection_pb2 import Connection

from . import settings
from .checks import event
from .evil import messages
from .identity import IdentitySource
from .rpc import FAILURES, Channel, reason
from .tokens import SECOND

_PATIENCE = 10.0


def run(options: Namespace, stop: threading.Event) -> int:
    """One event for each round: when it began, how long it took until the answer, and what went wrong."""
    pause = settings.duration(options.every)
    source: IdentitySource | None = None
    lifetime = int(settings.duration(options.token_lifetime) * SECOND)
    while not stop.is_set():
        began, why, waited = time.time(), "", 0.0
        try:
            source = source or IdentitySource(options.workload_api)
            source.newest(_PATIENCE)
            waited = time.time() - began
            channel = Channel(options.connect_to, source, "probe", _PATIENCE, lifetime)
            try:
                answer = _round(options, channel)
                took = time.time() - began
                if answer:
                    _farewell(channel, answer)
            finally:
                channel.close()
        except FAILURES as error:
            why, took = reason(error), time.time() - began
        event("probe", began=round(began, 3), seconds=round(took, 3), identity=round(waited, 3), error=why)
        stop.wait(pause)
    return 0


def _round(options: Namespace, channel: Channel) -> Connection | None:
    """What was answered, if a connection was asked for."""
    if options.service == "-":
        stub = health_pb2_grpc.HealthStub(channel.grpc)
        stub.Check(health_pb2.HealthCheckRequest(), timeout=_PATIENCE, metadata=channel.metadata())
        return None
    url = channel.link.descriptors.send(options.netns)
    order = {"name": options.name, "service": options.service, "interface": "probe-0"}
    request = messages.request(order, channel, url)
    stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
    return stub.Request(request, timeout=_PATIENCE, metadata=channel.metadata())


def _farewell(channel: Channel, connection: Connection) -> None:
    stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
    stub.Close(connection, timeout=_PATIENCE, metadata=channel.metadata())
