"""What the scenarios written in Python share: they run the program in NSM_AGENT and ask `ip -j` what has come of it.

A scenario runs in network and mount namespaces of its own (scripts/test sees to that). It makes checks, one line each, and
ends with `NAME: N passed, N failed`.
"""

import atexit
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

AGENT = os.environ.get("NSM_AGENT") or sys.exit("NSM_AGENT: which program?")
LONG = bool(os.environ.get("NSM_AGENT_LONG"))
SEED = int(os.environ.get("SEED") or random.randrange(1 << 32))
WORK = tempfile.mkdtemp(prefix="nsm-agent-scenario-")

_passed = _failed = 0
random.seed(SEED)

if os.listdir("/run/netns") and not os.environ.get("NSM_AGENT_ANYWHERE"):
    sys.exit("there are network namespaces here: run this by scripts/test, which keeps it away from them")


def check(what, holds, detail=""):
    """One check. It does not stop the scenario."""
    global _passed, _failed
    if holds:
        _passed += 1
        print(f"ok   {what}", flush=True)
    else:
        _failed += 1
        print(f"FAIL {what}", flush=True)
        if detail:
            print("     " + str(detail).strip().replace("\n", "\n     "), flush=True)
    return holds


def all_passed():
    """Whether no check has failed so far."""
    return not _failed


@atexit.register
def keep_logs():
    """NSM_AGENT_LOGS names a folder for the logs of a scenario that failed."""
    if os.path.isdir(WORK) and (folder := os.environ.get("NSM_AGENT_LOGS")):
        for name in os.listdir(WORK):
            if name.endswith(".log"):
                shutil.copy(os.path.join(WORK, name), folder)


def finish():
    """The last line, and the exit code."""
    if _failed:
        keep_logs()
    shutil.rmtree(WORK, ignore_errors=True)
    name = os.path.basename(sys.argv[0])
    if _failed:
        print(f"seed: {SEED}")
    print(f"{name}: {_passed} passed, {_failed} failed")
    sys.exit(_failed > 0)


def agent(*arguments, code=None, env=None):
    """Runs the agent. With `code`, its exit code is checked."""
    result = subprocess.run(
        [AGENT, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **(env or {})},
    )
    if code is not None and result.returncode != code:
        check(
            f"nsm-agent {' '.join(arguments)[:80]}: exit code {code}",
            False,
            f"it was {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}",
        )
    return result


def ip(*arguments, namespace=None, fail=True):
    """Text of `ip`."""
    command = ["ip", *(["-n", namespace] if namespace else []), *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if fail and result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr}")
    return result.stdout


def ip_json(*arguments, namespace=None):
    return json.loads(ip("-j", *arguments, namespace=namespace) or "[]")


def namespaces():
    # A program that is killed between making a name and mounting its namespace leaves an empty file, as ip(8) does.
    namespace_files = os.stat("/proc/self/ns/net").st_dev
    return sorted(x for x in os.listdir("/run/netns") if os.stat(f"/run/netns/{x}").st_dev == namespace_files)


def write(name, content):
    """A file of the scenario: text as it is, anything else as JSON, which the agent reads like YAML."""
    path = os.path.join(WORK, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + "~", "w") as file:
        file.write(content if isinstance(content, str) else json.dumps(content, indent=1))
    os.rename(path + "~", path)
    return path


def snapshot(marks=True):
    """The network state of this and all named namespaces, without what differs from one clean apply to the next."""
    state = {}
    for namespace in [None, *namespaces()]:
        links, addresses, neighbours = {}, [], []
        names = {}
        for x in ip_json("-d", "link", namespace=namespace):
            names[x["ifindex"]] = x["ifname"]
            kind = x.get("linkinfo", {})
            links[x["ifname"]] = {
                "kind": kind.get("info_kind"),
                "mtu": x["mtu"],
                "up": "UP" in x["flags"],
                "master": x.get("master"),
                "alias": x.get("ifalias") if marks else None,
                "group": x.get("group") if marks else None,
            }
        for x in ip_json("address", namespace=namespace):
            for a in x.get("addr_info", []):
                if a["scope"] != "link":
                    addresses.append((x["ifname"], a["local"], a["prefixlen"], a.get("address")))
        for x in ip_json("neigh", namespace=namespace):
            if x.get("state") == ["PERMANENT"]:
                neighbours.append((x["dev"], x["dst"], x["lladdr"]))
        routes = [
            tuple(sorted((k, str(v)) for k, v in r.items() if k not in ("flags", "pref")))
            for family in ("-4", "-6")
            for r in ip_json(family, "route", "show", "table", "all", namespace=namespace)
            if r.get("protocol") != "kernel"
        ]
        rules = [
            tuple(sorted((k, str(v)) for k, v in r.items()))
            for family in ("-4", "-6")
            for r in ip_json(family, "rule", namespace=namespace)
        ]
        state[namespace or "."] = {
            "links": links,
            "addresses": sorted(addresses, key=str),
            "neighbours": sorted(neighbours),
            "routes": sorted(routes),
            "rules": sorted(rules),
        }
    return state


