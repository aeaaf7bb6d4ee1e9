"""The registry of services and endpoints, in memory, and what it demands of those who register."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from nsmproto import registry_pb2, registry_pb2_grpc
from nsmproto.registry_pb2 import NetworkService, NetworkServiceEndpoint

from . import descriptors, path, tokens
from .checks import Refused, deviation, event, log, require
from .rpc import FAILURES, Caller, Channel, Server, reason, served
from .settings import SettingError
from .tokens import SECOND


@dataclass
class Endpoint:
    """A registration, with the descriptor of the socket that it names."""

    message: NetworkServiceEndpoint
    owner: str
    descriptor: int | None
    link: int  # number of the connection that it came by
    timer: threading.Timer
    renewed: float = field(default_factory=time.monotonic)

    @property
    def url(self) -> str:
        """Where we can connect to."""
        return self.message.url if self.descriptor is None else f"unix:///proc/self/fd/{self.descriptor}"

    def labels(self, service: str) -> dict[str, str]:
        return dict(self.message.network_service_labels[service].labels)


class _Watchers:
    """Open Find streams. Each has a queue; a message with True was removed."""

    def __init__(self) -> None:
        self._queues: list[queue.Queue[tuple[Any, bool] | None]] = []
        self.lock = threading.RLock()

    def tell(self, message: Any, deleted: bool) -> None:
        with self.lock:
            for watcher in self._queues:
                watcher.put((message, deleted))

    def open(self, context: grpc.ServicerContext) -> queue.Queue[tuple[Any, bool] | None]:
        events: queue.Queue[tuple[Any, bool] | None] = queue.Queue()
        with self.lock:
            self._queues.append(events)
        if not context.add_callback(lambda: self._close(events)):
            self._close(events)
        return events

    def _close(self, events: queue.Queue[tuple[Any, bool] | None]) -> None:
        events.put(None)
        with self.lock:
            if events in self._queues:
                self._queues.remove(events)


def check_path_header(context: grpc.ServicerContext, what: str) -> None:
    values = [value for key, value in context.invocation_metadata() if key == "path"]
    if not require(len(values) == 1, f"{what}: {len(values)} values of the metadata path, not one"):
        return
    try:
        found = json.loads(values[0])
    except ValueError:
        deviation(f"{what}: the metadata path is no JSON: {values[0]!r}")
        return
    good = isinstance(found, dict) and found.get("Index") == 0 and found.get("PathSegments", 0) in (None, [])
    require(good and set(found) == {"Index", "PathSegments"}, f"{what}: the metadata path is {values[0]}, not empty")


class Registry:
    """Both registry services. `removed` hears the name of each endpoint that has gone."""

    def __init__(self, server: Server, lifetime: int, token_lifetime: int, faults: set[str]) -> None:
        self.lock = threading.RLock()
        self.server, self.lifetime, self.token_lifetime, self.faults = server, lifetime, token_lifetime, faults
        self.services: dict[str, NetworkService] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.owners: dict[str, str] = {}
        self.shared_services = False  # whether everybody may register every service
        self.removed: Callable[[str], None] = lambda name: None
        self.probe: Callable[[Endpoint], Channel] | None = None
        self.public = ""  # where other hosts find the endpoints of this one
        self.other_endpoints: Callable[[NetworkServiceEndpoint], list[NetworkServiceEndpoint]] = lambda wanted: []
        self.other_services: Callable[[NetworkService], list[NetworkService]] = lambda wanted: []
        registry_pb2_grpc.add_NetworkServiceRegistryServicer_to_server(_Services(self), server.grpc)
        registry_pb2_grpc.add_NetworkServiceEndpointRegistryServicer_to_server(_Endpoints(self), server.grpc)

    def enter(self, context: grpc.ServicerContext, what: str) -> tuple[Caller, list[str]]:
        """The common part of Register and Unregister: checks, and the path that answers. Returns the path's ids."""
        caller = self.server.caller(context, what)
        check_path_header(context, what)
        own, _ = path.own_token(caller.identity, caller.peer, self.token_lifetime)
        if "no-path-header" not in self.faults:
            answer = {"Index": 0, "PathSegments": [{"token": caller.token}, {"token": own}]}
            context.send_initial_metadata((("path", json.dumps(answer, separators=(",", ":"))),))
        return caller, [caller.peer.id, caller.identity.id]

    def own(self, kind: str, name: str, caller: Caller) -> None:
        """A name belongs to whom it was first registered by."""
        if kind == "service" and self.shared_services:
            return
        owner = self.owners.setdefault(f"{kind} {name}", caller.peer.id)
        if owner != caller.peer.id:
            raise Refused("PERMISSION_DENIED", f"{kind} {name} belongs to {owner}, not to {caller.peer.id}")

    def remove(self, name: str, why: str) -> None:
        with self.lock:
            entry = self.endpoints.pop(name, None)
        if entry:
            entry.timer.cancel()
            if entry.descriptor is not None:
                os.close(entry.descriptor)
            event("unregistered", name=name, reason=why)
            self.removed(name)

    def close(self) -> None:
        for name in list(self.endpoints):
            self.remove(name, "the manager ends")


