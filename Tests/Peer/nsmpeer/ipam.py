"""Point-to-point addresses: a pair for each connection, one for each side."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_interface, ip_network

from nsmproto.connection_pb2 import Connection

from .checks import Refused
from .settings import Network

Address = IPv4Address | IPv6Address


def _hosts(pool: Network) -> Iterator[Address]:
    """Addresses that a host may have: not the network's own, not the broadcast."""
    first, last = int(pool.network_address), int(pool.broadcast_address)
    if pool.num_addresses > 2:
        first, last = first + 1, last if isinstance(pool, IPv6Network) else last - 1
    kind = type(pool.network_address)
    return (kind(number) for number in range(first, last + 1))


class PointToPoint:
    """Pools in groups: each group gives one pair, and its pools stand in for each other."""

    def __init__(self, groups: list[list[Network]]) -> None:
        self._groups = groups
        self._lock = threading.Lock()
        self._pairs: dict[str, list[tuple[Address, Address] | None]] = {}  # endpoint's, client's, for each group

    def assign(self, key: str, connection: Connection) -> None:
        """Gives `key` its pairs, the ones it has or names as far as they are free and allowed."""
        context = connection.context.ip_context
        excluded = [ip_network(prefix, strict=False) for prefix in context.excluded_prefixes]
        with self._lock:
            pairs = self._pairs.get(key, [None] * len(self._groups))
            others = {address for k, v in self._pairs.items() if k != key for pair in v if pair for address in pair}
            gone = []
            for number, pools in enumerate(self._groups):
                pair = pairs[number]
                if pair and any(_inside(address, excluded) for address in pair):
                    gone += list(pair)
                    pair = None
                pairs[number] = (
                    pair or self._claim(connection, pools, others, excluded) or _lowest(pools, others, excluded)
                )
            self._pairs[key] = pairs
        self._write(connection, [pair for pair in pairs if pair], gone)

    def release(self, key: str) -> None:
        with self._lock:
            self._pairs.pop(key, None)

    @property
    def used(self) -> int:
        return len(self._pairs)

    def _claim(
        self, connection: Connection, pools: list[Network], others: set[Address], excluded: list[Network]
    ) -> tuple[Address, Address] | None:
        """The pair that a returning client still names, if it is ours to give."""
        context = connection.context.ip_context

        def ours(addresses: list[str]) -> Address | None:
            for address in (ip_interface(text).ip for text in addresses):
                if _inside(address, pools) and address not in others and not _inside(address, excluded):
                    return address
            return None

        target, source = ours(list(context.dst_ip_addrs)), ours(list(context.src_ip_addrs))
        return (target, source) if target and source else None

    def _write(self, connection: Connection, pairs: list[tuple[Address, Address]], gone: list[Address]) -> None:
        context = connection.context.ip_context
        for addresses, routes, column in (
            (context.dst_ip_addrs, context.src_routes, 0),
            (context.src_ip_addrs, context.dst_routes, 1),
        ):
            stale = {str(ip_network(address)) for address in gone}
            kept = [address for address in addresses if address not in stale]
            kept_routes = [route for route in routes if route.prefix not in stale]
            del addresses[:], routes[:]
            addresses.extend(kept)
            routes.extend(kept_routes)
            for pair in pairs:
                host = str(ip_network(pair[column]))
                if host not in addresses:
                    addresses.append(host)
                if host not in [route.prefix for route in routes]:
                    routes.add(prefix=host)


def _inside(address: Address, networks: list[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _lowest(pools: list[Network], others: set[Address], excluded: list[Network]) -> tuple[Address, Address]:
    for pool in pools:
        free = []
        for address in _hosts(pool):
            if address not in others and not _inside(address, excluded):
                free.append(address)
                if len(free) == 2:
                    return free[0], free[1]
    raise Refused("RESOURCE_EXHAUSTED", f"no two free addresses in {', '.join(map(str, pools))}")
