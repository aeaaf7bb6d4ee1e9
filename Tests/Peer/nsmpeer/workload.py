"""A SPIFFE Workload API for tests: an authority of its own, SVIDs by who asks, rotation."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent import futures
from functools import partial

import grpc
from cryptography.hazmat.primitives import serialization
from nsmproto import workload_pb2, workload_pb2_grpc

from .authority import Authority, private_bytes
from .checks import event, log
from .identity import HEADER
from .relay import Acceptor, Link, inner_folder
from .settings import duration


class WorkloadAPI(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Serves several sockets; each may stand for one identity."""

    def __init__(self, options: Namespace) -> None:
        self._authority = Authority(options.trust_domain, options.ca)
        self._lifetime = duration(options.lifetime)
        self._rotation = duration(options.rotate) if options.rotate else self._lifetime / 2
        self._names = dict(item.split("=", 1) for item in options.id)
        self._links: dict[str, tuple[Link, str]] = {}
        self._changed = threading.Condition()
        self._generation = 0
        self._stopped = False
        self._inner = f"{inner_folder()}/workload"
        self._server = grpc.server(futures.ThreadPoolExecutor(256))
        self._server.add_insecure_port(f"unix:{self._inner}")
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(self, self._server)
        self._server.start()
        self._acceptors = []
        for item in options.socket:
            path, _, name = item.partition("=")
            acceptor = Acceptor(f"unix://{path}", "workload", 0o777, partial(self._serve, name))
            acceptor.start()
            self._acceptors.append(acceptor)

    def rotate(self) -> None:
        with self._changed:
            self._generation += 1
            self._changed.notify_all()
        event("rotating", generation=self._generation)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for acceptor in self._acceptors:
            acceptor.close()
        self._server.stop(0.2).wait()

    def _serve(self, name: str, link: Link) -> None:
        own = f"{inner_folder()}/w{link.number}"
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inner.bind(own)
        self._links[f"unix:{own}"] = (link, name)
        try:
            inner.connect(self._inner)
            link.pump(inner)
        finally:
            del self._links[f"unix:{own}"]
            os.unlink(own)

    def _name(self, context: grpc.ServicerContext) -> str:
        """The socket's name, else what --id says of the process or user, else the NSM_NAME it runs with."""
        link, name = self._links[context.peer()]
        process, user, _ = link.credentials
        known = name or self._names.get(f"pid:{process}") or self._names.get(f"uid:{user}")
        return known or _environment(process).get("NSM_NAME") or f"uid-{user}"

    def _refuse_without_header(self, context: grpc.ServicerContext) -> None:
        if HEADER[0] not in [(key, value) for key, value in context.invocation_metadata()]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the header workload.spiffe.io: true is missing")

    def FetchX509SVID(
        self, request: workload_pb2.X509SVIDRequest, context: grpc.ServicerContext
    ) -> Iterator[workload_pb2.X509SVIDResponse]:
        self._refuse_without_header(context)
        # A name with commas gives a certificate with several URIs.
        uris = [f"spiffe://{self._authority.trust_domain}/{name}" for name in self._name(context).split(",")]
        context.add_callback(self._wake)
        while context.is_active() and not self._stopped:
            generation = self._generation
            identity = self._authority.issue(uris, self._lifetime)
            event("issued", id=uris[0], pid=self._links[context.peer()][0].credentials[0])
            der = serialization.Encoding.DER
            svid = workload_pb2.X509SVID(
                spiffe_id=uris[0],
                x509_svid=b"".join(certificate.public_bytes(der) for certificate in identity.chain),
                x509_svid_key=private_bytes(identity.key),
                bundle=self._authority.certificate.public_bytes(der),
            )
            yield workload_pb2.X509SVIDResponse(svids=[svid])
            with self._changed:
                end = time.monotonic() + self._rotation
                while generation == self._generation and context.is_active() and not self._stopped:
                    if not self._changed.wait(end - time.monotonic()):
                        break

    def FetchX509Bundles(
        self, request: workload_pb2.X509BundlesRequest, context: grpc.ServicerContext
    ) -> Iterator[workload_pb2.X509BundlesResponse]:
        self._refuse_without_header(context)
        der = self._authority.certificate.public_bytes(serialization.Encoding.DER)
        yield workload_pb2.X509BundlesResponse(bundles={f"spiffe://{self._authority.trust_domain}": der})
        context.add_callback(self._wake)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not context.is_active())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _environment(process: int) -> dict[str, str]:
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            items = file.read().split(b"\0")
    except OSError as error:
        log.info("environment of process %d: %s", process, error)
        return {}
    return dict(item.decode(errors="replace").split("=", 1) for item in items if b"=" in item)


def run(options: Namespace, stop: threading.Event) -> None:
    api = WorkloadAPI(options)
    signal.signal(signal.SIGUSR1, lambda *_: threading.Thread(target=api.rotate).start())
    event("ready", sockets=[item.partition("=")[0] for item in options.socket])
    stop.wait()
    api.stop()
