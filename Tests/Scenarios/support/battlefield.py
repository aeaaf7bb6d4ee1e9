"""A mesh with victims, and what must not have happened to them."""

import json
import os
import re
import time

from attackers import Evil, Probe, pod, processor_seconds, status_of
from harness import AGENT, WORK, agent, check, ip
from mesh import MANAGER, PEER, Pod, Program, client, endpoint, services, wait

HOST = "hostile-host"
PATIENCE = float(os.environ.get("NSM_ATTACK_PATIENCE") or 1.0)
# Those in which nothing may change at all.
UNTOUCHED = [None, "victim"]
_SYSCTLS = ["net/ipv4/ping_group_range", "net/ipv4/ip_forward", "net/ipv6/conf/all/disable_ipv6"]


def cookie(namespace):
    """The number by which identities name a network namespace."""
    code = "import socket; print(int.from_bytes(socket.socket().getsockopt(1, 71, 8), 'little'))"
    return int(ip("netns", "exec", namespace, "python3", "-c", code))


class HostMesh(Program):
    """A mesh with an authority of its own."""

    def __init__(self, name="mesh", *more):
        self.identities = f"unix://{WORK}/own.sock"
        command = [AGENT, "mesh", "--listen", MANAGER, "--state-dir", f"{WORK}/state", "--host-name", HOST]
        command += ["--workload-socket", f"{WORK}/own.sock", *more]
        super().__init__(name, command, env={"SPIFFE_ENDPOINT_SOCKET": self.identities, "SWIFT_BACKTRACE": "enable=no"})

    def start(self):
        if not self.runs:
            ready = self.log().count("the mesh is ready")
            super().start()
            wait(lambda: self.says("the mesh is ready", ready + 1) or not self.runs)
        return self

    def memory(self):
        """MB."""
        return status_of(self.process.pid, "VmRSS") / 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor(self):
        return processor_seconds(self.process.pid)


class Echo(Program):
    """An honest endpoint of the independent peer, which sends PINGs as one in Go does."""

    def __init__(self, mesh, name="echo", namespace="echo", manager=MANAGER, prefix="172.16.0.0/16", lifetime="10m"):
        command = [PEER, "--tolerate", ".", "endpoint", "--name", name, "--services", name]
        command += ["--cidr-prefix", prefix, "--token-lifetime", lifetime]
        command += ["--workload-api", mesh.identities, "--connect-to", manager, "--base-dir", f"{WORK}/{name}"]
        super().__init__(name, command, namespace, {"TMPDIR": "/tmp"})


def options_of_the_mesh():
    """The mesh serves all, and some services are of some people, where it knows such options."""
    known = agent("mesh", "--help").stdout
    options = ["--open"] if "--open" in known else []
    if "--offer" in known:
        owner = "spiffe://nsm.local/host/{}/net/{}/user/0"
        for service, namespace in (("db", "server"), ("echo", "echo")):
            options += ["--offer", f"{service}={owner.format(HOST, cookie(namespace))}"]
        options += ["--offer", "evil=any"]
    return options


