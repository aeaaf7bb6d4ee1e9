"""What a client's request must not write into its endpoint's namespace."""

import json
import os
import time

from assault import attack
from harness import ip

# What is asked for, and how one sees it in the endpoint's namespace.
WISHES = {
    "an address": ("ip_context { dst_ip_addrs: '198.51.100.66/24' }", "198.51.100.66"),
    "a route": ("ip_context { dst_ip_addrs: '198.51.100.66/24' dst_routes { prefix: '203.0.113.0/24' } }", "203.0.113.0"),
    "a route by a gateway": (
        "ip_context { src_ip_addrs: '198.51.100.67/24' dst_routes { prefix: '203.0.113.64/26' nextHop: '198.51.100.67' } }",
        "203.0.113.64",
    ),
    "a default route": ("ip_context { src_ip_addrs: '198.51.100.68/24' dst_routes { prefix: '0.0.0.0/0' } }", "default"),
    "a default route of IPv6": ("ip_context { src_ip_addrs: 'fd66::2/64' dst_routes { prefix: '::/0' } }", "default"),
    "half the world": ("ip_context { src_ip_addrs: '198.51.100.69/24' dst_routes { prefix: '0.0.0.0/1' } }", "0.0.0.0/1"),
    "the victim's address": ("ip_context { src_ip_addrs: '10.60.0.2/32' }", "10.60.0.2"),
    "another client's address": (
        "ip_context { src_ip_addrs: '203.0.113.77/32' dst_routes { prefix: '203.0.113.77/32' } }",
        "203.0.113.77",
    ),
    "all addresses": ("ip_context { src_ip_addrs: '203.0.113.78/1' }", "128.0.0.0/1"),
    "a neighbour": ("ip_context { ip_neighbors { ip: '203.0.113.9' hardware_address: '02:ee:00:00:00:09' } }", "02:ee:00:00:00:09"),
    "a MAC": ("ethernet_context { dst_mac: '02:ee:00:00:00:01' }", "02:ee:00:00:00:01"),
    "an MTU": ("MTU: 1283", "mtu 1283"),
    "a policy": ("ip_context { policies { proto: '6' dst_port: '80' } }", "dport 80"),
}


def seen(namespace):
    """All of it as `ip` shows it, line by line."""
    words = (["-o", "link"], ["-o", "address"], ["neigh"], ["-4", "rule"], ["-6", "rule"], ["-4", "route", "show", "table", "all"])
    text = "\n".join(ip(*x, namespace=namespace) for x in (*words, ["-6", "route", "show", "table", "all"]))
    return set(text.splitlines())


def write(evil, service, namespace, text, mark):
    before = seen(namespace)
    order = {"text": f"connection {{ context {{ {text} }} }}", "hold": True, "keep": "a", "timeout": 5}
    evil.do("request", service=service, interface="own0", **order)
    time.sleep(0.2)
    more = [line for line in seen(namespace) - before if mark in line]
    evil.do("close", again="a")
    return more


@attack("a client writes into its endpoint's namespace", "pod", "user")
def into_agents(field, evil):
    return into(evil, "db", "server")


@attack("a client writes into a polite endpoint's namespace", "pod", "user")
def into_echo(field, evil):
    return into(evil, "echo", "echo")


def into(evil, service, namespace):
    found = []
    for what, (text, mark) in WISHES.items():
        if more := write(evil, service, namespace, text, mark):
            found.append(f"{what}: {' '.join(more[0].split())[:150]}")
    return found


@attack("a client takes the victim's address at their endpoint", "pod")
def victims_address(field, evil):
    def device():
        return json.loads(ip("-j", "route", "get", "10.60.0.2", namespace="server", fail=False) or "[{}]")[0].get("dev")

    before = device()
    text = "connection { context { ip_context { src_ip_addrs: '10.60.0.2/32' } } }"
    evil.do("request", service="db", interface="own0", text=text, hold=True, keep="a")
    time.sleep(0.2)
    after = device()
    evil.do("close", again="a")
    return [f"packets to the victim went by {before or 'nothing'} and now go by {after}"] if after != before else []


@attack("a client's request is written into its own namespace by a template", "pod")
def templates(field, evil):
    """Rules for a packet filter are texts that root runs."""
    mark = "/tmp/evil-was-here"
    text = f"parameters {{ key: 'IPTables4NatTemplate' value: '-A PREROUTING; $(touch {mark}); `touch {mark}`' }}"
    evil.do("request", service="db", text=f"mechanism_preferences {{ cls: 'LOCAL' type: 'KERNEL' {text} }}", timeout=4)
    return [f"{mark} is there"] if os.path.exists(mark) else []