class _Services(registry_pb2_grpc.NetworkServiceRegistryServicer):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._watchers = _Watchers()

    @served
    def Register(self, request: NetworkService, context: grpc.ServicerContext) -> NetworkService:
        what = f"Register of service {request.name!r}"
        caller, ids = self._registry.enter(context, what)
        if not require(request.name, f"{what}: no name"):
            raise Refused("INVALID_ARGUMENT", "a service needs a name")
        self._registry.own("service", request.name, caller)
        request.payload = request.payload or "IP"
        require(request.payload in ("IP", "ETHERNET"), f"{what}: payload {request.payload!r}")
        request.path_ids[:] = ids
        with self._watchers.lock:
            self._registry.services[request.name] = request
            self._watchers.tell(request, False)
        event("registered", service=request)
        return request

    @served
    def Find(
        self, request: registry_pb2.NetworkServiceQuery, context: grpc.ServicerContext
    ) -> Iterator[registry_pb2.NetworkServiceResponse]:
        caller = self._registry.server.caller(context, "Find of services", deadline=False)
        with self._watchers.lock:
            events = self._watchers.open(context) if request.watch else None
            present = list(self._registry.services.values())
        for service in present:
            if _service_matches(request.network_service, service):
                yield registry_pb2.NetworkServiceResponse(network_service=service)
        if caller.link.unix:  # those who come from other hosts ask every host
            for service in self._registry.other_services(request.network_service):
                yield registry_pb2.NetworkServiceResponse(network_service=service)
        while events and (item := events.get()):
            if _service_matches(request.network_service, item[0]):
                yield registry_pb2.NetworkServiceResponse(network_service=item[0], deleted=item[1])

    @served
    def Unregister(self, request: NetworkService, context: grpc.ServicerContext) -> Empty:
        caller, _ = self._registry.enter(context, f"Unregister of service {request.name!r}")
        self._registry.own("service", request.name, caller)
        self._registry.owners.pop(f"service {request.name}", None)
        if service := self._registry.services.pop(request.name, None):
            self._watchers.tell(service, True)
        return Empty()