class Battlefield:
    """Victims: a pod with an agent that is a client of `db`, one with an agent that offers it, the endpoint `echo`, and two
    clients of that which measure."""

    def __init__(self):
        for name in ("evil", "evil2", "echo", "honest", "user"):
            pod(name)
        self.mesh = mesh = HostMesh.__new__(HostMesh)
        db = endpoint("db", "cl", single=False)
        self.identities = f"unix://{WORK}/own.sock"
        self.server = Pod("server", self, services(endpoints=[db]), lifetime="30s")
        self.victim = Pod("victim", self, services([client("db", "db", "nsm-db", "10.60.0.2/30")]), lifetime="30s")
        mesh.__init__("mesh", *options_of_the_mesh())
        self.echo = Echo(mesh)
        self.probes = [
            Probe("honest", mesh, "echo", "honest"),
            Probe("user", mesh, "echo", "user", uid=1000, every="400ms"),
        ]
        # As somebody who is in the mesh's own namespace could hand it to others.
        ip("netns", "attach", "meshs-own", str(os.getpid()))
        self.host_space = "/run/netns/meshs-own"
        self.tempted = None
        self._evil = {}

    def start(self):
        for program in (self.mesh, self.server, self.victim, self.echo):
            program.start()
        wait(lambda: self.echo.says('"event": "registered"'))
        for probe in self.probes:
            probe.start()
        check("the victim is connected", wait(lambda: self.victim.connected("db"), 30), self.victim.text("config/"))
        check("honest clients are served", self.recovers(), [probe.log()[-600:] for probe in self.probes])
        self.before = self.state()

    def tempt(self, service, seconds, liveness=False):
        """An honest pod with an agent asks for the attacker's service, for so long."""
        if not self.tempted:
            self.tempted = Pod("tempted", self, services([client("x", service, "nsm-x")]))
        self.tempted.env["NSM_LIVENESS_CHECK_ENABLED"] = "true" if liveness else "false"
        self.tempted.start()
        time.sleep(seconds)

    def leave(self):
        """The attack is over."""
        if self.tempted:
            self.tempted.kill()
        for evil in self._evil.values():
            if evil.runs:
                evil.do("release")
        for namespace in ("evil", "evil2"):
            for name in network(namespace)["links"]:
                if name != "lo":
                    ip("link", "delete", name, namespace=namespace, fail=False)

    def evil(self, place):
        """The attacker at a place; a new one when the old one has ended."""
        if place not in self._evil or not self._evil[place].runs:
            self._evil[place] = Evil(place, self.mesh)
        return self._evil[place].start()

    def clean_host(self):
        """What attacks have left where nothing may be."""
        for namespace, kept in ((None, ["lo"]), ("victim", ["lo", "nsm-db"])):
            for name in network(namespace)["links"]:
                if name not in kept:
                    ip("link", "delete", name, namespace=namespace, fail=False)
        for name, value in self.before["host"].items():
            if "/" in name:
                with open(f"/proc/sys/{name}", "w") as file:
                    file.write(" ".join(value))

    # What is

    def victims_ids(self):
        """How the victim's connection is called: its own id, and the mesh's, which is in the alias of its link."""
        alias = self.victim.link("nsm-db").get("ifalias", "")
        found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", alias)
        return "victim-db", found[0] if found else alias.rpartition("/")[2]

    def victims_names(self):
        """What it may be called by its identity."""
        host = f"spiffe://nsm.local/host/{HOST}"
        return [f"{host}/user/0", f"{host}/net/{cookie('victim')}/user/0"]

    def state(self):
        """What must stay as it is."""
        return {namespace or "host": {**network(namespace), **sysctls(namespace)} for namespace in UNTOUCHED}

    def served(self, since, seconds=15):
        """Waits until each honest client has finished a round that began then, and returns all of them."""
        wait(lambda: all(probe.rounds(since) for probe in self.probes), seconds)
        return {probe.name: probe.rounds(since) for probe in self.probes}

    def recovers(self, seconds=30):
        """Whether all are served within that time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rounds = self.served(time.time(), 5)
            if all(found and not found[-1]["error"] and found[-1]["seconds"] <= PATIENCE for found in rounds.values()):
                return True
        return False

    def harm(self, since, state=True):
        """What has happened since then."""
        found = []
        if not self.mesh.runs:
            return [f"the mesh has ended by signal {-self.mesh.process.returncode} {last_words(self.mesh)}"]
        self.served(time.time())
        for probe in self.probes:
            rounds = probe.rounds(since)
            worst = max((x["seconds"] for x in rounds), default=99)
            errors = [x["error"] for x in rounds if x["error"]]
            if errors:
                found.append(f"{probe.name} was refused {len(errors)} of {len(rounds)} times: {errors[0][:200]}")
            elif worst > PATIENCE:
                found.append(f"{probe.name} waited {worst:.2f} s")
        if state and (now := self.state()) != self.before:
            found += changes(self.before, now)
        for program in (self.server, self.victim):
            if not program.runs:
                found.append(f"{program.name} has ended: {last_words(program)}")
        return found

    def renew(self):
        """A mesh that has seen no attack."""
        self.mesh.kill()
        self.mesh.start()
        if not (self.recovers(30) and wait(lambda: self.victim.connected("db"), 30)):
            print("     it did not recover", flush=True)
        self.settle()
        self.before = self.state()

    def settle(self):
        """Until all honest programs have found the mesh: what they cost is no attacker's doing."""
        end = time.monotonic() + 15
        counts = []
        while time.monotonic() < end and not (len(counts) >= 8 and max(counts[-8:]) - min(counts[-8:]) <= 12):
            counts.append(self.mesh.open_files())
            time.sleep(0.25)

    def heal(self):
        """All as before, for the next attack. What an attack has spoiled for good goes with its mesh."""
        for evil in self._evil.values():
            evil.kill()
        if self.mesh.runs and self.recovers(5) and self.state() == self.before:
            return
        self.mesh.kill()
        self.clean_host()
        for program in (self.mesh, self.server, self.victim, self.echo):
            program.start()
        good = wait(lambda: self.victim.connected("db"), 40) and self.recovers(40)
        if not good:
            print("     it did not recover: " + self.victim.text("config/cnf/")[:300], flush=True)
        self.before = self.state()


