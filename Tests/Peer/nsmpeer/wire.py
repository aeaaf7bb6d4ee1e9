"""HTTP/2 by hand over one connection: what a gRPC library would never write, and quick calls."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cryptography import x509

from . import path, tokens
from .identity import Identity, check_leaf
from .relay import parse_address
from .tokens import SECOND

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS = 4
ENDED = (ssl.SSLError, OSError, EOFError)


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def block(fields: Iterable[tuple[str, str]]) -> bytes:
    """HPACK without its tables."""

    def text(value: str) -> bytes:
        data = value.encode()
        size, head = len(data), bytearray()
        if size < 127:
            return bytes([size]) + data
        head.append(127)
        size -= 127
        while size >= 128:
            head.append(size & 127 | 128)
            size >>= 7
        head.append(size)
        return bytes(head) + data

    return b"".join(b"\0" + text(name) + text(value) for name, value in fields)


def call_fields(method: str, metadata: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *metadata,
    ]


def grpc_message(data: bytes) -> bytes:
    return struct.pack("!BI", 0, len(data)) + data


@dataclass
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


class Wire:
    """A connection with TLS when there is an identity. Frames are sent as they are."""

    def __init__(self, url: str, identity: Identity | None, greet: bool = True, patience: float = 10) -> None:
        family, address = parse_address(url)
        self.plain = socket.socket(family, socket.SOCK_STREAM)
        self.plain.settimeout(patience)
        self.identity = identity
        try:
            self.plain.connect(address)
            self.socket = identity.tls_context(False).wrap_socket(self.plain) if identity else self.plain
        except BaseException:
            self.plain.close()
            raise
        self._held = b""
        self.received = 0  # frames
        self.window, self.stream_window = 65535, 65535  # what the other side takes
        self.windows: dict[int, int] = {}
        self.ended = ""
        self.stream = -1
        self.pings: int | None = None  # how many were sent for messages; None: none are
        self._outstanding = False
        self._unacknowledged = 0
        if greet:
            self.send(PREFACE, frame(SETTINGS))

    def metadata(self, *more: tuple[str, str], lifetime: float = 600) -> list[tuple[str, str]]:
        """A token for the other side."""
        assert self.identity and isinstance(self.socket, ssl.SSLSocket)
        peer = check_leaf(x509.load_der_x509_certificate(self.socket.getpeercert(True) or b""))
        text, end = path.own_token(self.identity, peer, int(lifetime * SECOND))
        return [(tokens.CLIENT_TOKEN, text), (tokens.CLIENT_TOKEN_EXPIRES, tokens.rfc3339(end)), *more]

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def ready(self, timeout: float) -> bool:
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        return bool(pending or select.select([self.socket], [], [], timeout)[0])

    def frames(self) -> Iterator[Frame]:
        """What one read brings. Settings and PINGs are answered."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise EOFError("the peer closed the connection")
        self._held += data
        place = 0
        while len(self._held) - place >= 9:
            size = int.from_bytes(self._held[place : place + 3], "big")
            if len(self._held) - place < 9 + size:
                break
            kind, flags, stream = struct.unpack("!BBI", self._held[place + 3 : place + 9])
            payload = self._held[place + 9 : place + 9 + size]
            place += 9 + size
            self.received += 1
            self._heed(kind, flags, stream, payload)
            yield Frame(kind, flags, stream & 0x7FFFFFFF, payload)
        self._held = self._held[place:]

    def _heed(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for place in range(0, len(payload), 6):
                name, value = struct.unpack("!HI", payload[place : place + 6])
                if name == 4:
                    self.stream_window = value
            self.send(frame(SETTINGS, b"", ACK))
        elif kind == PING and flags & ACK:
            self._outstanding = False
        elif kind == PING:
            self.send(frame(PING, payload, ACK))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream:
                self.windows[stream] = self.windows.get(stream, self.stream_window) + more
            else:
                self.window += more
        elif kind == GOAWAY:
            code = struct.unpack("!I", payload[4:8])[0]
            self.ended = f"goaway {code} {payload[8:].decode(errors='replace')}".rstrip()

    def call(self, head: bytes, message: bytes) -> bool:
        """One unary call on the next stream. Whether a message came back, and not only a status."""
        self.stream += 2
        self.send(
            frame(HEADERS, head, END_HEADERS, self.stream), frame(DATA, grpc_message(message), END_STREAM, self.stream)
        )
        answered = False
        while True:
            for part in self.frames():
                if part.kind == DATA:
                    answered = True
                    self._consumed(len(part.payload))
                over = part.kind == RST_STREAM or (part.flags & END_STREAM and part.kind in (DATA, HEADERS))
                if part.stream == self.stream and over:
                    return answered

    def _consumed(self, size: int) -> None:
        self._unacknowledged += size
        if self._unacknowledged > 16384:
            self.send(frame(WINDOW_UPDATE, self._unacknowledged.to_bytes(4, "big")))
            self._unacknowledged = 0
        if self.pings is not None and not self._outstanding:
            self.send(frame(PING, b"bdp-ping"))
            self._outstanding = True
            self.pings += 1

    def drain(self, seconds: float = 0) -> None:
        """Reads what there is, for so long."""
        end = time.monotonic() + seconds
        while self.ready(max(0, end - time.monotonic())):
            for _ in self.frames():
                pass

    def how_it_ends(self, seconds: float) -> str:
        """Reads until the other side ends the connection, or for so long."""
        try:
            self.drain(seconds)
        except ENDED as error:
            return f"closed {self.ended or error}"
        return "open"

    def close(self) -> None:
        self.socket.close()