def differences(one, other):
    """Where two snapshots differ, for people."""
    lines = []
    for namespace in sorted(one.keys() | other.keys()):
        a, b = one.get(namespace, {}), other.get(namespace, {})
        for part in sorted(a.keys() | b.keys()):
            if a.get(part) != b.get(part):
                x, y = a.get(part) or [], b.get(part) or []
                if isinstance(x, dict) or isinstance(y, dict):
                    x, y = list(dict(x).items()), list(dict(y).items())
                lines.append(
                    f"{namespace} {part}: only in the first {[v for v in x if v not in y][:4]}, "
                    f"only in the second {[v for v in y if v not in x][:4]}"
                )
    return "\n".join(lines)


def eventually(what, condition, seconds=15):
    """Waits for a condition, then checks it."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return check(what, condition())


class Daemon:
    """`nsm-agent run` on a folder of its own."""

    program = [AGENT]

    def __init__(self, content=None, *options):
        self.folder = tempfile.mkdtemp(dir=WORK)
        self.config = os.path.join(self.folder, "network.d")
        os.mkdir(self.config)
        self.socket = os.path.join(self.folder, "socket")
        self.options = options
        if content is not None:
            self.put(content)
        self.start()

    def start(self):
        with open(os.path.join(self.folder, "log"), "a") as log:
            self.process = subprocess.Popen(
                [*self.program, "run", "--config", self.config, "--socket", self.socket]
                + ["--state-dir", os.path.join(self.folder, "state"), *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def put(self, content, name="config.yaml"):
        path = write("put", content)
        os.rename(path, os.path.join(self.config, name))

    def status(self, *arguments):
        return agent("status", "--socket", self.socket, *arguments)

    def log(self):
        with open(os.path.join(self.folder, "log")) as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def inside(name):
    return {"type": "NSID", "reference": name}


def pods(n, last=2, mtu=1450):
    """A configuration that has some of everything: n pods on a bridge and n on a cable, with routes and neighbours."""
    interfaces, routes, neighbours = [], [], []
    ports = []
    for i in range(n):
        on_bridge = i % 2 == 0
        host, pod, mac = f"h{i}", f"p{i}-eth0", f"02:01:00:00:00:{i:02x}"
        interfaces += [
            {
                "name": host,
                "type": "VETH",
                "enabled": True,
                "mtu": mtu,
                "veth": {"peerIfName": pod},
                **({} if on_bridge else {"ipAddresses": [f"10.1.{i}.1/30"]}),
            },
            {
                "name": pod,
                "type": "VETH",
                "namespace": inside(f"p{i}"),
                "hostIfName": "eth0",
                "enabled": True,
                "mtu": mtu,
                "physAddress": mac,
                "ipAddresses": [f"10.2.0.{i + 2}/24" if on_bridge else f"10.1.{i}.{last}/30", f"fd00:{i + 1:x}::{last}/64"],
                "veth": {"peerIfName": host},
            },
        ]
        if on_bridge:
            ports.append(host)
            routes.append({"outgoingInterface": pod, "dstNetwork": "0.0.0.0/0", "gwAddr": "10.2.0.1"})
        else:
            routes += [
                {"outgoingInterface": pod, "dstNetwork": "0.0.0.0/0", "gwAddr": f"10.1.{i}.1"},
                {"outgoingInterface": host, "dstNetwork": f"10.200.0.{i}/32", "gwAddr": f"10.1.{i}.{last}"},
            ]
            neighbours.append({"interface": host, "ipAddress": f"10.1.{i}.{last}", "hwAddress": mac})
    interfaces.append(
        {
            "name": "br0",
            "type": "BRIDGE",
            "enabled": True,
            "ipAddresses": ["10.2.0.1/24", "fd00:b::1/64"],
            "bridge": {"ports": ports},
        }
    )
    routes.append({"outgoingInterface": "br0", "dstNetwork": "fd00:99::/64", "gwAddr": "fd00:b::2"})
    rules = [{"name": "marked", "priority": 1000, "fwmark": 7, "table": 100}]
    routes.append({"type": "BLACKHOLE", "dstNetwork": "192.0.2.0/24", "table": 100})
    spaces = [{"name": f"p{i}"} for i in range(n)]
    return {
        "linuxConfig": {
            "namespaces": spaces,
            "interfaces": interfaces,
            "routes": routes,
            "arpEntries": neighbours,
            "rules": rules,
        }
    }
