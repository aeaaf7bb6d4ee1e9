"""Calls over checked connections: a gRPC server and client whose every call carries, and demands, a token."""

from __future__ import annotations

import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from nsmproto import health_pb2, health_pb2_grpc

from . import path, tokens
from .checks import Refused, deviation, event, log, require
from .identity import Identity, IdentityError, IdentitySource, Peer
from .relay import Acceptor, Faults, Link, WireError, connect, inner_folder
from .tokens import SECOND, TokenError

_LOCAL = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))


@dataclass(frozen=True)
class Caller:
    """Who makes a call, with the token it brought."""

    link: Link
    peer: Peer
    identity: Identity  # ours, on this connection
    token: str
    expires: int


def served(method: Callable[..., Any]) -> Callable[..., Any]:
    """For a servicer's methods: what goes wrong becomes the call's status."""

    def end(context: grpc.ServicerContext, error: Exception) -> None:
        if isinstance(error, Refused):
            log.info("%s: %s %s", method.__name__, error.code, error)
            context.abort(getattr(grpc.StatusCode, error.code), str(error))
        log.exception("%s", method.__name__)
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    if method.__code__.co_flags & 0x20:  # a generator: the answer is a stream

        @functools.wraps(method)
        def stream(self: Any, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from method(self, request, context)
            except Exception as error:
                if context.is_active():
                    end(context, error)

        return stream

    @functools.wraps(method)
    def unary(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            end(context, error)

    return unary


class Server:
    """Listens for peers with an identity and serves them gRPC."""

    def __init__(self, url: str, source: IdentitySource, name: str, health: set[str]) -> None:
        self._source, self._name = source, name
        self._links: dict[str, Link] = {}
        # Streams that stay open hold a thread each.
        self.grpc = grpc.server(
            futures.ThreadPoolExecutor(512, name), options=(("grpc.max_connection_age_ms", 2**31 - 1),)
        )
        # Handlers that the library looks up itself never learn the :authority of a call.
        self.grpc.add_registered_method_handlers = lambda *_: None
        self._inner = f"{inner_folder()}/{name[:20].replace('/', '_')}-{id(self):x}"
        self.grpc.add_insecure_port(f"unix:{self._inner}")
        health_pb2_grpc.add_HealthServicer_to_server(_Health(self, health), self.grpc)
        self._acceptors = [Acceptor(url, name, 0o777, self._serve)]
        self.url = self._acceptors[0].url

    def listen_also(self, url: str) -> str:
        """At a second place, before it starts; returns its URL."""
        self._acceptors.append(Acceptor(url, self._name, 0o777, self._serve))
        return self._acceptors[-1].url

    def start(self) -> None:
        self.grpc.start()
        for acceptor in self._acceptors:
            acceptor.start()

    def stop(self, grace: float = 0.5) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        self.grpc.stop(grace).wait()

    def _serve(self, link: Link) -> None:
        try:
            link.handshake(self._source.newest(), server=True, timeout=5)
        except (WireError, IdentityError, OSError) as error:
            log.info("%s: refused: %s", link.name, error)
            event("refused", reason=str(error))
            link.close()
            return
        own = f"{inner_folder()}/{link.number}"
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inner.bind(own)  # by this name the gRPC library calls the peer of the connection
        self._links[f"unix:{own}"] = link
        try:
            inner.connect(self._inner)
            link.pump(inner)
        except OSError as error:
            log.info("%s: %s", link.name, error)
            link.close()
        finally:
            del self._links[f"unix:{own}"]
            os.unlink(own)

    def link(self, context: grpc.ServicerContext) -> Link:
        found = self._links.get(context.peer())
        if not found or not found.peer:
            raise Refused("UNAVAILABLE", "the connection has gone")
        return found

    def has_link(self, number: int) -> bool:
        """Whether that connection still exists."""
        return any(link.number == number for link in list(self._links.values()))

    def caller(self, context: grpc.ServicerContext, what: str, deadline: bool = True) -> Caller:
        """The caller, after every check that its call alone allows."""
        link = self.link(context)
        assert link.peer and link.identity
        if deadline:
            require((context.time_remaining() or 1e9) < 1e8, f"{what}: the call has no grpc-timeout")
        details = getattr(getattr(context, "_rpc_event", None), "call_details", None)
        if link.unix and details is not None:
            require(details.host == b"localhost", f"{what}: :authority is {details.host!r}, not localhost")
        values = {key: _values(context, key) for key in (tokens.CLIENT_TOKEN, tokens.CLIENT_TOKEN_EXPIRES)}
        for key, found in values.items():
            if not require(len(found) == 1, f"{what}: {len(found)} values of the metadata {key}, not one"):
                raise Refused("UNAUTHENTICATED", f"{what}: {len(found)} values of {key}, not one")
        text, expires = values[tokens.CLIENT_TOKEN][0], values[tokens.CLIENT_TOKEN_EXPIRES][0]
        return Caller(
            link, link.peer, link.identity, text, check_call_token(text, expires, link.peer, link.identity, what)
        )


def _values(context: grpc.ServicerContext, key: str) -> list[str]:
    return [str(value) for name, value in context.invocation_metadata() if name == key]


def check_call_token(text: str, expires_text: str, peer: Peer, own: Identity, what: str) -> int:
    """Refuses a token that is not the peer's, for us, alive and signed with its certificate. Returns its stated end."""
    faults = []
    try:
        token = tokens.parse(text)
        expires = tokens.parse_rfc3339(expires_text)
    except TokenError as error:
        faults.append(str(error))
    else:
        faults += token.form_faults()
        if token.subject != peer.id:
            faults.append(f"its `sub` is {token.subject}, the TLS peer is {peer.id}")
        if token.audience != [own.id]:
            faults.append(f"its `aud` is {token.audience}, not [{own.id}]")
        if min(token.expires, expires) <= tokens.now():
            faults.append(f"it expired at {tokens.rfc3339(min(token.expires, expires))}")
        if token.expires > peer.not_after:
            faults.append("it ends after the certificate that it is signed with")
        if not token.signed_by(peer.key):
            faults.append("it is not signed with the key of the TLS certificate")
        ends = min(token.expires, own.not_after)
        if not ends - SECOND <= expires < ends + SECOND:
            faults.append(f"{tokens.CLIENT_TOKEN_EXPIRES} is {expires_text}, the token ends at {tokens.rfc3339(ends)}")
    for fault in faults:
        deviation(f"{what}: the call's token: {fault}")
    if faults:
        raise Refused("PERMISSION_DENIED", f"{what}: the call's token: {faults[0]}")
    return expires


class _Health(health_pb2_grpc.HealthServicer):
    def __init__(self, server: Server, names: set[str]) -> None:
        self._server, self._names = server, names

    @served
    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service and request.service not in self._names:
            raise Refused("NOT_FOUND", f"unknown service {request.service}")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


class Channel:
    """One transport connection to a server. It is never re-made: when it ends, its calls fail."""

    def __init__(
        self, url: str, source: IdentitySource, name: str, timeout: float, lifetime: int, faults: Faults | None = None
    ):
        self.link = connect(url, name, timeout, faults)
        self.lifetime = lifetime
        try:
            self.link.handshake(source.newest(), server=False, timeout=timeout)
        except BaseException:
            self.link.close()
            raise
        self.grpc = wrap(self.link)

    @property
    def peer(self) -> Peer:
        assert self.link.peer
        return self.link.peer

    @property
    def identity(self) -> Identity:
        assert self.link.identity
        return self.link.identity

    @property
    def alive(self) -> bool:
        return not self.link.ended.is_set()

    def token(self) -> tuple[str, int]:
        return path.own_token(self.identity, self.peer, self.lifetime)

    def metadata(self, token: tuple[str, int] | None = None, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """For one call."""
        text, expires = token or self.token()
        return ((tokens.CLIENT_TOKEN, text), (tokens.CLIENT_TOKEN_EXPIRES, tokens.rfc3339(expires)), *more)

    def healthy(self, service: str, timeout: float = 5) -> bool:
        stub = health_pb2_grpc.HealthStub(self.grpc)
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout, metadata=self.metadata())
        return answer.status == health_pb2.HealthCheckResponse.SERVING

    def close(self) -> None:
        self.grpc.close()
        if not self.link.ended.wait(0.5):
            self.link.close()


def wrap(link: Link) -> grpc.Channel:
    """A gRPC channel over a connection, which a thread then serves."""
    own = f"{inner_folder()}/c{link.number}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(own)
    listener.listen(1)
    listener.settimeout(60)

    def serve() -> None:
        try:
            inner, _ = listener.accept()
        except OSError:
            link.close()
            return
        finally:
            listener.close()  # the library's second try must fail: the connection is one for good
            os.unlink(own)
        link.pump(inner)

    channel = grpc.insecure_channel(f"unix:{own}", options=(*_LOCAL, ("grpc.default_authority", "localhost")))
    threading.Thread(target=serve, name=link.name, daemon=True).start()
    return channel


def reason(error: Exception) -> str:
    """One line about a failed call."""
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return f"{error.code().name} {error.details()}"
    return f"{type(error).__name__}: {error}"


FAILURES = (grpc.RpcError, WireError, IdentityError, Refused, OSError)


def wait_until(holds: Callable[[], Any], timeout: float, pause: float = 0.02) -> bool:
    end = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
