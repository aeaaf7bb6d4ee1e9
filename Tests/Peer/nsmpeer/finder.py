"""Says what a registry holds."""

from __future__ import annotations

import os
import threading
from argparse import Namespace

from nsmproto import registry_pb2, registry_pb2_grpc

from . import settings
from .checks import event
from .identity import IdentitySource
from .rpc import Channel
from .tokens import SECOND

_LIMIT = 10


def run(options: Namespace, stop: threading.Event) -> None:
    source = IdentitySource(options.workload_api)
    dial = settings.seconds("DIAL_TIMEOUT", "5s")
    channel = Channel(
        options.connect_to, source, "find", dial, int(settings.duration(options.token_lifetime) * SECOND)
    )
    endpoints = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc).Find(
        registry_pb2.NetworkServiceEndpointQuery(
            network_service_endpoint=registry_pb2.NetworkServiceEndpoint(), watch=False
        ),
        timeout=_LIMIT,
        metadata=channel.metadata(),
    )
    found = []
    for answer in endpoints:
        found.append(answer.network_service_endpoint.name)
        # The socket of each comes along.
        url = answer.network_service_endpoint.url
        if url.startswith("inode://"):
            os.close(channel.link.descriptors.take(url, _LIMIT, "Find"))
    services = registry_pb2_grpc.NetworkServiceRegistryStub(channel.grpc).Find(
        registry_pb2.NetworkServiceQuery(network_service=registry_pb2.NetworkService(), watch=False),
        timeout=_LIMIT,
        metadata=channel.metadata(),
    )
    event("found", endpoints=sorted(found), services=sorted(answer.network_service.name for answer in services))
    channel.close()
