"""Keeps an endpoint registered, and checks every answer of the registry."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass

import grpc
from nsmproto import registry_pb2, registry_pb2_grpc
from nsmproto.connection_pb2 import PathSegment
from nsmproto.registry_pb2 import NetworkService, NetworkServiceEndpoint, NetworkServiceLabels

from . import path, tokens
from .checks import Refused, deviation, event, log, require
from .descriptors import GRACE, inode_url
from .identity import IdentitySource
from .rpc import FAILURES, Channel, reason
from .tokens import SECOND, TokenError

_EMPTY_PATH = ("path", '{"Index":0,"PathSegments":null}')
_TRY = 15.0
_PAUSE = 0.2


@dataclass(frozen=True)
class Registration:
    """What to register."""

    name: str
    services: list[str]
    labels: dict[str, str]
    payload: str
    register_services: bool
    url: str  # where we listen: unix:///path or tcp://host:port


class Registrar:
    """A thread that registers, renews after two thirds of the time, and starts over when its watch breaks."""

    def __init__(self, what: Registration, manager: str, source: IdentitySource, dial_timeout: float, lifetime: int):
        self._what, self._manager, self._source = what, manager, source
        self._dial_timeout, self._lifetime = dial_timeout, lifetime
        self.name = what.name  # as the registry answered
        self._channel: Channel | None = None
        self._wake = threading.Event()
        self._stopped = False
        self._owner = ""
        self._watch: grpc.Call | None = None
        self._watched: Channel | None = None
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, unregister: bool) -> None:
        self._stopped = True
        self._wake.set()
        self._thread.join(_TRY)
        if unregister:
            self._unregister()
        if self._channel:
            self._channel.close()

    def _run(self) -> None:
        registered = False
        known: Channel | None = None  # who has got our services
        while not self._stopped:
            self._wake.clear()
            try:
                channel = self._connection()
                if known is not channel and self._what.register_services:
                    for service in self._what.services:
                        self._register_service(channel, service)
                known = channel
                end = self._register(channel)
            except (*FAILURES, TokenError) as error:
                log.info("register: %s", reason(error))
                self._wake.wait(_PAUSE)
                continue
            event("renewed" if registered else "registered", endpoint=self.name, seconds=round(end - time.time(), 3))
            registered = True
            self._watch_own(channel)
            self._wake.wait(max(0.1, (end - time.time()) * 2 / 3))

    def _connection(self) -> Channel:
        old = self._channel
        if old and old.alive and old.identity is self._source.newest():
            return old
        self._channel = Channel(self._manager, self._source, "registry", self._dial_timeout, self._lifetime)
        if old:
            old.close()
        return self._channel

    def _register_service(self, channel: Channel, name: str) -> None:
        what = f"answer to Register of service {name!r}"
        stub = registry_pb2_grpc.NetworkServiceRegistryStub(channel.grpc)
        token = channel.token()
        request = NetworkService(name=name, payload=self._what.payload)
        metadata = channel.metadata(token, _EMPTY_PATH)
        answer, call = stub.Register.with_call(request, timeout=_TRY, metadata=metadata)
        require(answer.name == name, f"{what}: its name is {answer.name!r}")
        require(answer.payload == self._what.payload, f"{what}: its payload is {answer.payload!r}")
        self._check_path(call, list(answer.path_ids), token[0], channel, what)

    def _message(self, channel: Channel) -> NetworkServiceEndpoint:
        message = NetworkServiceEndpoint(name=self.name, network_service_names=self._what.services, url=self._what.url)
        for service in self._what.services:
            labels = NetworkServiceLabels(labels=self._what.labels)
            message.network_service_labels[service].CopyFrom(labels)
        if message.url.startswith("unix://"):
            message.url = channel.link.descriptors.send(message.url.removeprefix("unix://"))
        return message

    def _register(self, channel: Channel) -> float:
        """Registers the endpoint and returns when that expires, in seconds since 1970."""
        what = f"answer to Register of endpoint {self.name!r}"
        stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
        token, message = channel.token(), self._message(channel)
        metadata = channel.metadata(token, _EMPTY_PATH)
        answer, call = stub.Register.with_call(message, timeout=_TRY, metadata=metadata)
        self._check_path(call, list(answer.path_ids), token[0], channel, what)
        require(answer.name, f"{what}: no name")
        require(answer.url == message.url, f"{what}: its url is {answer.url}, ours was {message.url}")
        require(
            list(answer.network_service_names) == self._what.services,
            f"{what}: its services are {list(answer.network_service_names)}",
        )
        for service in self._what.services:
            labels = dict(answer.network_service_labels[service].labels)
            require(self._what.labels.items() <= labels.items(), f"{what}: its labels of {service!r} are {labels}")
        end = tokens.nanoseconds(answer.expiration_time) / SECOND
        require(answer.HasField("expiration_time"), f"{what}: no expiration_time")
        require(end > time.time(), f"{what}: it expired at {end}")
        ends = min(token[1], channel.peer.not_after) / SECOND
        require(end <= ends + 1, f"{what}: it outlives the tokens of the call")
        self.name = answer.name or self.name
        if answer.path_ids:
            require(
                self._owner in ("", answer.path_ids[0]), f"{what}: it was {self._owner}'s, now {answer.path_ids[0]}'s"
            )
            self._owner = answer.path_ids[0]
        return end if end > time.time() else time.time() + 1

    def _check_path(self, call: grpc.Call, ids: list[str], token: str, channel: Channel, what: str) -> None:
        """The header by which a registry proves who it is."""
        require(ids[:2] == [channel.identity.id, channel.peer.id], f"{what}: path_ids are {ids}")
        values = [value for key, value in call.initial_metadata() if key == "path"]
        if not require(len(values) == 1, f"{what}: {len(values)} values of the header path, not one"):
            return
        try:
            found = json.loads(values[0])
            segments = [PathSegment(token=segment["token"]) for segment in found["PathSegments"]]
            require(found["Index"] == 0, f"{what}: the header's Index is {found['Index']}, ours was 0")
        except (ValueError, KeyError, TypeError) as error:
            deviation(f"{what}: the header path is {values[0]!r}: {type(error).__name__} {error}")
            return
        if not require(len(segments) >= 2, f"{what}: {len(segments)} segments in the header path"):
            return
        require(segments[0].token == token, f"{what}: segment 0 of the header does not hold the token of our call")
        for segment in segments:  # these have no field for it
            segment.expires.CopyFrom(tokens.timestamp(tokens.now() + SECOND))
        faults = path.chain_faults(segments)
        for fault in faults:
            deviation(f"{what}: {fault}")
        if not faults:
            server = tokens.parse(segments[1].token)
            require(server.signed_by(channel.peer.key), f"{what}: token 1 is not signed by the server's certificate")
            require(
                [tokens.parse(s.token).subject for s in segments] == ids,
                f"{what}: path_ids are not the tokens' subjects",
            )

    def _watch_own(self, channel: Channel) -> None:
        """Follows our own registration. Its end means that we have to register again."""
        if self._watched is channel and self._watch and self._watch.is_active():
            return
        stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
        query = registry_pb2.NetworkServiceEndpointQuery(
            network_service_endpoint=NetworkServiceEndpoint(name=self.name), watch=True
        )
        call = stub.Find(query, metadata=channel.metadata())
        self._watch, self._watched = call, channel
        threading.Thread(target=self._follow, args=(call, channel), daemon=True).start()

    def _follow(self, call: grpc.Call, channel: Channel) -> None:
        what = f"Find with watch of {self.name!r}"
        heard = threading.Event()

        def complain() -> None:
            if not heard.wait(GRACE) and not self._stopped and channel.alive:
                deviation(f"{what}: our own registration was not shown within {GRACE:g} s")

        threading.Thread(target=complain, daemon=True).start()
        try:
            for answer in call:  # type: ignore[attr-defined]
                first = not heard.is_set()
                heard.set()
                self._check_found(answer, first, channel, what)
            why = "it ended"
        except (grpc.RpcError, Refused) as error:
            why = reason(error)
        # One that we left for a new identity is no sign of anything.
        if not self._stopped and self._watched is channel and self._channel is channel:
            log.info("%s: %s", what, why)
            time.sleep(_PAUSE)
            self._wake.set()

    def _check_found(
        self, answer: registry_pb2.NetworkServiceEndpointResponse, first: bool, channel: Channel, what: str
    ) -> None:
        found = answer.network_service_endpoint
        require(found.name == self.name, f"{what}: shows {found.name!r}")
        if answer.deleted:
            require(not first, f"{what}: the first thing shown is a removal")
            log.info("%s: removed", what)
            self._wake.set()
            return
        if self._what.url.startswith("unix://"):
            listening = os.open(self._what.url.removeprefix("unix://"), os.O_PATH | os.O_CLOEXEC)
            try:
                require(
                    found.url == inode_url(listening), f"{what}: url {found.url}, we listen on {inode_url(listening)}"
                )
            finally:
                os.close(listening)
            os.close(channel.link.descriptors.take(found.url, GRACE, what))

    def _unregister(self) -> None:
        try:
            channel = self._connection()
            stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
            stub.Unregister(self._message(channel), timeout=5, metadata=channel.metadata(None, _EMPTY_PATH))
            event("unregistered", endpoint=self.name)
        except FAILURES as error:
            deviation(f"Unregister of endpoint {self.name!r}: {reason(error)}")
