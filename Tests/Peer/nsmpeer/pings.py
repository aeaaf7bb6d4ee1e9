"""PINGs as grpc-go sends them: one for almost every message it receives, to estimate the bandwidth.

They are put between the frames that the gRPC library writes, and their answers are taken out of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator

DATA, HEADERS, PUSH_PROMISE, PING, CONTINUATION = 0, 1, 5, 6, 9
_ACK, _END_HEADERS = 1, 4
_HEAD = 9
_PREFACE = 24
_OWN = b"nsmpeer!"
_FRAME = b"\0\0\x08" + bytes([PING, 0]) + bytes(4) + _OWN

# Whether connections send any.
enabled = True


class Frames:
    """Cuts a stream of bytes that comes in pieces at the ends of HTTP/2 frames."""

    def __init__(self, preface: int) -> None:
        self._rest = preface  # bytes of the present frame that are still to come
        self._held = b""
        self.kind = -1
        self.flags = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces, of which each belongs to one frame; `kind` and `flags` are its. A PING comes in one piece."""
        data, self._held = self._held + data, b""
        place = 0
        while place < len(data):
            if not self._rest:
                head = data[place : place + _HEAD]
                size = _HEAD + int.from_bytes(head[:3], "big")
                is_ping = len(head) == _HEAD and head[3] == PING and size == _HEAD + 8
                if len(head) < _HEAD or (is_ping and len(data) - place < size):
                    self._held = data[place:]
                    return
                self.kind, self.flags, self._rest = head[3], head[4], size
            piece = data[place : place + self._rest]
            place += len(piece)
            self._rest -= len(piece)
            yield piece

    @property
    def at_end(self) -> bool:
        """Whether a frame ended with the last piece."""
        return not self._rest and self.kind >= 0


class Pings:
    """Both directions of one connection. At most one PING is on its way."""

    def __init__(self, server: bool) -> None:
        self._in, self._out = Frames(_PREFACE if server else 0), Frames(0 if server else _PREFACE)
        self._wanted = self._sent = self._in_headers = False
        self._may_send = False  # between two frames, after the first one
        self.count = 0

    def incoming(self, data: bytes) -> bytes:
        """What of it the library is to read."""
        kept = bytearray()
        for piece in self._in.feed(data):
            if self._in.kind == PING and self._in.flags & _ACK and piece.endswith(_OWN):
                self._sent = False
                continue
            kept += piece
            if self._in.kind == DATA and self._in.at_end and not self._sent:
                self._wanted = True
        return bytes(kept)

    def outgoing(self, data: bytes) -> bytes:
        """What the library has written, with a PING where one is due and a frame ends."""
        sent = bytearray(self._due())
        for piece in self._out.feed(data):
            sent += piece
            self._may_send = False
            if not self._out.at_end:
                continue
            if self._out.kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
                self._in_headers = not self._out.flags & _END_HEADERS
            self._may_send = not self._in_headers
            sent += self._due()
        return bytes(sent)

    def _due(self) -> bytes:
        if not self._wanted or not self._may_send:
            return b""
        self._wanted, self._sent = False, True
        self.count += 1
        return _FRAME
