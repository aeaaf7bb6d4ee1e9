"""Peers that misbehave, one after another: what does the server answer, and does it still serve good ones?"""

from __future__ import annotations

import functools
import os
import threading
import time
from argparse import Namespace
from collections.abc import Callable

import grpc
from nsmproto import networkservice_pb2_grpc, registry_pb2, registry_pb2_grpc
from nsmproto.connection_pb2 import Connection, Mechanism
from nsmproto.networkservice_pb2 import NetworkServiceRequest

from . import descriptors, rawbad, settings, tokens
from .authority import Authority
from .checks import event
from .identity import Identity, IdentitySource
from .path import start_client
from .relay import Faults, Link, connect
from .rpc import FAILURES, Channel, reason, wrap
from .tokens import SECOND

Metadata = tuple[tuple[str, str], ...]


class Bad:
    """Cases are the methods that begin with `case_`. Each returns what the server answered."""

    def __init__(self, options: Namespace, source: IdentitySource) -> None:
        self._options, self._source = options, source
        self._lifetime = 600 * SECOND
        domain = source.newest().bundles
        self._domain = next(iter(domain))
        self._authority = Authority(self._domain, options.ca) if options.ca else None
        self._stranger = Authority(self._domain)
        self.raw = rawbad.RawBad(options.connect_to, source)

    def channel(self, faults: Faults | None = None) -> Channel:
        return Channel(self._options.connect_to, self._source, "bad", 5, self._lifetime, faults)

    def healthy(self) -> bool:
        """A good peer is served, and at once."""
        try:
            channel = self.channel()
            good = channel.healthy("networkservice.NetworkService", 5)
            channel.close()
            return good
        except FAILURES as error:
            event("unhealthy", reason=reason(error))
            return False

    def request(
        self,
        channel: Channel,
        metadata: Metadata | None = None,
        change: Callable[[NetworkServiceRequest], None] | None = None,
        send: bool = True,
        timeout: float = 15,
    ) -> str:
        """A Request that is right but for what the arguments say."""
        connection = Connection(id="bad-0", network_service=self._options.service)
        start_client(connection, "bad")
        connection.path.path_segments[0].metrics["client_interface"] = "KERNEL/bad-0"
        connection.context.ip_context.SetInParent()
        url = descriptors.inode_url(descriptors.open_path(self._options.netns))
        if send:
            url = channel.link.descriptors.send(self._options.netns)
        preference = Mechanism(cls="LOCAL", type="KERNEL", parameters={"name": "bad-0", "inodeURL": url})
        request = NetworkServiceRequest(connection=connection, mechanism_preferences=[preference])
        if change:
            change(request)
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel.grpc)
        metadata = channel.metadata() if metadata is None else metadata
        try:
            answer = stub.Request(request, timeout=timeout, metadata=metadata)
            stub.Close(answer, timeout=5, metadata=channel.metadata())
            return "accepted"
        except grpc.RpcError as error:
            return status(error, channel.link)
        finally:
            channel.close()

    def with_token(self, text: str, expires: int | None = None) -> str:
        channel = self.channel()
        end = tokens.rfc3339(expires or tokens.now() + 300 * SECOND)
        return self.request(channel, ((tokens.CLIENT_TOKEN, text), (tokens.CLIENT_TOKEN_EXPIRES, end)))

    def signed(self, audience: list[str] | None = None, expires: int = 0, subject: str = "") -> str:
        identity = self._source.newest()
        channel = self.channel()
        audience = [channel.peer.id] if audience is None else audience
        channel.close()
        end = expires or tokens.now() + 300 * SECOND
        return tokens.sign(subject or identity.id, audience, end, identity.key)

    def case_wrong_audience(self) -> str:
        return self.with_token(self.signed([f"spiffe://{self._domain}/somebody-else"]))

    def case_no_audience(self) -> str:
        return self.with_token(self.signed([]))

    def case_expired_token(self) -> str:
        end = tokens.now() - 60 * SECOND
        return self.with_token(self.signed(expires=end), end)

    def case_wrong_subject(self) -> str:
        return self.with_token(self.signed(subject=f"spiffe://{self._domain}/somebody-else"))

    def case_replayed_token(self) -> str:
        """A token that another caller made for this server, good in itself."""
        issuer = self._authority or self._stranger
        victim = issuer.issue([f"spiffe://{self._domain}/victim"], 600)
        channel = self.channel()
        text = tokens.sign(victim.id, [channel.peer.id], tokens.now() + 300 * SECOND, victim.key)
        channel.close()
        return self.with_token(text)

    def case_unsigned_token(self) -> str:
        head = self.signed().split(".")
        none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
        return self.with_token(f"{none}.{head[1]}.")

    def case_no_token(self) -> str:
        return self.request(self.channel(), ())

    def case_two_tokens(self) -> str:
        channel = self.channel()
        metadata = channel.metadata()
        return self.request(channel, (*metadata, *channel.metadata()))

    def case_broken_expires(self) -> str:
        channel = self.channel()
        text, _ = channel.token()
        return self.request(channel, ((tokens.CLIENT_TOKEN, text), (tokens.CLIENT_TOKEN_EXPIRES, "tomorrow")))

    def case_missing_descriptor(self) -> str:
        return self.request(self.channel(), send=False, timeout=5)

    def case_dropped_descriptor(self) -> str:
        return self.request(self.channel(Faults(drop_descriptors=True)), timeout=5)

    def case_no_namespace(self) -> str:
        """The descriptor arrives, but it is a device file's."""
        channel = self.channel()
        url = channel.link.descriptors.send("/dev/null")

        def change(request: NetworkServiceRequest) -> None:
            request.mechanism_preferences[0].parameters["inodeURL"] = url

        return self.request(channel, change=change)

    def case_no_path(self) -> str:
        return self.request(self.channel(), change=lambda request: request.connection.ClearField("path"))

    def case_bad_index(self) -> str:
        return self.request(self.channel(), change=lambda request: setattr(request.connection.path, "index", 7))

    def case_wrong_id(self) -> str:
        return self.request(self.channel(), change=lambda request: setattr(request.connection, "id", "another"))

    def case_no_connection(self) -> str:
        return self.request(self.channel(), change=lambda request: request.ClearField("connection"))

    def case_no_mechanism(self) -> str:
        return self.request(self.channel(), change=lambda request: request.ClearField("mechanism_preferences"))

    def case_huge_message(self) -> str:
        def change(request: NetworkServiceRequest) -> None:
            request.connection.labels["filler"] = "x" * (64 << 20)

        return self.request(self.channel(), change=change)

    def case_unknown_method(self) -> str:
        channel = self.channel()
        call = channel.grpc.unary_unary("/networkservice.NetworkService/Destroy")
        try:
            call(b"", timeout=5, metadata=channel.metadata())
        except grpc.RpcError as error:
            return status(error)
        finally:
            channel.close()
        return "accepted"

    def case_no_message(self) -> str:
        """Bytes that are no protobuf."""
        channel = self.channel()
        call = channel.grpc.unary_unary("/networkservice.NetworkService/Request")
        try:
            call(b"\x0a\xff\xff\xff\xff\x0f" + os.urandom(32), timeout=5, metadata=channel.metadata())
        except grpc.RpcError as error:
            return status(error)
        finally:
            channel.close()
        return "accepted"

    def case_registration_without_socket(self) -> str:
        channel = self.channel()
        stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
        message = registry_pb2.NetworkServiceEndpoint(
            name="bad-endpoint", network_service_names=[self._options.service], url="inode://1/2"
        )
        metadata = channel.metadata(None, ("path", '{"Index":0,"PathSegments":null}'))
        try:
            stub.Register(message, timeout=5, metadata=metadata)
        except grpc.RpcError as error:
            return status(error)
        finally:
            channel.close()
        return "accepted"

    def case_truncated(self) -> str:
        """The connection ends in the middle of a Request."""
        return self.request(self.channel(Faults(cut_after=300)), timeout=5)

    def case_garbled(self) -> str:
        """One byte of a Request's frames is another one. It may hit something that means nothing."""
        answer = self.request(self.channel(Faults(garble_after=200)), timeout=5)
        return "closed (accepted)" if answer == "accepted" else answer

    def case_slow_reader(self) -> str:
        """Asks for much and reads nothing; others must not notice."""
        channel = self.channel(Faults(stop_reading=True))
        stub = registry_pb2_grpc.NetworkServiceEndpointRegistryStub(channel.grpc)
        query = registry_pb2.NetworkServiceEndpointQuery(watch=True)
        calls = [stub.Find(query, timeout=6, metadata=channel.metadata()) for _ in range(200)]
        began = time.monotonic()
        others = all(self.healthy() for _ in range(3))
        took = time.monotonic() - began
        code = calls[0].code()
        channel.close()
        return f"status {code.name} others were served in {took:.2f} s" if others else "accepted, but others starved"

    def case_descriptor_flood(self) -> str:
        """A thousand descriptors that no message names."""
        channel = self.channel()
        for _ in range(1000):
            channel.link.descriptors.send("/dev/null")
            if _ % 50 == 49:
                try:
                    channel.healthy("", 2)
                except grpc.RpcError as error:
                    channel.close()
                    return status(error)
        channel.close()
        return "closed after all of them"

    def _with_identity(self, identity: Identity) -> str:
        """A handshake and a call with an SVID that must not be believed."""
        good = self._source.newest()
        link = connect(self._options.connect_to, "bad", 5)
        pretended = Identity(identity.id, identity.chain, identity.key, good.bundles)
        try:
            link.handshake(pretended, server=False, timeout=5)
        except FAILURES as error:
            link.close()
            return f"closed {error}"
        channel = wrap(link)
        stub = networkservice_pb2_grpc.NetworkServiceStub(channel)
        try:
            stub.Close(Connection(id="bad"), timeout=5)
        except grpc.RpcError as error:
            answer = status(error, link)
            return answer if answer.startswith("closed") else f"accepted by TLS, then {answer}"
        finally:
            channel.close()
        return "accepted"

    def case_two_uris(self) -> str:
        issuer = self._need_authority()
        return self._with_identity(issuer.issue([f"spiffe://{self._domain}/{name}" for name in "ab"], 600))

    def case_no_uri(self) -> str:
        return self._with_identity(self._need_authority().issue([], 600))

    def case_authority_certificate(self) -> str:
        return self._with_identity(self._need_authority().issue([f"spiffe://{self._domain}/a"], 600, authority=True))

    def case_expired_certificate(self) -> str:
        return self._with_identity(self._need_authority().issue([f"spiffe://{self._domain}/a"], -30))

    def case_other_domain(self) -> str:
        """Signed by the authority of one trust domain, with a name in another."""
        return self._with_identity(self._need_authority().issue(["spiffe://other.example/a"], 600))

    def case_stranger(self) -> str:
        return self._with_identity(self._stranger.issue([f"spiffe://{self._domain}/a"], 600))

    def _need_authority(self) -> Authority:
        if not self._authority:
            raise settings.SettingError("needs --ca, the authority that the workload role keeps with its --ca")
        return self._authority


