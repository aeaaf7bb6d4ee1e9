"""Bad peers below gRPC: what they send is made by hand."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import time

from .identity import IdentitySource, load_chain
from .relay import parse_address

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_GOAWAY, _SETTINGS = 7, 4
_PATIENCE = 5.0


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("!I", size)[1:] + struct.pack("!BBI", kind, flags, stream) + payload


class RawBad:
    """More cases; see bad.py. An answer that begins with `open` or `accepted` is wrong."""

    def __init__(self, url: str, source: IdentitySource) -> None:
        self._url, self._source = url, source

    def _connect(self) -> socket.socket:
        family, address = parse_address(self._url)
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.settimeout(_PATIENCE)
        plain.connect(address)
        return plain

    def _secure(self, certificate: bool = True, alpn: tuple[str, ...] = ("h2",)) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if certificate:
            identity = self._source.newest()
            load_chain(context, identity.chain, identity.key)
        return context.wrap_socket(self._connect())

    def _tell(self, connection: socket.socket, *parts: bytes) -> str:
        """Sends, and reads to the end or until patience ends."""
        received = b""
        end = time.monotonic() + _PATIENCE
        try:
            with connection:
                for part in parts:
                    connection.sendall(part)
                while time.monotonic() < end and (data := connection.recv(65536)):
                    received += data
                    if said := _goaway(received):
                        return said
        except TimeoutError:
            return f"open after {_PATIENCE:g} s; it sent {len(received)} bytes: {received[:40]!r}"
        except (ssl.SSLError, OSError) as error:
            return f"closed {type(error).__name__} {error}"
        return f"closed after {len(received)} bytes"

    def case_plaintext(self) -> str:
        return self._tell(self._connect(), _PREFACE, frame(_SETTINGS))

    def case_garbage(self) -> str:
        return self._tell(self._connect(), os.urandom(4096))

    def case_half_handshake(self) -> str:
        """The head of a ClientHello, and then the end of the connection."""
        connection = self._connect()
        with connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        return "closed by us"

    def case_no_alpn(self) -> str:
        return self._until_refused(alpn=())

    def case_other_alpn(self) -> str:
        return self._until_refused(alpn=("http/1.1",))

    def case_no_client_certificate(self) -> str:
        return self._until_refused(certificate=False)

    def _until_refused(self, certificate: bool = True, alpn: tuple[str, ...] = ("h2",)) -> str:
        try:
            secure = self._secure(certificate, alpn)
        except (ssl.SSLError, OSError) as error:
            return f"closed {type(error).__name__} {error}"
        said = self._tell(secure, _PREFACE, frame(_SETTINGS))
        return f"accepted: {said}" if said.startswith(("open", "goaway")) else said

    def _frames(self, *parts: bytes) -> str:
        """After a good handshake; a server may also ignore what it does not understand, if it goes on."""
        said = self._tell(self._secure(), *parts)
        return said.replace("open", "ignored", 1)

    def case_no_preface(self) -> str:
        return self._frames(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def case_frame_too_long(self) -> str:
        return self._tell(
            self._secure(), _PREFACE, frame(_SETTINGS), frame(0, b"x" * 100, stream=1, length=0xFFFFFF), b"x" * 70000
        )

    def case_data_without_headers(self) -> str:
        return self._frames(_PREFACE, frame(_SETTINGS), frame(0, b"x" * 100, stream=1))

    def case_broken_headers(self) -> str:
        return self._frames(_PREFACE, frame(_SETTINGS), frame(1, b"\xff" * 64, flags=4, stream=1))

    def case_even_stream(self) -> str:
        return self._frames(_PREFACE, frame(_SETTINGS), frame(1, b"\x82", flags=4, stream=2))

    def case_broken_settings(self) -> str:
        return self._frames(_PREFACE, frame(_SETTINGS, b"xxxxx"))

    def case_random_frames(self) -> str:
        frames = (frame(os.urandom(1)[0] % 10, os.urandom(40), os.urandom(1)[0], i) for i in range(50))
        return self._frames(_PREFACE, frame(_SETTINGS), *frames)


def _goaway(data: bytes) -> str:
    """The error of a GOAWAY frame, if there is one among these frames."""
    while len(data) >= 9:
        size, kind = int.from_bytes(data[:3], "big"), data[3]
        if kind == _GOAWAY and len(data) >= 9 + size >= 17:
            code = struct.unpack("!I", data[13:17])[0]
            text = data[17 : 9 + size].decode(errors="replace")
            return f"goaway {code} {text}".rstrip()
        data = data[9 + size :]
    return ""
