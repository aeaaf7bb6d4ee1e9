"""File descriptors that travel beside the bytes of one connection, and their names in messages."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
import time
from dataclasses import dataclass, field

from .checks import Refused, deviation

_INODE = re.compile(r"inode://(\d+)/(\d+)")
# A message and its descriptor race on two ways; a descriptor that is this late was not sent.
GRACE = 2.0


def inode_url(descriptor: int) -> str:
    status = os.fstat(descriptor)
    return f"inode://{status.st_dev}/{status.st_ino}"


def is_inode_url(url: str) -> bool:
    return bool(_INODE.fullmatch(url))


def open_path(path: str) -> int:
    """A descriptor that only names the file, as a sender needs it."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def reopen(descriptor: int) -> int:
    """A readable descriptor of the same file: one that only names it cannot be given to setns."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def is_network_namespace(descriptor: int) -> bool:
    """Whether the file is a network namespace: asked of the kernel, since names of bind mounts say nothing."""
    ns_get_nstype, clone_newnet = 0xB703, 0x40000000
    try:
        readable = reopen(descriptor)
    except OSError:
        return False
    try:
        return fcntl.ioctl(readable, ns_get_nstype) == clone_newnet
    except OSError:
        return False
    finally:
        os.close(readable)


def is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


@dataclass
class _Entry:
    descriptor: int
    arrivals: int = 1
    uses: int = 0
    arrived: float = field(default_factory=time.monotonic)


class DescriptorTable:
    """Both directions of one connection: what is to be sent with its next bytes, and what has arrived."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._outgoing: list[int] = []
        self._arrived: dict[str, _Entry] = {}
        self._seen: set[str] = set()
        self._closed = False

    def send(self, path: str) -> str:
        """Queues the file for the next write and returns its name for messages."""
        descriptor = open_path(path)
        with self._changed:
            if self._closed:
                os.close(descriptor)
                raise Refused("UNAVAILABLE", "the connection has gone")
            self._outgoing.append(descriptor)
            return inode_url(descriptor)

    def next_outgoing(self, room: int) -> list[int]:
        """Descriptors for one write: at most 64, and no more than it has bytes. The caller closes them."""
        with self._changed:
            count = min(64, room)
            batch, self._outgoing = self._outgoing[:count], self._outgoing[count:]
            return batch

    def add(self, descriptors: list[int]) -> None:
        """What one recvmsg brought."""
        if len(descriptors) > 1:
            deviation(f"{self._name}: {len(descriptors)} descriptors with one sendmsg; each needs its own byte")
        with self._changed:
            for descriptor in descriptors:
                url = inode_url(descriptor)
                self._seen.add(url)
                if entry := self._arrived.get(url):
                    entry.arrivals += 1
                    os.close(descriptor)
                else:
                    self._arrived[url] = _Entry(descriptor)
            self._changed.notify_all()

    def take(self, url: str, timeout: float, what: str) -> int:
        """A copy of the descriptor that a message names. Each message must bring its descriptor along once more."""
        if not is_inode_url(url):
            deviation(f"{what}: {url!r} is no inode://DEVICE/INODE")
            raise Refused("INVALID_ARGUMENT", f"{what}: {url!r} is no inode URL")

        def fresh() -> bool:
            entry = self._arrived.get(url)
            return self._closed or bool(entry and entry.arrivals > entry.uses)

        with self._changed:
            came = self._changed.wait_for(fresh, min(timeout, GRACE)) and not self._closed
            entry = self._arrived.get(url)
            if self._closed or not entry:
                if url not in self._seen:
                    deviation(f"{what}: no descriptor arrived for {url}")
                raise Refused("INVALID_ARGUMENT", f"{what}: no descriptor arrived for {url}")
            if not came:
                deviation(f"{what}: {url} was not sent again with this call")
            entry.uses += came
            return os.dup(entry.descriptor)

    def expect(self, url: str, what: str) -> None:
        """The same for a descriptor that we have no use for: it must come, but nobody waits for it."""

        def wait() -> None:
            try:
                os.close(self.take(url, GRACE, what))
            except Refused:
                pass  # noted

        threading.Thread(target=wait, name=f"{self._name} expects {url}", daemon=True).start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            for url, entry in self._arrived.items():
                if not entry.uses and time.monotonic() - entry.arrived > GRACE:
                    deviation(f"{self._name}: a descriptor of {url} arrived, which no message named")
            for descriptor in [*self._outgoing, *(entry.descriptor for entry in self._arrived.values())]:
                os.close(descriptor)
            self._outgoing, self._arrived = [], {}
            self._changed.notify_all()
