"""A mesh that other hosts reach: who speaks for another host, and where tunnels go."""

from assault import attack, unless_refused
from attackers import pod
from battlefield import HOST, Echo, network
from harness import AGENT, WORK, agent
from mesh import Program, wait

REMOTE = "tcp://127.0.0.1:5001"
# Nobody has to check whom he attacks, but the peer does.
TRUST = {"trust": {"far.test": f"{WORK}/far.pem"}}
FAR = f"unix://{WORK}/far.sock"


class FarMesh(Program):
    """A second mesh, which trusts the first one's authority. That it runs on the same machine makes no difference to it."""

    def __init__(self):
        bundle = f"{WORK}/near.pem"
        for file, state, domain in ((bundle, "state", "nsm.local"), (f"{WORK}/far.pem", "far-state", "far.test")):
            with open(file, "w") as out:
                out.write(agent("mesh", "bundle", "--state-dir", f"{WORK}/{state}", "--trust-domain", domain, code=0).stdout)
        self.identities = f"unix://{WORK}/far-own.sock"
        command = [AGENT, "mesh", "--listen", FAR, "--state-dir", f"{WORK}/far-state", "--host-name", "far"]
        command += ["--trust-domain", "far.test"]
        command += ["--workload-socket", f"{WORK}/far-own.sock", "--trust-bundle", f"nsm.local={bundle}", "--listen-remote", REMOTE]
        command += ["--open"] if "--open" in agent("mesh", "--help").stdout else []
        super().__init__("far", command, env={"SPIFFE_ENDPOINT_SOCKET": self.identities, "SWIFT_BACKTRACE": "enable=no"})


def far(field):
    """It, with an endpoint, started once."""
    if not hasattr(field, "far"):
        pod("far")
        field.far = FarMesh().start()
        wait(lambda: field.far.says("the mesh is ready"))
        field.far_echo = Echo(field.far, "distant", "far", manager=FAR, prefix="172.19.0.0/16").start()
        wait(lambda: field.far_echo.says('"event": "registered"'))
    field.far.start()
    return field.far


def tunnel(source, **more):
    parameters = {"src_ip": source, "src_port": "4789", **more}
    texts = "".join(f" parameters {{ key: '{key}' value: '{value}' }}" for key, value in parameters.items())
    return f"mechanism_preferences {{ cls: 'REMOTE' type: 'VXLAN'{texts} }}"


def ask(field, evil, source, **more):
    """Asks the far mesh for a tunnel; the links that came of it, and its answer."""
    far(field)
    before = set(network("far")["links"])
    order = {"service": "distant", "namespace": "", "manager": REMOTE, "text": tunnel(source), "timeout": 6, **TRUST, **more}
    outcome = evil.do("request", name="someone-nsmgr", **order)
    return sorted(set(network("far")["links"]) - before), outcome


@attack("a user of a trusted host speaks for that host", "user")
def as_host(field, evil):
    found = []
    for source in ("203.0.113.7", "127.0.0.1", "10.60.0.2", "224.0.0.1", "255.255.255.255", "0.0.0.0"):
        links, outcome = ask(field, evil, source)
        found += [f"a tunnel to {source} in the pod: {', '.join(links)}"] if links else unless_refused(source, outcome)
        evil.do("release")
    return found


@attack("a user of a trusted host registers for that host", "user")
def registers(field, evil):
    far(field)
    found = []
    for what, name in (("an endpoint", "distant-too"), ("another's endpoint", "distant")):
        order = {"name": name, "services": ["distant"], "url": "tcp://203.0.113.7:5001", "manager": REMOTE}
        found += unless_refused(what, evil.do("register", **order, **TRUST))
    return found + unless_refused("a service", evil.do("service", name="distant", manager=REMOTE, **TRUST))


@attack("a manager names an address that is not its own", "user")
def not_its_own(field, evil):
    """With an identity that is a manager's: what it may do ends at its own address."""
    far(field)
    key = f"{WORK}/manager.pem"
    manager = f"spiffe://nsm.local/host/{HOST}/nsmgr"
    field.evil("root").do("issue", authority=f"{WORK}/state/authority.pem", id=manager, file=key)
    found = []
    for source in ("203.0.113.7", "10.60.0.2", "224.0.0.1", "255.255.255.255", "0.0.0.0", "127.0.0.2"):
        links, outcome = ask(field, evil, source, key=key)
        found += [f"a tunnel to {source} in the pod: {', '.join(links)}"] if links else unless_refused(source, outcome)
        evil.do("release")
    for more in ({"vni": "4294967296"}, {"vni": "0"}, {"src_port": "0"}, {"dst_ip": "203.0.113.9"}, {"src_ip": "x"}):
        links, outcome = ask(field, evil, "127.0.0.1", key=key, text=tunnel("127.0.0.1", **more))
        found += [] if field.far.runs else [f"the far mesh ended: {more}"]
        evil.do("release")
    return found

