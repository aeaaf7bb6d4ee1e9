"""Identities that were stolen: written by one process and used by another."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from nsmproto import workload_pb2, workload_pb2_grpc

from ..authority import Authority, private_bytes
from ..identity import Identity, check_leaf, trust_domain
from .messages import Order

_PEM = serialization.Encoding.PEM


class Stolen:
    """In the place of an IdentitySource."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def newest(self, timeout: float = 0) -> Identity:
        return self._identity


def write(identity: Identity, path: str) -> None:
    authorities = [authority for found in identity.bundles.values() for authority in found]
    parts = [certificate.public_bytes(_PEM) for certificate in (*identity.chain[:1], *authorities)]
    with open(path, "wb") as file:
        file.write(private_bytes(identity.key, pem=True) + b"".join(parts))
    os.chmod(path, 0o644)


def read(path: str) -> Stolen:
    with open(path, "rb") as file:
        pem = file.read()
    key = serialization.load_pem_private_key(pem, None)
    leaf, *authorities = x509.load_pem_x509_certificates(pem)
    peer = check_leaf(leaf)
    return Stolen(Identity(peer.id, (leaf,), key, {peer.trust_domain: tuple(authorities)}))  # type: ignore[arg-type]


def trusting(source: Any, files: dict[str, str]) -> Stolen:
    """The same identity, which believes more authorities: PEM files by trust domain."""
    identity = source.newest(10)
    bundles = dict(identity.bundles)
    for domain, path in files.items():
        with open(path, "rb") as file:
            bundles[domain] = tuple(x509.load_pem_x509_certificates(file.read()))
    return Stolen(replace(identity, bundles=bundles))


def issue(authority: str, uri: str, path: str) -> None:
    """An identity by an authority whose key is in a file, as its owner can."""
    write(Authority(trust_domain(uri), authority).issue([uri], 600), path)


def call_workload_api(url: str, metadata: list[list[str]]) -> Order:
    target = url.replace("unix:///", "unix:/")
    with grpc.insecure_channel(target, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        stub = workload_pb2_grpc.SpiffeWorkloadAPIStub(channel)
        try:
            call = stub.FetchX509SVID(
                workload_pb2.X509SVIDRequest(), timeout=5, metadata=[(key, value) for key, value in metadata]
            )
            return {"answer": "accepted", "ids": [svid.spiffe_id for svid in next(iter(call)).svids]}
        except grpc.RpcError as error:
            return {"answer": f"status {error.code().name} {error.details()}"}  # type: ignore[attr-defined]
