"""Who we are and whom we believe: X.509 SVIDs, trust bundles, and their source, the SPIFFE Workload API."""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nsmproto import workload_pb2, workload_pb2_grpc

from .checks import deviation, event, log, require
from .tokens import SECOND

_PKCS8 = re.compile(rb"\x30(\x81.|\x82..|.)\x02\x01.\x30", re.DOTALL)  # a version, then the algorithm
HEADER = (("workload.spiffe.io", "true"),)


class IdentityError(Exception):
    """A certificate that proves no SPIFFE identity."""


@dataclass(frozen=True)
class Peer:
    """What a certificate of the other side proves."""

    id: str
    key: ec.EllipticCurvePublicKey
    not_after: int  # nanoseconds

    @property
    def trust_domain(self) -> str:
        return trust_domain(self.id)


@dataclass(frozen=True)
class Identity:
    """Our own SVID with everything needed to check others. Replaced as a whole on rotation."""

    id: str
    chain: tuple[x509.Certificate, ...]
    key: ec.EllipticCurvePrivateKey
    bundles: dict[str, tuple[x509.Certificate, ...]]  # by trust domain

    @property
    def not_after(self) -> int:
        return certificate_end(self.chain[0])

    def tls_context(self, server: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        for authorities in self.bundles.values():
            for authority in authorities:
                context.load_verify_locations(cadata=authority.public_bytes(serialization.Encoding.DER))
        load_chain(context, self.chain, self.key)
        return context


def load_chain(context: ssl.SSLContext, chain: tuple[x509.Certificate, ...], key: ec.EllipticCurvePrivateKey) -> None:
    """Gives `context` a certificate and key without writing them to a disk."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)
    memory = os.memfd_create("svid")
    try:
        os.write(memory, pem)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)


def trust_domain(spiffe_id: str) -> str:
    return spiffe_id.removeprefix("spiffe://").split("/", 1)[0]


def certificate_end(certificate: x509.Certificate) -> int:
    return int(certificate.not_valid_after_utc.timestamp()) * SECOND


def split_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """Reads concatenated DER certificates."""
    found = []
    while data:
        if len(data) < 4 or data[0] != 0x30:
            raise IdentityError("not a row of DER certificates")
        size, header = data[1], 2
        if size & 0x80:
            header += size & 0x7F
            size = int.from_bytes(data[2:header], "big")
        found.append(x509.load_der_x509_certificate(data[: header + size]))
        data = data[header + size :]
    return tuple(found)


def check_leaf(leaf: x509.Certificate) -> Peer:
    """The rules for a leaf: one URI, which is a SPIFFE ID; no authority; a key on P-256."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    if len(uris) != 1:
        raise IdentityError(f"the certificate has {len(uris)} URI names, not one")
    if not uris[0].startswith("spiffe://") or not trust_domain(uris[0]):
        raise IdentityError(f"{uris[0]!r} is no SPIFFE ID")
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            raise IdentityError("the certificate is an authority's")
        usage = extension.value
        if isinstance(usage, x509.KeyUsage) and (usage.key_cert_sign or usage.crl_sign):
            raise IdentityError("the certificate may sign certificates or revocation lists")
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise IdentityError("the certificate's key is not on P-256, so its tokens cannot be ES256")
    return Peer(uris[0], key, certificate_end(leaf))


def check_peer(tls: ssl.SSLObject, identity: Identity) -> Peer:
    """The rules for the other end of a finished handshake. The TLS stack has checked the chain to *some* authority."""
    der = tls.getpeercert(binary_form=True)
    if not der:
        raise IdentityError("the peer presented no certificate")
    peer = check_leaf(x509.load_der_x509_certificate(der))
    chain = tls._sslobj.get_verified_chain()  # type: ignore[attr-defined]  # public as of Python 3.13
    root = chain[-1] if isinstance(chain[-1], bytes) else chain[-1].public_bytes(2)  # 2: DER
    own = identity.bundles.get(peer.trust_domain, ())
    if root not in [authority.public_bytes(serialization.Encoding.DER) for authority in own]:
        raise IdentityError(f"{peer.id} is not vouched for by an authority of {peer.trust_domain}")
    return peer


def read_response(response: workload_pb2.X509SVIDResponse) -> Identity:
    """The default identity of a Workload API message, checked."""
    if not response.svids:
        raise IdentityError("the Workload API sent no SVID")
    svid = response.svids[0]
    chain = split_certificates(svid.x509_svid)
    peer = check_leaf(chain[0])
    require(peer.id == svid.spiffe_id, f"Workload API: spiffe_id is {svid.spiffe_id}, the certificate says {peer.id}")
    require(_PKCS8.match(svid.x509_svid_key), "Workload API: the private key is not in PKCS #8")
    key = serialization.load_der_private_key(svid.x509_svid_key, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError("the Workload API sent no elliptic curve key")
    require(
        key.public_key().public_numbers() == peer.key.public_numbers(),
        "Workload API: the private key does not belong to the certificate",
    )
    bundles = {peer.trust_domain: split_certificates(svid.bundle)}
    require(bundles[peer.trust_domain], "Workload API: the bundle is empty")
    for domain, data in response.federated_bundles.items():
        require(domain.startswith("spiffe://"), f"Workload API: federated bundle of {domain!r}, which is no SPIFFE ID")
        bundles[trust_domain(domain)] = split_certificates(data)
    return Identity(peer.id, chain, key, bundles)


class IdentitySource:
    """Follows the Workload API. `newest` waits for the first identity; later ones replace it."""

    def __init__(self, socket: str) -> None:
        self._target = (
            socket.replace("unix:///", "unix:/") if socket.startswith("unix:") else socket.removeprefix("tcp://")
        )
        self._changed = threading.Condition()
        self._identity: Identity | None = None
        self._stopped = False
        self._channel: grpc.Channel | None = None
        self._probed = False
        threading.Thread(target=self._follow, name="workload-api", daemon=True).start()

    def newest(self, timeout: float = 60) -> Identity:
        with self._changed:
            if not self._changed.wait_for(lambda: self._identity, timeout) or not self._identity:
                raise IdentityError(f"no identity from {self._target} within {timeout:g} s")
            return self._identity

    def stop(self) -> None:
        self._stopped = True
        if self._channel:
            self._channel.close()

    def _follow(self) -> None:
        failures = 0
        while not self._stopped:
            self._channel = grpc.insecure_channel(self._target, options=(("grpc.use_local_subchannel_pool", 1),))
            stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(self._channel)
            try:
                for response in stub.FetchX509SVID(workload_pb2.X509SVIDRequest(), metadata=HEADER):
                    failures = 0
                    self._adopt(response)
                    self._probe(stub)
                why = "the stream ended"
            except grpc.RpcError as error:
                why = f"{error.code().name} {error.details()}"  # type: ignore[attr-defined]
            except (IdentityError, ValueError) as error:
                why = str(error)
                deviation(f"Workload API: {error}")
            finally:
                self._channel.close()
            if not self._stopped:
                failures += 1
                log.info("workload api %s: %s", self._target, why)
                time.sleep(min(failures, 30))

    def _adopt(self, response: workload_pb2.X509SVIDResponse) -> None:
        identity = read_response(response)
        with self._changed:
            first = self._identity is None
            self._identity = identity
            self._changed.notify_all()
        event("identity" if first else "rotated", id=identity.id, not_after=identity.not_after / SECOND)

    def _probe(self, stub: workload_pb2_grpc.SpiffeWorkloadAPIStub) -> None:
        """A call without the security header must be refused."""
        if self._probed:
            return
        self._probed = True
        try:
            next(iter(stub.FetchX509SVID(workload_pb2.X509SVIDRequest(), timeout=2)))
        except grpc.RpcError as error:
            code = error.code()  # type: ignore[attr-defined]
            require(
                code != grpc.StatusCode.DEADLINE_EXCEEDED,
                "Workload API: a call without the header workload.spiffe.io was not refused within 2 s",
            )
        except StopIteration:
            pass
        else:
            deviation("Workload API: a call without the header workload.spiffe.io was answered")
