"""The data plane: a veth pair with one end in each of two network namespaces."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from nsmproto.connection_pb2 import Connection
from nsmproto.connectioncontext_pb2 import PolicyRoute

from . import netns
from .netns import KernelRefused


@dataclass
class Side:
    """One end of a pair and what it gets."""

    namespace: int
    name: str
    addresses: list[str]
    peers: list[str]
    routes: list[tuple[str, str]]  # prefix, next hop or nothing
    mac: str = ""
    neighbors: list[tuple[str, str]] = field(default_factory=list)


def sides(connection: Connection, client: int, client_name: str, server: int, server_name: str) -> tuple[Side, Side]:
    """What the context says about the client's end (src) and the endpoint's (dst)."""
    context = connection.context.ip_context
    ethernet = connection.context.ethernet_context
    source, target = list(context.src_ip_addrs), list(context.dst_ip_addrs)
    near = [(neighbor.ip, neighbor.hardware_address) for neighbor in context.ip_neighbors]
    source_routes = [(route.prefix, route.nextHop) for route in context.src_routes]
    target_routes = [(route.prefix, route.nextHop) for route in context.dst_routes]
    return (
        Side(client, client_name, source, target, source_routes, ethernet.src_mac, near),
        Side(server, server_name, target, source, target_routes, ethernet.dst_mac, near),
    )


class Pair:
    """The pair of one connection. Its alias finds it again, by us or by who comes after us."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._tables: dict[bytes, int] = {}  # policy: routing table

    def establish(self, client: Side, server: Side, mtu: int, ip_payload: bool, policies: list[PolicyRoute]) -> bool:
        """Creates or adopts the pair and makes it what it is to be. Says whether it is a new one."""
        ends = self._find(client), self._find(server)
        adopted = all(ends) and ends[0]["link_index"] == ends[1]["ifindex"]  # type: ignore[index]
        if not adopted:
            self.delete([client.namespace, server.namespace])
            self._create(client, server)
        try:
            for side, other in ((client, server), (server, client)):
                self._program(side, other, mtu, ip_payload)
            self._set_policies(client, policies)
        except KernelRefused:
            if not adopted:
                self.delete([client.namespace, server.namespace])
            raise
        return not adopted

    def delete(self, namespaces: list[int]) -> None:
        """Either end takes the other along, and the kernel takes addresses and routes along."""
        for namespace in namespaces:
            for table in self._tables.values():
                self._forget_table(namespace, table)
            for link in self._mine(namespace):
                try:
                    netns.inside(namespace, "ip", "link", "delete", link["ifname"])
                except KernelRefused as error:
                    if "Cannot find device" not in str(error):
                        raise
        self._tables = {}

    def _mine(self, namespace: int) -> list[dict[str, Any]]:
        links = netns.query(namespace, "link", "show", "type", "veth")
        return [link for link in links if link.get("ifalias") == self._alias]

    def _find(self, side: Side) -> dict[str, Any] | None:
        found = [link for link in self._mine(side.namespace) if link["ifname"] == side.name]
        return found[0] if found and "link_index" in found[0] else None

    def _create(self, client: Side, server: Side) -> None:
        """Under random names first, since both ends may bear one name, and each needs its own namespace for that."""
        first, second = f"nsm{secrets.token_hex(5)}", f"nsm{secrets.token_hex(5)}"
        paths = [f"/proc/self/fd/{side.namespace}" for side in (client, server)]
        command = ["ip", "link", "add", "name", first, "netns", paths[0], "type", "veth", "peer", "name", second]
        netns.run([client.namespace, server.namespace], *command, "netns", paths[1])
        try:
            for side, temporary in ((client, first), (server, second)):
                lines = [f"link set dev {temporary} alias {self._alias}"]
                if side.mac:
                    lines.append(f"link set dev {temporary} address {side.mac}")
                netns.batch(side.namespace, [*lines, f"link set dev {temporary} name {side.name}"])
        except KernelRefused:
            self.delete([client.namespace])
            raise

    def _program(self, side: Side, other: Side, mtu: int, ip_payload: bool) -> None:
        name, space = side.name, side.namespace
        netns.write_sysctl(space, "net/ipv4/ping_group_range", "0 2147483647")
        lines = [f"link set dev {name} up"]
        if mtu:
            lines.insert(0, f"link set dev {name} mtu {mtu}")
        netns.batch(space, lines)
        if side.addresses:
            netns.write_sysctl(space, f"net/ipv6/conf/{name}/disable_ipv6", "0")
            netns.batch(space, _address_changes(side))
        netns.batch(space, _routes(side))
        neighbors = [f"neigh replace {ip} lladdr {mac} dev {name} nud reachable" for ip, mac in side.neighbors]
        if ip_payload and side.peers:
            mac = netns.query(other.namespace, "link", "show", "dev", other.name)[0]["address"]
            for peer in side.peers:
                neighbors.append(f"neigh replace {ip_interface(peer).ip} lladdr {mac} dev {name} nud permanent")
        netns.batch(space, neighbors)

    def _set_policies(self, side: Side, policies: list[PolicyRoute]) -> None:
        wanted = {policy.SerializeToString(deterministic=True): policy for policy in policies}
        for key in [key for key in self._tables if key not in wanted]:
            self._forget_table(side.namespace, self._tables.pop(key))
        for key, policy in wanted.items():
            if key not in self._tables:
                self._tables[key] = self._add_policy(side, policy)

    def _add_policy(self, side: Side, policy: PolicyRoute) -> int:
        version = ip_interface(getattr(policy, "from")).version if getattr(policy, "from") else 4
        rules = netns.query(side.namespace, f"-{version}", "rule", "show")
        routes = netns.query(side.namespace, f"-{version}", "route", "show", "table", "all")
        used = {str(item.get("table")) for item in [*rules, *routes]}
        table = next(number for number in range(1, 253) if str(number) not in used)
        everything = "0.0.0.0/0" if version == 4 else "::/0"
        wanted = [(route.prefix, route.nextHop) for route in policy.routes] or [(everything, "")]
        copy = Side(side.namespace, side.name, side.addresses, side.peers, wanted)
        lines = [f"{line} table {table}" for line in _routes(copy, links=False)]
        rule = f"-{version} rule add"
        for word, value in (
            ("from", getattr(policy, "from")),
            ("ipproto", policy.proto),
            ("dport", policy.dst_port),
            ("sport", policy.src_port),
        ):
            rule += f" {word} {value}" if value else ""
        netns.batch(side.namespace, lines)
        netns.inside(side.namespace, "ip", *f"{rule} table {table}".split())
        return table

    def _forget_table(self, namespace: int, table: int) -> None:
        for version in ("-4", "-6"):
            script = f"ip {version} rule delete table {table}; ip {version} route flush table {table}; true"
            netns.inside(namespace, "sh", "-c", script)


