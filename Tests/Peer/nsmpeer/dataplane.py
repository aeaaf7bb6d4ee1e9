"""Whether an interface is there and is as its connection says, and whether packets pass."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import ip_interface, ip_network
from typing import Any

from nsmproto.connection_pb2 import Connection

from . import netns
from .checks import deviation, log
from .netns import KernelRefused
from .rpc import wait_until


def interface_faults(namespace: int, connection: Connection, name: str, client: bool) -> list[str]:
    """How the interface differs from the client's (or the endpoint's) part of the context."""
    context = connection.context.ip_context
    addresses = context.src_ip_addrs if client else context.dst_ip_addrs
    routes = context.src_routes if client else context.dst_routes
    found = [link for link in netns.query(namespace, "address", "show") if link["ifname"] == name]
    if not found:
        return [f"there is no interface {name}"]
    link, faults = found[0], []
    if "UP" not in link["flags"]:
        faults.append(f"{name} is not up")
    if addresses:
        have = {
            ip_interface(f"{item['local']}/{item['prefixlen']}")
            for item in link["addr_info"]
            if item["scope"] == "global" and not item.get("tentative")
        }
        want = {ip_interface(address) for address in addresses}
        if have != want:
            faults.append(f"{name} has the addresses {_texts(have)}, not {_texts(want)}")
    if connection.context.MTU and link["mtu"] != connection.context.MTU:
        faults.append(f"{name} has MTU {link['mtu']}, not {connection.context.MTU}")
    ethernet = connection.context.ethernet_context
    mac = ethernet.src_mac if client else ethernet.dst_mac
    if mac and link["address"].lower() != mac.lower():
        faults.append(f"{name} has MAC {link['address']}, not {mac}")
    present: dict[int, set[str]] = {}
    for version in {ip_network(route.prefix).version for route in routes}:
        shown = netns.query(namespace, f"-{version}", "route", "show", "dev", name)
        present[version] = {_prefix(item["dst"], version) for item in shown}
    for route in routes:
        net = ip_network(route.prefix)
        if str(net) not in present[net.version]:
            faults.append(f"{name} has no route to {net}")
    return faults


def check_interface(namespace: int, connection: Connection, name: str, client: bool, timeout: float, what: str) -> bool:
    """Deviations, when the interface is not right within `timeout`."""
    faults: list[str] = []

    def right() -> bool:
        nonlocal faults
        try:
            faults = interface_faults(namespace, connection, name, client)
        except KernelRefused as error:
            faults = [str(error)]
        return not faults

    good = right() or wait_until(right, timeout, 0.1)
    for fault in faults:
        deviation(f"{what}: {fault}")
    return good


def has_interface(namespace: int, name: str) -> bool:
    return any(link["ifname"] == name for link in netns.query(namespace, "link", "show"))


def _prefix(text: str, version: int) -> str:
    if text == "default":
        return "0.0.0.0/0" if version == 4 else "::/0"
    return str(ip_network(text))


def _texts(values: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"


def ping(namespace: int, source: str, target: str, timeout: float) -> bool:
    """Up to four echo requests, a quarter of `timeout` apart, by a datagram ICMP socket; one reply is enough."""
    version = ip_interface(target).version
    try:
        echo = netns.udp_like_ping_socket(namespace, version)
    except PermissionError:
        deviation("net.ipv4.ping_group_range does not let us open a datagram ICMP socket in the client's namespace")
        return False
    with echo:
        try:
            echo.bind((source, 0))
            echo.connect((target, 0))
        except OSError as error:
            log.info("ping %s -> %s: %s", source, target, error)
            return False
        for sequence in range(1, 5):
            end = time.monotonic() + timeout / 4
            try:
                echo.send(struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 0, sequence) + b"nsmpeer")
            except OSError as error:
                log.debug("ping %s -> %s: %s", source, target, error)
                time.sleep(max(0, end - time.monotonic()))
                continue
            if _replied(echo, 0 if version == 4 else 129, end):
                return True
    return False


def _replied(echo: socket.socket, kind: int, end: float) -> bool:
    while select.select([echo], [], [], max(0, end - time.monotonic()))[0]:
        try:
            data = echo.recv(256)
        except OSError:
            continue
        if data and data[0] == kind:
            return True
    return False


def alive(namespace: int, connection: Connection, timeout: float) -> bool:
    """Every pair of addresses of one family must answer. Nothing to ask for is good, too."""
    context = connection.context.ip_context
    pairs = [
        (ip_interface(source), ip_interface(target))
        for source in context.src_ip_addrs
        for target in context.dst_ip_addrs
    ]
    return all(
        ping(namespace, str(source.ip), str(target.ip), timeout)
        for source, target in pairs
        if source.version == target.version
    )
