"""The wire: one Unix (or TCP) connection with descriptors beneath TLS, and a private plaintext one to the gRPC library.

The library owns its sockets and reads them without control data, so a relay stands before it. One thread serves one
connection and is the only one that touches its TLS state. The inner sockets are in a folder that only we can enter.
"""

from __future__ import annotations

import array
import atexit
import itertools
import os
import select
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from . import pings
from .checks import deviation, log
from .descriptors import DescriptorTable
from .identity import Identity, IdentityError, Peer, check_peer

_LIMIT = 1 << 20
_CONTROL = socket.CMSG_SPACE(64 * 4)
_numbers = itertools.count(1)


class WireError(Exception):
    """A connection that could not be made."""


@dataclass
class Faults:
    """What a bad peer does below gRPC."""

    drop_descriptors: bool = False
    stop_reading: bool = False  # after the handshake
    cut_after: int = -1  # plaintext bytes sent; then the connection is dropped
    garble_after: int = -1  # plaintext bytes sent; then one byte is flipped

    @property
    def spoil_frames(self) -> bool:
        return self.cut_after >= 0 or self.garble_after >= 0


@cache
def inner_folder() -> str:
    folder = tempfile.mkdtemp(prefix="nsmpeer-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Link:
    """One transport connection: who is at its other end, and the descriptors beside its bytes."""

    def __init__(self, outer: socket.socket, name: str, faults: Faults | None = None, server: bool = False) -> None:
        self.number = next(_numbers)
        self.name = f"{name}#{self.number}"
        self.outer = outer
        self.unix = outer.family == socket.AF_UNIX
        self.descriptors = DescriptorTable(self.name)
        self.faults = faults or Faults()
        # A spoiled stream of frames has no places for more of them.
        self.pings = pings.Pings(server) if pings.enabled and not self.faults.spoil_frames else None
        self.peer: Peer | None = None
        self.identity: Identity | None = None
        self.ended = threading.Event()
        self.end_reason = ""
        self.on_end: list[Callable[[], None]] = []
        self._tls: ssl.SSLObject | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._to_outer, self._to_inner = bytearray(), bytearray()
        self._sent = 0
        self._outer_ended = self._inner_ended = False
        outer.setblocking(False)

    @property
    def credentials(self) -> tuple[int, int, int]:
        """Process, user and group of the other end."""
        return struct.unpack("3i", self.outer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))

    def handshake(
        self, identity: Identity, server: bool, timeout: float, context: ssl.SSLContext | None = None
    ) -> None:
        """TLS with both sides' certificates; afterwards `peer` says who is there."""
        self.identity = identity
        self._tls = (context or identity.tls_context(server)).wrap_bio(self._in, self._out, server_side=server)
        end = time.monotonic() + timeout
        while True:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as error:
                self._flush_blocking(end)
                raise WireError(f"TLS: {error}") from None
            self._flush_blocking(end)
            if done:
                break
            self._wait(select.POLLIN, end)
            self._receive()
            if self._outer_ended and not self._in.pending:
                raise WireError("the peer closed the connection during the handshake")
        if self._tls.selected_alpn_protocol() != "h2":
            raise WireError("the peer did not negotiate ALPN h2")
        try:
            self.peer = check_peer(self._tls, identity)
        except IdentityError as error:
            raise WireError(str(error)) from None

    def _wait(self, events: int, end: float) -> None:
        poll = select.poll()
        poll.register(self.outer, events)
        if not poll.poll(max(0, end - time.monotonic()) * 1000):
            raise WireError("the handshake took too long")

    def _flush_blocking(self, end: float) -> None:
        self._to_outer += self._out.read()
        while self._to_outer and not self._outer_ended:
            self._wait(select.POLLOUT, end)
            self._send()

    def pump(self, inner: socket.socket) -> None:
        """Carries bytes both ways until one side ends. Closes both."""
        inner.setblocking(False)
        try:
            self._decrypt()
            while self._step(inner):
                pass
            if self._tls and not self._outer_ended:
                try:
                    self._tls.unwrap()
                except ssl.SSLError:
                    pass  # it only says that the peer has not answered our farewell
                self._to_outer += self._out.read()
                self._send()
        except (OSError, ValueError) as error:  # a ValueError: somebody else closed the connection
            log.debug("%s: %s", self.name, error)
        finally:
            inner.close()
            self.close()

    def _step(self, inner: socket.socket) -> bool:
        if (self._outer_ended and not self._to_inner) or (self._inner_ended and not self._to_outer):
            return False
        poll = select.poll()
        wants = {self.outer: 0, inner: 0}
        if len(self._to_inner) < _LIMIT and not self._outer_ended and not self.faults.stop_reading:
            wants[self.outer] |= select.POLLIN
        if self._to_outer and not self._outer_ended:
            wants[self.outer] |= select.POLLOUT
        if len(self._to_outer) < _LIMIT and not self._inner_ended:
            wants[inner] |= select.POLLIN
        if self._to_inner and not self._inner_ended:
            wants[inner] |= select.POLLOUT
        if not self._outer_ended:
            poll.register(self.outer, wants[self.outer])
        if not self._inner_ended:
            poll.register(inner, wants[inner])
        ready = dict(poll.poll())
        outer_ready, inner_ready = ready.get(self.outer.fileno(), 0), ready.get(inner.fileno(), 0)
        if outer_ready & (select.POLLIN | select.POLLHUP | select.POLLERR):
            if self.faults.stop_reading and outer_ready & select.POLLHUP:
                return False
            if not self.faults.stop_reading:
                self._receive()
                self._decrypt()
        if inner_ready & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._read_inner(inner)
        elif not self._inner_ended and not self._outer_ended:
            self._write(b"")
        if self._to_outer:
            self._send()
        if self._to_inner and not self._inner_ended:
            try:
                del self._to_inner[: inner.send(self._to_inner)]
            except BlockingIOError:
                pass
        return True

    def _read_inner(self, inner: socket.socket) -> None:
        try:
            data = inner.recv(65536)
        except BlockingIOError:
            return
        if not data:
            self._inner_ended = True
            return
        if (
            0 <= self.faults.garble_after < self._sent + len(data)
            and (spot := self.faults.garble_after - self._sent) >= 0
        ):
            data = data[:spot] + bytes([data[spot] ^ 0xFF]) + data[spot + 1 :]
        if self.faults.cut_after >= 0 and self._sent + len(data) > self.faults.cut_after:
            data = data[: self.faults.cut_after - self._sent]
            self._inner_ended = True
        self._sent += len(data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        """To the other side, with a PING if one is due."""
        if self.pings:
            data = self.pings.outgoing(data)
        if not self._tls:
            self._to_outer += data
        elif data:
            self._tls.write(data)
            self._to_outer += self._out.read()

    def _read(self, data: bytes) -> None:
        """From the other side."""
        if self.pings:
            data = self.pings.incoming(data)
        self._to_inner += data

    def _receive(self) -> None:
        """Every read takes control data along."""
        try:
            if not self.unix:
                data = self.outer.recv(65536)
            else:
                data, control, flags, _ = self.outer.recvmsg(65536, _CONTROL, socket.MSG_CMSG_CLOEXEC)
                if flags & socket.MSG_CTRUNC:
                    deviation(f"{self.name}: more descriptors in one message than there is room for")
                for level, kind, content in control:
                    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                        numbers = array.array("i")
                        numbers.frombytes(content[: len(content) - len(content) % 4])
                        self.descriptors.add(list(numbers))
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._outer_ended = True
            if self._tls:
                self._in.write_eof()
        elif self._tls:
            self._in.write(data)
        else:
            self._read(data)

    def _decrypt(self) -> None:
        if not self._tls:
            return
        try:
            while data := self._tls.read(65536):
                self._read(data)
            self._outer_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            if not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                self.end_reason = str(error)
                log.info("%s: TLS: %s", self.name, error)
            self._outer_ended = True
        self._to_outer += self._out.read()

    def _send(self) -> None:
        """Descriptors first: each with one byte and a sendmsg of its own, then what is left."""
        try:
            for descriptor in self.descriptors.next_outgoing(len(self._to_outer)):
                if self.unix and not self.faults.drop_descriptors:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
                    self._send_one(rights)
                os.close(descriptor)
            while self._to_outer:
                del self._to_outer[: self.outer.send(self._to_outer)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._outer_ended = True
            self._to_outer.clear()

    def _send_one(self, rights: list[tuple[int, int, array.array[int]]]) -> None:
        while True:
            try:
                self.outer.sendmsg([self._to_outer[:1]], rights)
                del self._to_outer[:1]
                return
            except BlockingIOError:
                poll = select.poll()
                poll.register(self.outer, select.POLLOUT)
                poll.poll(1000)

    def close(self) -> None:
        """Safe to call from any thread, more than once."""
        if self.ended.is_set():
            return
        self.ended.set()
        self.descriptors.close()
        try:
            self.outer.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.outer.close()
        for action in self.on_end:
            action()


def parse_address(url: str) -> tuple[int, str | tuple[str, int]]:
    """Family and address of unix:///path, unix:path, tcp://host:port or host:port."""
    if url.startswith("unix:"):
        return socket.AF_UNIX, url.removeprefix("unix://") if url.startswith("unix://") else url.removeprefix("unix:")
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host.strip("[]"), int(port))


def connect(url: str, name: str, timeout: float, faults: Faults | None = None) -> Link:
    """A connection without TLS yet."""
    family, address = parse_address(url)
    outer = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    outer.settimeout(timeout)
    try:
        outer.connect(address)
    except OSError as error:
        outer.close()
        raise WireError(f"{url}: {error}") from None
    return Link(outer, name, faults)


class Acceptor:
    """Listens, and hands each connection to `serve` in a thread of its own."""

    def __init__(self, url: str, name: str, mode: int, serve: Callable[[Link], None]) -> None:
        family, address = parse_address(url)
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        if isinstance(address, str):
            if folder := os.path.dirname(address):
                os.makedirs(folder, exist_ok=True)
            if os.path.lexists(address):
                os.unlink(address)
        self._socket.bind(address)
        if isinstance(address, str):
            os.chmod(address, mode)
            self.url = f"unix://{os.path.abspath(address)}"
        else:
            self.url = "tcp://{}:{}".format(*self._socket.getsockname())
        self._address, self._name, self._serve = address, name, serve
        self._socket.listen(128)

    def start(self) -> None:
        threading.Thread(target=self._accept, name=f"accept {self._name}", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                outer, _ = self._socket.accept()
            except OSError:
                return
            link = Link(outer, self._name, server=True)
            threading.Thread(target=self._serve, args=(link,), name=link.name, daemon=True).start()

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        except OSError:
            pass
        self._socket.close()
        if isinstance(self._address, str) and os.path.exists(self._address):
            os.unlink(self._address)