def status(error: grpc.RpcError, link: Link | None = None) -> str:
    """A status that the library made up because the connection ended is none."""
    if link and error.code() == grpc.StatusCode.UNAVAILABLE and link.ended.wait(2):  # type: ignore[attr-defined]
        return f"closed {link.end_reason}".rstrip()
    return f"status {error.code().name} {(error.details() or '').strip()}"  # type: ignore[attr-defined]


def run(options: Namespace, stop: threading.Event) -> int:
    source = IdentitySource(options.workload_api)
    source.newest()
    bad = Bad(options, source)
    cases: dict[str, Callable[[], str]] = {}
    for owner in (bad, bad.raw):
        for attribute in dir(owner):
            if attribute.startswith("case_"):
                cases[attribute.removeprefix("case_").replace("_", "-")] = functools.partial(getattr(owner, attribute))
    if options.list:
        print("\n".join(sorted(cases)))
        return 0
    unknown = set(options.case) - set(cases)
    if unknown:
        raise settings.SettingError(f"unknown cases {sorted(unknown)}; --list shows them")
    failures = 0
    for name in options.case or sorted(cases):
        if stop.is_set():
            break
        try:
            answer = cases[name]()
        except settings.SettingError as error:
            print(f"bad: {name}: skipped: {error}", flush=True)
            continue
        except FAILURES as error:
            answer = f"closed {reason(error)}"
        good = not answer.startswith(("accepted", "open")) and bad.healthy()
        failures += not good
        print(f"bad: {name}: {answer}{'' if good else '  <- WRONG, or good peers are no longer served'}", flush=True)
    source.stop()
    return 1 if failures else 0
