"""Network namespaces and files that are somebody else's."""

import os

from assault import attack, refused, unless_refused
from attackers import Watch
from harness import WORK, ip

# Half the world each, so that a default route stays as it is and nobody notices.
GREED = " ".join(
    f"{side}_routes {{ prefix: '{prefix}' }}"
    for side in ("src", "dst")
    for prefix in ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")
)
GREED += " policies { proto: '6' dst_port: '80' }"
ADDRESSES = "src_ip_addrs: '198.51.100.2/24' dst_ip_addrs: '198.51.100.1/24'"
TAKE_ALL = f"context {{ ip_context {{ {ADDRESSES} {GREED} }} }}"
GREEDY = {"interface": "stolen0", "text": f"connection {{ {TAKE_ALL} }}", "hold": True, "keep": "a"}


@attack("a client names the mesh's own namespace as its own", "user", "pod user")
def host_as_client(field, evil):
    outcome = evil.do("request", service="db", namespace=field.host_space, **GREEDY)
    return [*unless_refused("it was connected", outcome), *links_of("stolen0", None)]


@attack("a client names a victim's namespace as its own", "user", "pod user", "pod")
def victim_as_client(field, evil):
    outcome = evil.do("request", service="db", namespace="/run/netns/victim", **GREEDY)
    return [*unless_refused("it was connected", outcome), *links_of("stolen0", "victim")]


@attack("a client names a victim's namespace and its interface", "user", "pod")
def victims_interface(field, evil):
    order = {"namespace": "/run/netns/victim", "interface": "nsm-db", "hold": True, "keep": "a"}
    return unless_refused("it was connected", evil.do("request", service="db", **order))


@attack("an endpoint answers with the mesh's own namespace", "user", "pod user")
def host_as_endpoint(field, evil):
    return endpoint_elsewhere(evil, field.host_space, None)


@attack("an endpoint answers with a victim's namespace", "user", "pod user", "pod")
def victim_as_endpoint(field, evil):
    return endpoint_elsewhere(evil, "/run/netns/victim", "victim")


def endpoint_elsewhere(evil, space, namespace):
    answer = {"namespace": space, "interface": "stolen1", "text": TAKE_ALL}
    if refused(evil.do("offer", service="evil", answer=answer)):
        return []
    outcome = evil.do("request", service="evil", interface="own0", timeout=5, hold=True, keep="a")
    return [*unless_refused("it was connected", outcome), *links_of("stolen1", namespace)]


@attack("an endpoint answers the victim's agent with the namespace of the victim", "pod", state=False)
def own_clients_space(field, evil):
    """Both ends in one namespace: packets of others would go round by the attacker's routes."""
    answer = {"namespace": "/run/netns/tempted", "interface": "stolen1", "text": TAKE_ALL}
    if refused(evil.do("offer", service="evil", answer=answer)):
        return []
    field.tempt("evil", 5)
    return links_of("stolen1", "tempted")


@attack("a descriptor is exchanged between a refresh and the next", "user", "pod")
def exchanged(field, evil):
    """A connection that is one's own is refreshed with another namespace."""
    first = evil.do("request", service="db", interface="own0", hold=True, keep="a")
    if refused(first):
        return []
    order = {"text": "mechanism_preferences { }", "clear": ["mechanism_preferences"], "hold": True}
    outcome = evil.do("request", again="a", namespace="/run/netns/victim", **order)
    return [*unless_refused("it moved", outcome), *links_of("own0", "victim")]


@attack("another process's namespace, or one of another kind, is named", "user")
def process_space(field, evil):
    found = []
    pid = field.mesh.process.pid
    for space in (f"/proc/{pid}/ns/net", "/proc/1/ns/net", "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/user"):
        outcome = evil.do("request", service="db", namespace=space, interface="stolen0", hold=True, keep="a")
        found += unless_refused(space, {"answer": outcome["answer"].replace("broken", "closed")})
    return found


@attack("a file, a device, a FIFO is named as namespace, and opened by root", "user", "pod")
def opened_files(field, evil):
    found = []
    fifo, secret = f"{WORK}/fifo", f"{WORK}/secret"
    if not os.path.exists(fifo):
        os.mkfifo(fifo, 0o600)
        os.close(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600))
    with Watch(fifo, secret) as watch:
        for path in (fifo, secret, "/dev/null", "/dev/tty", "/proc/self/maps", f"{WORK}/state"):
            outcome = evil.do("request", service="db", namespace=path, interface="stolen0", timeout=4)
            found += unless_refused(path, {"answer": outcome["answer"].replace("broken", "closed")})
        evil.do("offer", service="evil", answer={"namespace": fifo})
        evil.do("request", service="evil", timeout=4)
        found += [f"root opened {name}" for name in watch.opened()]
    return found


@attack("an interface has the name of something else", "user", "pod")
def interface_names(field, evil):
    found = []
    names = ["../x", "all", "default", "lo", ".", "..", "a/b", "a b", "a\nb", "x" * 16, "%d", "eth%d", "a:b", "\x01\x02"]
    for name in [*names, "ä" * 8, ""]:
        outcome = evil.do("request", service="db", interface=name, hold=True, keep="a")
        if name and not refused(outcome):
            found.append(f"{name!r}: {outcome['answer']}")
        evil.do("release")
    return found


@attack("an endpoint's interface has the name of something else", "user", "pod")
def endpoint_interface_names(field, evil):
    found = []
    for name in ("../x", "all", "default", "lo", "a/b", "a\nb", "x" * 16, "%d"):
        evil.do("offer", service="evil", answer={"interface": name})
        outcome = evil.do("request", service="evil", interface="own0", timeout=5, hold=True, keep="a")
        if not refused(outcome):
            found.append(f"{name!r}: {outcome['answer']}")
        evil.do("release")
    return found


def links_of(name, namespace):
    """Whether an interface came to be."""
    if f" {name}" in ip("-o", "link", namespace=namespace):
        return [f"{namespace or 'the host'} has an interface {name}", *spoils(namespace)]
    return []


def spoils(namespace):
    routes = ip("route", "show", "table", "all", namespace=namespace) + ip("rule", namespace=namespace)
    return [line for line in routes.splitlines() if "0.0.0.0/1" in line or "128.0.0.0/1" in line or "stolen" in line][:3]

