"""The workload W(N), as a configuration file and as files for `ip -batch`.

For each pod i: a veth pair h<i> in namespace host0 and eth0 in p<i>, MTU 1450, fixed MACs, both up; 10.a.b.1/30 and .2/30,
fd00:…::2/64 (nodad) in the pod; the pod's default route; a host route 10.200.x.y/32 via the pod; a permanent neighbour.
The same names and addresses as netlink_limit.c uses.
"""

import ipaddress

HOST, POD, ROUTED = (int(ipaddress.IPv4Address(a)) for a in ("10.0.0.1", "10.0.0.2", "10.200.0.0"))


def v4(base, offset):
    return str(ipaddress.IPv4Address(base + offset))


def mac(side, i):
    return f"02:{side:02x}:00:00:{i >> 8:02x}:{i & 255:02x}"


def v6(i, last):
    return str(ipaddress.IPv6Address(0xFD00 << 112 | i << 80 | last))


def yaml(n, last=2, more_routes=0):
    """The configuration, of 5 values for each pod; `last` is the last part of every pod's IPv6 address.

    With `more_routes`, so many more routes lead through each pod: 10.k.x.y/32 with k from 201 on.
    """
    interfaces, routes, neighbours = [], [], []
    for i in range(n):
        host, pod = v4(HOST, 4 * i), v4(POD, 4 * i)
        interfaces.append(
            f"""\
    - name: h{i}
      type: VETH
      namespace: {{type: NSID, reference: host0}}
      enabled: true
      mtu: 1450
      physAddress: "{mac(0, i)}"
      ipAddresses: [{host}/30]
      veth: {{peerIfName: p{i}-eth0}}
    - name: p{i}-eth0
      type: VETH
      namespace: {{type: NSID, reference: p{i}}}
      hostIfName: eth0
      enabled: true
      mtu: 1450
      physAddress: "{mac(1, i)}"
      ipAddresses: [{pod}/30]
      addresses: [{{address: "{v6(i, last)}/64", nodad: true}}]
      veth: {{peerIfName: h{i}}}
"""
        )
        routes.append(
            f"    - {{outgoingInterface: p{i}-eth0, dstNetwork: 0.0.0.0/0, gwAddr: {host}}}\n"
            f"    - {{outgoingInterface: h{i}, dstNetwork: {v4(ROUTED, i)}/32, gwAddr: {pod}}}\n"
        )
        for k in range(more_routes):
            routes.append(f"    - {{outgoingInterface: h{i}, dstNetwork: {v4(ROUTED + ((k + 1) << 16), i)}/32, gwAddr: {pod}}}\n")
        neighbours.append(f'    - {{interface: h{i}, ipAddress: {pod}, hwAddress: "{mac(1, i)}"}}\n')
    return (
        "linuxConfig:\n  interfaces:\n"
        + "".join(interfaces)
        + "  routes:\n"
        + "".join(routes)
        + "  arpEntries:\n"
        + "".join(neighbours)
    )


# One more pair, between host0 and p0, with an address at each end.
PAIR_HOST, PAIR_POD = "172.31.0.1", "172.31.0.2"
PAIR = f"""\
linuxConfig:
  interfaces:
    - name: x0
      type: VETH
      namespace: {{type: NSID, reference: host0}}
      enabled: true
      ipAddresses: [{PAIR_HOST}/30]
      veth: {{peerIfName: p0-x0}}
    - name: p0-x0
      type: VETH
      namespace: {{type: NSID, reference: p0}}
      hostIfName: x0
      enabled: true
      ipAddresses: [{PAIR_POD}/30]
      veth: {{peerIfName: x0}}
"""


def neighbour(pods, last):
    """One more neighbour behind the last pod. Of all values a change of it, of the last byte of its MAC address, costs the kernel
    least: what remains is the agent's."""
    return f'linuxConfig:\n  arpEntries:\n    - {{interface: h{pods - 1}, ipAddress: {NEIGHBOUR}, hwAddress: "02:02:00:00:00:{last:02x}"}}\n'


NEIGHBOUR = "172.30.0.1"


def batches(n):
    """For `ip -n NAMESPACE -batch FILE`: the workload as {namespace: text}, the host first, as it makes the pairs."""
    host, pods = [], {}
    for i in range(n):
        host.append(
            f"link add h{i} mtu 1450 address {mac(0, i)} up group 77 type veth "
            f"peer name eth0 mtu 1450 address {mac(1, i)} netns p{i}\n"
            f"address add {v4(HOST, 4 * i)}/30 dev h{i}\n"
        )
    for i in range(n):
        host.append(
            f"neigh add {v4(POD, 4 * i)} lladdr {mac(1, i)} dev h{i} nud permanent\n"
            f"route add {v4(ROUTED, i)}/32 via {v4(POD, 4 * i)} dev h{i}\n"
        )
        pods[f"p{i}"] = (
            f"link set eth0 up\naddress add {v4(POD, 4 * i)}/30 dev eth0\n"
            f"address add {v6(i, 2)}/64 dev eth0 nodad\nroute add default via {v4(HOST, 4 * i)} dev eth0\n"
        )
    return {"host0": "".join(host), **pods}


def readdress(n, old, new):
    return {
        f"p{i}": f"address del {v6(i, old)}/64 dev eth0\naddress add {v6(i, new)}/64 dev eth0 nodad\n" for i in range(n)
    }


def reading(n):
    text = "link show\naddress show\nroute show table all\nneigh show\n"
    return {"host0": text, **{f"p{i}": text for i in range(n)}}


def deletion(n):
    return {"host0": "".join(f"link del h{i}\n" for i in range(n))}