class _Endpoints(registry_pb2_grpc.NetworkServiceEndpointRegistryServicer):
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._watchers = _Watchers()
        self._watched: set[str] = set()

    @served
    def Register(self, request: NetworkServiceEndpoint, context: grpc.ServicerContext) -> NetworkServiceEndpoint:
        what = f"Register of endpoint {request.name!r}"
        caller, ids = self._registry.enter(context, what)
        if not require(request.name and request.network_service_names, f"{what}: no name or no services"):
            raise Refused("INVALID_ARGUMENT", "an endpoint needs a name and services")
        for service in request.network_service_labels:
            require(service in request.network_service_names, f"{what}: labels of {service!r}, which it does not offer")
        descriptor = self._take_socket(request.url, caller, context, what)
        try:
            self._registry.own("endpoint", request.name, caller)
        except Refused:
            if descriptor is not None:
                os.close(descriptor)
            raise
        _, own_end = path.own_token(caller.identity, caller.peer, self._registry.token_lifetime)
        end = min(own_end, caller.expires, tokens.now() + self._registry.lifetime)
        with self._registry.lock:
            old = self._registry.endpoints.pop(request.name, None)
            answer = NetworkServiceEndpoint()
            answer.CopyFrom(request)
            answer.expiration_time.CopyFrom(tokens.timestamp(end))
            begun = old.message.initial_registration_time if old else tokens.timestamp(tokens.now())
            answer.initial_registration_time.CopyFrom(begun)
            answer.path_ids[:] = ids
            timer = threading.Timer((end - tokens.now()) / SECOND, self._expire, (request.name, caller.link.number))
            timer.daemon = True
            entry = Endpoint(answer, caller.peer.id, descriptor, caller.link.number, timer)
            self._registry.endpoints[request.name] = entry
            timer.start()
            if old:
                self._check_renewal(old, entry, what)
                old.timer.cancel()
                if old.descriptor is not None:
                    os.close(old.descriptor)
            self._watchers.tell(answer, False)
        event("registered" if not old else "renewed", endpoint=answer)
        if not old or old.link != entry.link:
            threading.Thread(target=self._check_health, args=(entry,), daemon=True).start()
        return answer

    def _take_socket(self, url: str, caller: Caller, context: grpc.ServicerContext, what: str) -> int | None:
        if url.startswith("tcp://"):
            return None
        descriptor = caller.link.descriptors.take(url, context.time_remaining() or 5, what)
        if not require(descriptors.is_socket(descriptor), f"{what}: {url} is no socket"):
            os.close(descriptor)
            raise Refused("INVALID_ARGUMENT", f"{what}: {url} is no socket")
        return descriptor

    def _check_renewal(self, old: Endpoint, new: Endpoint, what: str) -> None:
        """Renewal is due after two thirds of the remaining time, and a watch of the own name lies in between."""
        if old.link != new.link or old.message.network_service_labels != new.message.network_service_labels:
            return  # the connection broke or the wishes changed: registering again at once is right
        require(new.message.name in self._watched, f"{what}: renewed, but nobody has watched this name with Find")
        lifetime = tokens.nanoseconds(old.message.expiration_time) / SECOND - (
            time.time() - time.monotonic() + old.renewed
        )
        passed = new.renewed - old.renewed
        require(
            passed > lifetime * 0.4 - 1,
            f"{what}: renewed after {passed:.1f} s of {lifetime:.1f} s; due after two thirds",
        )
        require(passed < lifetime * 0.9 + 1, f"{what}: renewed only after {passed:.1f} s of {lifetime:.1f} s")

    def _check_health(self, entry: Endpoint) -> None:
        """The socket must be one that answers."""
        name = entry.message.name
        if not self._registry.probe:
            return
        try:
            channel = self._registry.probe(entry)
            for service in ("networkservice.NetworkService", "connection.MonitorConnection"):
                require(channel.healthy(service), f"endpoint {name!r}: health of {service} is not SERVING")
        except FAILURES as error:
            with self._registry.lock:
                present = self._registry.endpoints.get(name) is entry
            if present:
                deviation(f"endpoint {name!r}: the socket that it registered does not serve: {reason(error)}")

    def _expire(self, name: str, link: int) -> None:
        with self._registry.lock:
            entry = self._registry.endpoints.get(name)
            if not entry or tokens.nanoseconds(entry.message.expiration_time) > tokens.now():
                return
        if self._registry.server.has_link(link):
            deviation(f"endpoint {name!r}: the registration expired although who registered it is still connected")
        self._drop(name, "expired")

    def _drop(self, name: str, why: str) -> None:
        with self._registry.lock:
            entry = self._registry.endpoints.get(name)
        if entry:
            self._watchers.tell(entry.message, True)
            self._registry.remove(name, why)

    @served
    def Find(
        self, request: registry_pb2.NetworkServiceEndpointQuery, context: grpc.ServicerContext
    ) -> Iterator[registry_pb2.NetworkServiceEndpointResponse]:
        caller = self._registry.server.caller(context, "Find of endpoints", deadline=False)
        wanted = request.network_service_endpoint
        with self._registry.lock:
            events = self._watchers.open(context) if request.watch else None
            if request.watch:
                self._watched.add(wanted.name)
            present = [entry.message for entry in self._registry.endpoints.values()]
        log.debug("%s finds %s, watch=%s", caller.peer.id, wanted.name or "every endpoint", request.watch)
        for message in present:
            if _endpoint_matches(wanted, message):
                yield self._found(message, False, caller)
        if caller.link.unix and not request.watch:
            for message in self._registry.other_endpoints(wanted):
                yield registry_pb2.NetworkServiceEndpointResponse(network_service_endpoint=message)
        while events and (item := events.get()):
            if _endpoint_matches(wanted, item[0]):
                yield self._found(item[0], item[1], caller)

    def _found(
        self, message: NetworkServiceEndpoint, deleted: bool, caller: Caller
    ) -> registry_pb2.NetworkServiceEndpointResponse:
        if not caller.link.unix:
            copy = NetworkServiceEndpoint()
            copy.CopyFrom(message)
            copy.url = self._registry.public
            return registry_pb2.NetworkServiceEndpointResponse(network_service_endpoint=copy, deleted=deleted)
        with self._registry.lock:
            entry = self._registry.endpoints.get(message.name)
            if entry and entry.descriptor is not None and not deleted:
                caller.link.descriptors.send(f"/proc/self/fd/{entry.descriptor}")
        return registry_pb2.NetworkServiceEndpointResponse(network_service_endpoint=message, deleted=deleted)

    @served
    def Unregister(self, request: NetworkServiceEndpoint, context: grpc.ServicerContext) -> Empty:
        what = f"Unregister of endpoint {request.name!r}"
        caller, _ = self._registry.enter(context, what)
        if descriptors.is_inode_url(request.url):
            os.close(caller.link.descriptors.take(request.url, context.time_remaining() or 5, what))
        self._registry.own("endpoint", request.name, caller)
        self._registry.owners.pop(f"endpoint {request.name}", None)
        self._drop(request.name, "unregistered")
        return Empty()


def _service_matches(query: NetworkService, service: NetworkService) -> bool:
    return (
        query.name in ("", service.name)
        and query.payload in ("", service.payload)
        and (not query.matches or list(query.matches) == list(service.matches))
    )


def _endpoint_matches(query: NetworkServiceEndpoint, endpoint: NetworkServiceEndpoint) -> bool:
    return (
        query.name in ("", endpoint.name)
        and set(query.network_service_names) <= set(endpoint.network_service_names)
        and all(
            wanted.labels.items() <= endpoint.network_service_labels[service].labels.items()
            for service, wanted in query.network_service_labels.items()
        )
        and query.url in endpoint.url
        and (not query.HasField("expiration_time") or query.expiration_time.seconds == endpoint.expiration_time.seconds)
    )


def network_service(text: str) -> NetworkService:
    """A service with matches from JSON, for the manager's --service."""
    from google.protobuf import json_format

    try:
        return json_format.Parse(text, NetworkService())
    except json_format.ParseError as error:
        raise SettingError(f"--service: {error}") from None
