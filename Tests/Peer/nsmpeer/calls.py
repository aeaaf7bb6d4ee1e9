"""Many quick calls, one after another on one connection, each with a PING, as a grpc-go client makes them."""

from __future__ import annotations

import threading
import time
from argparse import Namespace

from .checks import event, require
from .identity import IdentitySource
from .wire import ENDED, Wire, block, call_fields

_METHODS = {
    "health": "/grpc.health.v1.Health/Check",
    "find": "/registry.NetworkServiceEndpointRegistry/Find",
    "find-service": "/registry.NetworkServiceRegistry/Find",
}
_TOKEN = 300.0  # seconds that a token is used


class Calls:
    """One connection, and a token that is renewed in time."""

    def __init__(self, url: str, source: IdentitySource, method: str, pings: bool) -> None:
        self.wire = Wire(url, source.newest())
        self.wire.pings = 0 if pings else None
        self._method = _METHODS[method]
        self._renew()

    def _renew(self) -> None:
        self._head = block(call_fields(self._method, self.wire.metadata()))
        self._renewed = time.monotonic()

    def one(self) -> bool:
        if time.monotonic() - self._renewed > _TOKEN:
            self._renew()
        return self.wire.call(self._head, b"") or self._method != _METHODS["health"]


def run(options: Namespace, stop: threading.Event) -> int:
    source = IdentitySource(options.workload_api)
    calls = Calls(options.connect_to, source, options.method, not options.no_pings)
    done, answered, began, end = 0, 0, time.monotonic(), ""
    try:
        while done < options.count and not stop.is_set():
            answered += calls.one()
            done += 1
    except ENDED as error:
        end = calls.wire.ended or str(error)
    took = time.monotonic() - began
    survived = require(not end, f"the connection ended after {done} calls and {calls.wire.pings} PINGs: {end}")
    require(answered == done, f"{done - answered} of {done} calls were not answered")
    rate = round(done / max(took, 1e-9))
    event("calls", done=done, pings=calls.wire.pings, per_second=rate, survived=survived, seconds=round(took, 2))
    calls.wire.close()
    source.stop()
    return 0 if done >= options.count else 1
