"""The network state of namespaces with all the marks of its owners, as JSON: recorded from a kernel, and made again.

What an earlier version of the program left in a kernel can so be had without that version.
"""

import ctypes
import ipaddress
import os
import socket
import struct

from harness import ip, ip_json, namespaces, write

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
# linux/rtnetlink.h, linux/if_addr.h. `ip` of many a distribution neither shows nor sets the protocol of an address.
RTM_NEWADDR, RTM_GETADDR = 20, 22
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_PROTO = 1, 2, 8, 11
IFA_F_NODAD = 0x02


class Route:
    """A netlink socket in a namespace; None is our own."""

    def __init__(self, namespace):
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        other = os.open(f"/run/netns/{namespace}", os.O_RDONLY) if namespace else own
        self._enter(other)
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self._enter(own)
        for descriptor in {own, other}:
            os.close(descriptor)

    @staticmethod
    def _enter(descriptor):
        if _libc.setns(descriptor, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def ask(self, kind, flags, body):
        """Sends a request; the answers until the last, with their kinds."""
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)
        while True:
            data = self.socket.recv(1 << 16)
            while data:
                size, kind = struct.unpack_from("=IH", data)
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    if error := struct.unpack_from("=i", data, 16)[0]:
                        raise OSError(-error, os.strerror(-error))
                    return
                yield data[16:size]
                data = data[(size + 3) & ~3 :]

    def addresses(self):
        """Addresses that somebody gave: index, text, whether without detection of duplicates, protocol."""
        for message in self.ask(RTM_GETADDR, NLM_F_DUMP, struct.pack("=BBBBi", 0, 0, 0, 0, 0)):
            _, length, _, scope, index = struct.unpack_from("=BBBBi", message)
            found, rest = {}, message[8:]
            while len(rest) >= 4:
                size, kind = struct.unpack_from("=HH", rest)
                found[kind] = rest[4:size]
                rest = rest[(size + 3) & ~3 :]
            if scope == 0:
                address = ipaddress.ip_address(found.get(IFA_LOCAL) or found[IFA_ADDRESS])
                flags = struct.unpack("=I", found[IFA_FLAGS])[0]
                yield index, f"{address}/{length}", bool(flags & IFA_F_NODAD), found.get(IFA_PROTO, b"\0")[0]

    def add_address(self, index, text, nodad, protocol):
        address = ipaddress.ip_interface(text)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = struct.pack("=BBBBi", family, address.network.prefixlen, 0, 0, index)
        parts = [(IFA_LOCAL, address.packed), (IFA_ADDRESS, address.packed), (IFA_FLAGS, struct.pack("=I", nodad and IFA_F_NODAD))]
        for kind, value in parts + ([(IFA_PROTO, bytes([protocol]))] if protocol else []):
            body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
        list(self.ask(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body))


# ---- recording ----


def _links(namespace):
    """In the order in which they were made; of the loopback interface only its marks."""
    ids = {x["nsid"]: x.get("name") for x in ip_json("netns", "list-id", namespace=namespace)}
    here = ip_json("-d", "link", namespace=namespace)
    names = {(namespace, x["ifindex"]): x["ifname"] for x in here}
    links = []
    for x in sorted(here, key=lambda x: x["ifindex"]):
        link = {"name": x["ifname"], "group": x["group"], "up": "UP" in x["flags"]}
        if x["ifname"] != "lo":
            link |= {"kind": x["linkinfo"]["info_kind"], "mtu": x["mtu"], "mac": x["address"]}
            link |= {key: x[name] for key, name in (("alias", "ifalias"), ("master", "master")) if name in x}
        if link.get("kind") == "veth":
            # Where both ends are in one namespace, no id is told, and the other end has a name.
            space = ids[x["link_netnsid"]] if "link_netnsid" in x else namespace
            index = x.get("link_index")
            if space not in {n for n, _ in names}:
                names |= {(space, y["ifindex"]): y["ifname"] for y in ip_json("link", namespace=space)}
            link["peer"] = [space or "", x["link"] if "link" in x else names[space, index]]
        links.append(link)
    return links


def _lines(*command, namespace):
    return [" ".join(line.split()) for line in ip(*command, namespace=namespace).splitlines()]


def record(names=None):
    """The state of the named namespaces and of our own (""); `names` limits it."""
    state = {}
    for name in names if names is not None else ["", *namespaces()]:
        namespace = name or None
        devices = {x["ifindex"]: x["ifname"] for x in ip_json("link", namespace=namespace)}
        routes = [x for f in ("-4", "-6") for x in _lines(f, "route", "show", "table", "all", namespace=namespace)]
        rules = [f"{f} {x}" for f in ("-4", "-6") for x in _lines(f, "rule", namespace=namespace)]
        state[name] = {
            "links": _links(namespace),
            "addresses": [[devices[i], *rest] for i, *rest in Route(namespace).addresses() if devices[i] != "lo"],
            "routes": sorted(x.replace(" linkdown", "") for x in routes if "proto kernel" not in x),
            "rules": sorted(x.replace(":", " ", 1) if "-4" in x else x for x in rules if not _is_default(x)),
            "neighbours": sorted(_lines("neigh", "show", "nud", "permanent", namespace=namespace)),
        }
    return {name: {key: value for key, value in of.items() if value} for name, of in state.items()}


def _is_default(rule):
    return rule.split(" ", 1)[1].split(":")[0] in ("0", "32766", "32767")


# ---- making it again ----


def recreate(state):
    """Makes the recorded namespaces and what is in them."""
    there = namespaces()
    for name in state:
        if name and name not in there:
            ip("netns", "add", name)
    batches = {name: [] for name in state}
    made = set()
    for name, of in state.items():
        for link in of["links"]:
            if link["name"] != "lo" and (name, link["name"]) not in made:
                made |= {(name, link["name"]), tuple(link.get("peer", ()))}
                batches[name].append(f"link add {link['name']} type {link['kind']}{_peer(name, link)}")
    _run(batches)
    for name, of in state.items():
        for link in of["links"]:
            text = f"link set dev {link['name']} group {link['group']}"
            text += f" mtu {link['mtu']}" if "mtu" in link else ""
            text += f" address {link['mac']}" if "mac" in link else ""
            text += f" master {link['master']}" if "master" in link else ""
            batches[name].append(text + (" up" if link["up"] else ""))
            if "alias" in link:
                batches[name].append(f"link set dev {link['name']} alias {link['alias']}")
    _run(batches)
    for name, of in state.items():
        indexes = {x["ifname"]: x["ifindex"] for x in ip_json("link", namespace=name or None)}
        route = Route(name or None)
        for device, *rest in of.get("addresses", []):
            route.add_address(indexes[device], *rest)
        batches[name] += [f"route add {line}" for line in of.get("routes", [])]
        batches[name] += [f"neigh add {line.replace('PERMANENT', 'nud permanent').replace(' proto ', ' protocol ')}" for line in of.get("neighbours", [])]
    _run(batches)
    for name, of in state.items():
        for rule in of.get("rules", []):
            family, priority, rest = rule.split(" ", 2)
            ip(family, "rule", "add", "priority", priority.rstrip(":"), *rest.split(), namespace=name or None)


def _peer(namespace, link):
    if "peer" not in link:
        return ""
    space, name = link["peer"]
    where = "" if space == namespace else f" netns {space}" if space else f" netns {os.getpid()}"
    return f" peer name {name}{where}"


def _run(batches):
    for name, lines in batches.items():
        path = write("batch", "".join(f"{line}\n" for line in lines))
        if lines:
            ip("-batch", path, namespace=name or None)
        lines.clear()
