"""Many quick calls, one after another on one connection, each with a PING, as a grpc-go client makes them."""

from __future__ import annotations

import threading
import time
from argparse import Namespace

from .checks import event, require
from .identity import IdentitySource
from .wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENDED,
    HEADERS,
    PING,
    WINDOW_UPDATE,
    Wire,
    block,
    call_fields,
    frame,
    grpc_message,
)

_METHODS = {
    "health": "/grpc.health.v1.Health/Check",
    "find": "/registry.NetworkServiceEndpointRegistry/Find",
    "find-service": "/registry.NetworkServiceRegistry/Find",
}
_TOKEN = 300.0  # seconds that a token is used


class Calls:
    """One connection. Its streams are numbered 1, 3, 5 …"""

    def __init__(self, url: str, source: IdentitySource, method: str, pings: bool) -> None:
        self._wire = Wire(url, source.newest())
        self._method, self._pings = _METHODS[method], pings
        self._stream = -1
        self._outstanding = False
        self._unacknowledged = 0
        self.pings = 0
        self._renew()

    def _renew(self) -> None:
        self._head = block(call_fields(self._method, self._wire.metadata()))
        self._renewed = time.monotonic()

    def one(self) -> bool:
        """Whether a message came back, not only a status."""
        if time.monotonic() - self._renewed > _TOKEN:
            self._renew()
        self._stream += 2
        stream, answered = self._stream, False
        self._wire.send(
            frame(HEADERS, self._head, END_HEADERS, stream), frame(DATA, grpc_message(b""), END_STREAM, stream)
        )
        while True:
            for part in self._wire.frames():
                if part.kind == PING and part.flags & ACK:
                    self._outstanding = False
                if part.kind == DATA:
                    answered = True
                    self._received(len(part.payload))
                if part.stream == stream and part.flags & END_STREAM and part.kind in (DATA, HEADERS):
                    return answered or self._method != _METHODS["health"]

    def _received(self, size: int) -> None:
        self._unacknowledged += size
        if self._unacknowledged > 16384:
            self._wire.send(frame(WINDOW_UPDATE, self._unacknowledged.to_bytes(4, "big")))
            self._unacknowledged = 0
        if self._pings and not self._outstanding:
            self._wire.send(frame(PING, b"bdp-ping"))
            self._outstanding = True
            self.pings += 1

    @property
    def ended(self) -> str:
        return self._wire.ended

    def close(self) -> None:
        self._wire.close()


def run(options: Namespace, stop: threading.Event) -> int:
    source = IdentitySource(options.workload_api)
    calls = Calls(options.connect_to, source, options.method, not options.no_pings)
    done, answered, began, end = 0, 0, time.monotonic(), ""
    try:
        while done < options.count and not stop.is_set():
            answered += calls.one()
            done += 1
    except ENDED as error:
        end = calls.ended or str(error)
    took = time.monotonic() - began
    survived = require(not end, f"the connection ended after {done} calls and {calls.pings} PINGs: {end}")
    require(answered == done, f"{done - answered} of {done} calls were not answered")
    rate = round(done / max(took, 1e-9))
    event("calls", done=done, pings=calls.pings, per_second=rate, survived=survived, seconds=round(took, 2))
    calls.close()
    source.stop()
    return 0 if done >= options.count else 1
