"""Work inside network namespaces that are known by a descriptor: with ip, in a child that enters first."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .checks import log

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


class KernelRefused(Exception):
    """The kernel, or ip, did not do it."""


def run(namespaces: list[int], *command: str, text: str | None = None) -> str:
    """Runs a command that may name the descriptors as /proc/self/fd/N."""
    log.debug("%s %s", " ".join(command), (text or "").strip().replace("\n", "; "))
    done = subprocess.run(
        command, input=text or "", pass_fds=namespaces, capture_output=True, text=True, timeout=10, check=False
    )
    if done.returncode:
        raise KernelRefused(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def inside(namespace: int, *command: str, text: str | None = None) -> str:
    return run([namespace], "nsenter", f"--net=/proc/self/fd/{namespace}", *command, text=text)


def batch(namespace: int, lines: list[str]) -> None:
    """Lines for ip, all or an error."""
    if lines:
        inside(namespace, "ip", "-batch", "-", text="\n".join(lines) + "\n")


def query(namespace: int, *arguments: str) -> Any:
    return json.loads(inside(namespace, "ip", "-json", "-details", *arguments) or "[]")


def write_sysctl(namespace: int, path: str, value: str) -> None:
    """The files of net/ are those of the namespace that the writer is in."""
    inside(namespace, "sh", "-c", 'printf %s "$2" >"/proc/sys/$1"', "sh", path, value)


def read_sysctl(namespace: int, path: str) -> str:
    return inside(namespace, "cat", f"/proc/sys/{path}").strip()


def call_inside(namespace: int | None, action: Callable[[], _Result]) -> _Result:
    """Calls `action` in a thread that has entered the namespace; sockets that it opens stay there."""
    if namespace is None:
        return action()
    results: list[_Result] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            if _libc.setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")
            results.append(action())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def udp_like_ping_socket(namespace: int | None, version: int) -> socket.socket:
    """A datagram ICMP socket, which the kernel only gives when net.ipv4.ping_group_range allows."""
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    return call_inside(namespace, lambda: socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol))
