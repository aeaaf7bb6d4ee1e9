"""Too much of everything: the mesh's memory and descriptors stay bounded, and others are served meanwhile."""

import contextlib
import functools
import random
import time

import assault
from attackers import NOTHING, processor_seconds, status_of
from battlefield import Echo
from harness import LONG
from mesh import MANAGER, PEER, Program, wait

attack = functools.partial(assault.attack, fresh=True)
# MB that one peer may cost while he attacks, and that may be left when he has gone.
WHILE, AFTER = 96, 24
# Descriptors that may be left.
FILES = 32


class Cost:
    """What the mesh has more than before, while and after."""

    def __init__(self, field):
        self._mesh = field.mesh
        self._before = (self._mesh.memory(), self._mesh.open_files())
        self.most = 0.0

    def now(self):
        self.most = max(self.most, self._mesh.memory() - self._before[0])
        return self

    def verdict(self, while_=WHILE, after=AFTER, files=FILES):
        if not self._mesh.runs:
            return []
        found = [f"it took {self.most:.0f} MB"] if self.most > while_ else []
        wait(lambda: self._mesh.memory() - self._before[0] <= after and self._mesh.open_files() - self._before[1] <= files, 6)
        memory, open_files = self._mesh.memory() - self._before[0], self._mesh.open_files() - self._before[1]
        found += [f"{memory:.0f} MB stay"] if memory > after else []
        return found + ([f"{open_files} descriptors stay"] if open_files > files else [])


@contextlib.contextmanager
def costs(field, evil, found, **limits):
    """Measures while a flood runs, lets go, and measures again."""
    cost = Cost(field)
    yield cost
    if not field.mesh.runs:
        evil.kill()
        return
    cost.now()
    if evil.runs:
        evil.do("release")
    found += cost.verdict(**limits)


def flood(field, evil, what, limits=None, **order):
    """One flood; what it cost, and how it went."""
    found = []
    with costs(field, evil, found, **(limits or {})) as cost:
        evil.order(what, **order)
        while (outcome := evil.outcome(0.2))["answer"].startswith(NOTHING) and field.mesh.runs:
            cost.now()
        if field.mesh.runs:
            cost.now()
    told = {key: value for key, value in outcome.items() if key not in ("event", "time", "do")}
    return [f"{text} {told}" for text in found]


SOCKETS = ("workload", "manager")


@attack("150 messages of 4 MB that never end", "user", "pod")
def unfinished(field, evil):
    return [f"{to}: {text}" for to in SOCKETS for text in flood(field, evil, "unfinished", to=to, seconds=8)]


def laps(field, evil, what, limits=None, **order):
    """A flood again and again. What the first laps cost stays, such as pools of memory; a leak costs in every lap."""
    found = []
    for to in SOCKETS:
        flood(field, evil, what, {"after": 64}, to=to, **order)
        lap = []
        for _ in range(4):
            if not (lap := flood(field, evil, what, limits, to=to, **order)):
                break
            print(f"     {to}: {'; '.join(map(str, lap))}", flush=True)
        found += [f"{to}: {text}" for text in lap]
    return found


@attack("16384 streams on one connection", "user", "pod")
def streams(field, evil):
    return laps(field, evil, "streams")


@attack("2000 connections that end in an error of HTTP/2", "user")
def broken(field, evil):
    return laps(field, evil, "broken", {"after": 10}, seconds=40)


@attack("4100 idle connections", "user", "pod")
def idle(field, evil):
    return [f"{to}: {text}" for to in SOCKETS for text in flood(field, evil, "idle", {"while_": 256}, to=to)]


@attack("connections that say a byte now and then", "user")
def loris(field, evil):
    return [f"{to}: {text}" for to in SOCKETS for text in flood(field, evil, "loris", to=to, count=1000, seconds=5)]


@attack("90 connections with 256 descriptors each, which nobody asked for", "user", "pod")
def descriptors(field, evil):
    found = []
    for to in SOCKETS:
        cost = Cost(field)
        before = field.mesh.open_files()
        outcome = evil.do("descriptors", to=to)
        held = field.mesh.open_files() - before
        # A connection takes a few of its own.
        if held > 90 * 8 and to == "workload":
            found.append(f"{to}: it keeps {held} of {outcome['sent']}")
        elif held > 10_000:
            found.append(f"{to}: it keeps {held} of {outcome['sent']} of one peer")
        evil.do("release")
        found += cost.now().verdict()
    return found


MASSES = ["src_ip_addrs", "dst_ip_addrs", "src_routes", "dst_routes", "ip_neighbors", "policies", "labels", "excluded_prefixes",
          "extra_prefixes", "extra_prefix_request", "extra_context", "dns", "segments", "metrics"]  # fmt: skip