def network(namespace):
    """Links, addresses, routes, rules and permanent neighbours of a namespace."""

    def show(*words):
        return json.loads(ip("-j", *words, namespace=namespace, fail=False) or "[]")

    links = {x["ifname"]: (x["mtu"], x.get("address"), x.get("ifindex")) for x in show("link")}
    addresses = sorted(
        f"{x['ifname']} {a['local']}/{a['prefixlen']}"
        for x in show("address")
        for a in x.get("addr_info", [])
        if a["scope"] != "link"  # the kernel adds those in its own time
    )
    all_routes = ("route", "show", "table", "all")
    routes = [ip(family, *all_routes, namespace=namespace, fail=False).split("\n") for family in ("-4", "-6")]
    rules = [ip(family, "rule", namespace=namespace, fail=False).split("\n") for family in ("-4", "-6")]
    neighbours = sorted(str((x["dst"], x.get("lladdr"))) for x in show("neigh") if "PERMANENT" in x.get("state", []))
    return {
        "links": links,
        "addresses": addresses,
        "routes": sorted(x.strip() for part in routes for x in part if x.strip() and "proto kernel" not in x),
        "rules": sorted(x.strip() for part in rules for x in part if x.strip()),
        "neighbours": neighbours,
    }


def sysctls(namespace):
    inside = ["netns", "exec", namespace] if namespace else []
    found = {}
    for name in _SYSCTLS:
        if inside:
            found[name] = ip(*inside, "cat", f"/proc/sys/{name}", fail=False).split()
        else:
            with open(f"/proc/sys/{name}") as file:
                found[name] = file.read().split()
    return found


def changes(before, now):
    found = []
    for place in before:
        for part in before[place]:
            old, new = before[place][part], now[place][part]
            if old == new:
                continue
            if isinstance(old, dict):
                old, new = list(old.items()), list(new.items())
            more = [x for x in new if x not in old]
            less = [x for x in old if x not in new]
            said = [f"{word} {some[:4]}" for word, some in (("more", more), ("less", less)) if some]
            found.append(f"{place} has other {part}: {', '.join(said)}")
    return found


def last_words(program):
    """Why it ended, if it could still say so."""
    lines = [line for line in program.log().splitlines() if "atal error" in line]
    return lines[-1][:300] if lines else ""
