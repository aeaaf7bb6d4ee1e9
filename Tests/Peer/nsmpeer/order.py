"""Order in time: calls for one connection come one after another, and refreshes neither too often nor too late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from .checks import deviation, require

_CANCEL_GRACE = 0.5  # a cancelled call and the one after it reach us by different ways


class _Turn:
    def __init__(self) -> None:
        self.over = threading.Event()  # done or cancelled
        self.cancelled = False


class Turns:
    """Calls that are being served, by connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served = 0
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._locks: dict[str, threading.Lock] = {}

    @contextmanager
    def turn(self, peer: str, identifier: str, context: grpc.ServicerContext, what: str) -> Iterator[None]:
        """Serialises, and notes a deviation when the caller did not wait for its earlier call."""
        turn, key = _Turn(), (peer, identifier)

        def ended() -> None:
            turn.cancelled = not turn.over.is_set()
            turn.over.set()

        context.add_callback(ended)
        with self._lock:
            earlier = self._turns.get(key)
            self._turns[key] = turn
            self._served += 1
            lock = self._locks.setdefault(identifier, threading.Lock())
        if earlier:
            began = time.monotonic()
            earlier.over.wait(_CANCEL_GRACE)
            if not earlier.cancelled:
                waited = time.monotonic() - began
                deviation(f"{what}: sent while an earlier call for {identifier} was being served ({waited:.2f} s)")
        try:
            with lock:
                yield
        finally:
            turn.over.set()
            with self._lock:
                self._served -= 1
                if self._turns.get(key) is turn:
                    del self._turns[key]

    def wait_for_all(self, timeout: float) -> None:
        """Until no call is being served. A cancelled one is served to its end."""
        end = time.monotonic() + timeout
        while self._served and time.monotonic() < end:
            time.sleep(0.02)


class Refreshes:
    """When the requests of one established connection came, and whether there was a reason."""

    def __init__(self) -> None:
        self.disturbed = False  # something happened that makes a request at any time right
        self._succeeded = 0.0
        self._lifetime = 0.0

    def check(self, what: str) -> None:
        """Before a request of the same process that changes nothing."""
        if not self._succeeded or self.disturbed:
            return
        passed = time.monotonic() - self._succeeded
        share = f"{what}: refreshed after {passed:.2f} s of a lifetime of {self._lifetime:.1f} s; due after a fifth"
        require(passed > 0.05 * self._lifetime, share)
        require(passed < 0.5 * self._lifetime + 1, share)

    def succeeded(self, expires: float) -> None:
        """After a request: `expires` is the first end of a token in its path, in seconds since 1970."""
        self._succeeded = time.monotonic()
        self._lifetime = expires - time.time()
        self.disturbed = False