@attack("a request with 150000 of each", "user")
def masses(field, evil):
    found = []
    agent = field.server.process.pid
    for kind in MASSES:
        before = status_of(agent, "VmRSS")
        # What does not fit into a message of 4 MB is cut to what does.
        count = 40_000 if kind in ("policies", "segments", "metrics", "ip_neighbors", "labels", "extra_context") else 150_000
        started = time.monotonic()
        found += [f"{kind}: {x}" for x in flood(field, evil, "request", service="db", masses={kind: count}, timeout=5)]
        took = time.monotonic() - started
        if not field.mesh.runs:
            return [*found, f"{kind}: the mesh ended"]
        if (more := (status_of(agent, "VmRSS") - before) / 1024) > WHILE:
            found.append(f"{kind}: the endpoint's agent took {more:.0f} MB")
        found += [f"{kind}: it took {took:.0f} s"] if took > 12 else []
    return found


@attack("an endpoint answers with 2500 addresses of each side to an agent", "user", state=False)
def many_addresses(field, evil):
    """An agent checks each pair of addresses by echoes."""
    evil.do("offer", service="evil", answer={"masses": {"src_ip_addrs": 2500, "dst_ip_addrs": 2500}})
    field.tempt("evil", 4, liveness=True)
    pid = field.tempted.process.pid
    before, began = processor_seconds(pid), time.monotonic()
    time.sleep(8)
    memory = status_of(pid, "VmRSS") / 1024
    share = (processor_seconds(pid) - before) / (time.monotonic() - began)
    found = [f"the agent has {memory:.0f} MB"] if memory > 300 else []
    return found + ([f"the agent takes {share * 100:.0f} % of a core"] if share > 0.25 else [])


@attack("20000 names of endpoints and services", "user")
def names(field, evil):
    found = []
    ways = [(kind, away) for kind in ("endpoint", "service") for away in (False, True)]
    for kind, away in ways if LONG else [random.choice(ways)]:
        text = f"{kind}{' and away' if away else ''}"
        order = {"kind": kind, "away": away, "prefix": f"e{kind}{away}", "services": True, "seconds": 45}
        found += [f"{text}: {line}" for line in flood(field, evil, "names", {"after": 8}, **order)]
    return found


FRAMES = ("ping", "settings", "empty-data", "reset", "priority", "continuation", "window", "stream-window", "unknown")


@attack("floods of frames", "user")
def frames(field, evil):
    found = []
    for kind in FRAMES:
        for to in SOCKETS:
            found += [f"{kind} to {to}: {text}" for text in flood(field, evil, "frames", kind=kind, to=to, seconds=3)]
            if not field.mesh.runs:
                return found
    return found


@attack("watches whose answers nobody reads", "user")
def deaf(field, evil):
    found = []
    with costs(field, evil, found) as cost:
        evil.do("deaf", connections=4, count=100)
        told = evil.do("names", count=4000, prefix="noise", away=True, seconds=20)
        cost.now()
    return [f"{text} {told.get('accepted')} changes" for text in found]


@attack("300 requests that an endpoint never answers", "user", "pod")
def hanging(field, evil):
    found = []
    with costs(field, evil, found):
        evil.do("offer", service="evil", answer={"wait": 60})
        evil.do("hang", service="evil", seconds=4)
    return found


@attack("an answer of 3 MB, a hundred times", "user")
def big_answers(field, evil):
    found = []
    with costs(field, evil, found) as cost:
        evil.do("offer", service="evil", answer={"text": "labels { key: 'x' value: '" + "x" * 3_000_000 + "' }"})
        for number in range(100):
            evil.do("request", service="evil", id=f"big-{number}", timeout=3, interface=f"big{number}", hold=False)
            cost.now()
            if not field.mesh.runs:
                break
    return found


@attack("100 connections in one second, again and again", "another user")
def storms(field, evil):
    """Each with a whole handshake and a call."""
    found = []
    with costs(field, evil, found) as cost:
        for number in range(200):
            evil.do("monitor")
            if not number % 20:
                cost.now()
    return found


@attack("100000 quick calls with a PING each", "user", state=False)
def quick_calls(field, evil):
    count = 100_000 if LONG else 5_000
    command = [PEER, "calls", "--count", str(count), "--workload-api", field.mesh.identities, "--connect-to", MANAGER]
    calls = Program("calls", command).start()
    calls.process.wait(count / 50)
    survived = '"survived": true' in calls.log()
    return [] if survived else [calls.log()[-300:]]


@attack("an endpoint sends a PING for each message", "pod", state=False)
def pinging_endpoint(field, evil):
    """As one in Go does; the mesh calls it again and again by one connection."""
    count = 20_000 if LONG else 250
    pinging = Echo(field, "pinging", "echo", prefix="172.18.0.0/16").start()
    wait(lambda: pinging.says('"event": "registered"'))
    refused = 0
    for number in range(count):
        outcome = evil.do("request", service="pinging", id=f"ping-{number % 2}", interface=f"ping{number % 2}", keep="a")
        refused += outcome["answer"] != "accepted"
    pinging.stop()
    return [f"{refused} of {count} requests were refused: {outcome['answer'][:200]}"] if refused else []