def _address_changes(side: Side) -> list[str]:
    found = netns.query(side.namespace, "address", "show", "dev", side.name)[0]["addr_info"]
    present = {ip_interface(f"{item['local']}/{item['prefixlen']}") for item in found if item["scope"] == "global"}
    wanted = {ip_interface(address) for address in side.addresses}
    lines = [f"address delete {address} dev {side.name}" for address in present - wanted]
    for address in wanted - present:
        lines.append(f"address add {address} dev {side.name}{' nodad' if address.version == 6 else ''}")
    return lines


def _routes(side: Side, links: bool = True) -> list[str]:
    """Routes to the peers themselves, then those that were asked for; as stock kernel elements leave them, without a scope."""
    own = [ip_interface(address).network for address in side.addresses]
    peers = [ip_interface(address) for address in side.peers]
    lines = []
    for peer in peers:
        if links and not any(peer.version == net.version and peer.ip in net for net in own):
            lines.append(f"route replace {ip_network(peer.ip)} dev {side.name}{_bare(peer.version)}")
    for prefix, hop in side.routes:
        net = ip_network(prefix, strict=False)
        gateway = hop
        near = any(peer.version == net.version and net.subnet_of(peer.network) for peer in peers)  # type: ignore[arg-type]
        if not hop and not near:
            gateway = next((str(peer.ip) for peer in peers if peer.version == net.version), "")
        via = f" via {ip_address(gateway)} onlink proto boot" if gateway else _bare(net.version)
        lines.append(f"route replace {net} dev {side.name}{via}")
    return lines


def _bare(version: int) -> str:
    return " proto boot scope global" if version == 4 else " proto boot"
