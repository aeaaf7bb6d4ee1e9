"""The mesh's part of scripts/bench: m to r. Imported by bench.py."""

import json
import os
import signal
import statistics
import subprocess
import time

import counts
from meshnet import Failed, Net, address, clients, endpoints, grouped, shared, wait
from show import progress, table, verdict

# (m) one connection; (n) many: one after the other, 32 at once, all at once; (o) refreshes: by the clock, and all at once after
# the mesh was killed; (p) heal time after the endpoint is gone; (q) idle connections; (r) the first and the last of many that
# come in turn. Those that are measured together:
PARTS = ("m", "noq", "p", "r")


def registered(net, name, count=1):
    """Waits until an agent's endpoints are registered."""

    def there():
        with open(net.processes[name].log, errors="replace") as log:
            return log.read().count(" info  registered ") >= count

    wait(f"{count} registrations of {name}", there)


def median(values):
    return statistics.median(values)


def medians(rounds):
    return {key: median(r[key] for r in rounds) for key in rounds[0]}


# ---- (m) one connection ----


def one(bench, reps):
    """From the moment the client's agent has read its file to the first answered ping; beside what the kernel takes."""
    figures = {"rounds": []}
    with bench.net("client", "server") as net:
        floor = lambda count, times: json.loads(
            subprocess.check_output([net.probe, "floor", "client", "server", str(count), str(times)])
        )
        figures["floor"] = floor(1, 51)
        figures["floor_batch_of_100"] = floor(100, 3)
        net.mesh()
        net.run("server", endpoints([0]))
        registered(net, "server")
        net.run("client", "cnfConfig: {}\n")
        for rep in range(reps + 1):
            progress(f"one connection, {rep} of {reps}")
            before = net.cpu()
            figures["rounds"].append(net.connect("client", "c", clients([0], paired=True), 1, address("10.65", 1)))
            time.sleep(0.3)
            figures["rounds"][-1]["cpu_ms"] = sum(net.since(before).values())
            os.remove(f"{net.folder}/client.d/c.yaml")
            wait("the end of the connection", lambda: not net.links("client"))
            net.settle()
    # The agent's first one also has to find an identity and to shake hands with the mesh.
    figures["first"] = figures["rounds"].pop(0)
    figures["median"] = medians(figures["rounds"])
    return figures


# ---- (n) many connections ----


def many(bench, n, how, paired=False):
    """N connections on one mesh. `how`: so many at once."""
    figures = {"n": n, "at_once": how, "paired": paired}
    with bench.net("server", *shared(range(n), bench.per_agent)) as net:
        net.mesh()
        start = time.monotonic()
        net.run("server", endpoints(range(n)) if paired else endpoints())
        registered(net, "server", n if paired else 1)
        figures["registered_ms"] = (time.monotonic() - start) * 1e3
        net.run_clients(n, bench.per_agent)
        net.settle()
        before, start, times = net.cpu(), time.monotonic(), []
        for first in range(0, n, how):
            numbers = range(first, min(first + how, n))
            times.append(net.connect_some(numbers, bench.per_agent, paired))
        figures["wall_ms"] = (time.monotonic() - start) * 1e3
        # What the agents still do once everything is there counts as well.
        net.settle()
        figures["cpu_ms"] = grouped(net.since(before))
        figures["waiting_for_files_ms"] = sum(t["read"] for t in times)
        steps = [t["connected"] for t in times]
        figures["steps"] = {"first": steps[0], "median": median(steps), "last": steps[-1]}
        tenth = max(1, len(steps) // 10)
        figures["steps"]["first_tenth"], figures["steps"]["last_tenth"] = median(steps[:tenth]), median(steps[-tenth:])
        figures["connected_ms"] = sum(steps)
        figures["agents"] = len(net.processes) - 2
        figures["held"] = grouped({name: p.figures() for name, p in net.processes.items()})
        bench.then(net, figures)
    return figures


# ---- (r) one more connection, beside many ----


def in_turn(bench, n, block):
    """N connections of one agent, each by a file of its own: what the first and the last of them take."""
    figures = {"n": n, "block": block}
    # Tokens that last, so that no refresh of the first comes in between.
    with bench.net("client0", "server", environment={"NSM_MAX_TOKEN_LIFETIME": "1h"}) as net:
        net.mesh()
        net.run("server", endpoints())
        registered(net, "server")
        net.run_clients(n, n)
        net.settle()
        for name, first in (("first", 0), ("between", block), ("last", n - block)):
            progress(f"{n} connections in turn: {name}")
            numbers = range(first, min(first + block, n) if name != "between" else n - block)
            before, steps = net.cpu(), []
            for i in numbers:
                steps.append(net.connect_some([i], n, False)["connected"])
            net.settle()
            cpu = grouped(net.since(before))
            figures[name] = {
                "connected_ms": median(steps),
                "connected_max_ms": max(steps),
                "cpu_ms": {who: ms / len(steps) for who, ms in cpu.items()},
            }
    return figures


# ---- (o) refreshes ----


def refreshes(net):
    """How often the clients have refreshed, by status; and how many are connected."""
    names = [name for name in net.processes if name.startswith("client")]
    values = [value for name in names for value in net.status(name, "config/cnf/nsm/v1/client/")]
    count = 0
    for value in values:
        words = json.dumps(value)
        if "refreshed " in words:
            count += int(words.split("refreshed ")[1].split()[0])
    return count, sum(v.get("state") == "CONFIGURED" for v in values)


def by_the_clock(bench, n, lifetime=20, seconds=20):
    """Short tokens, so that all are refreshed again and again: CPU of a refresh."""
    names = shared(range(n), bench.per_agent)
    with bench.net("server", *names, environment={"NSM_MAX_TOKEN_LIFETIME": f"{lifetime}s"}) as net:
        net.mesh()
        net.run("server", endpoints())
        registered(net, "server")
        net.run_clients(n, bench.per_agent)
        net.connect_some(range(n), bench.per_agent, False)
        time.sleep(3)
        first, _ = refreshes(net)
        before, start = net.cpu(), time.monotonic()
        time.sleep(seconds)
        cpu, wall = net.since(before), time.monotonic() - start
        last, connected = refreshes(net)
        # Beside the measured time, as counting takes time, too.
        with counts.Counts(net) as counted:
            begun, _ = refreshes(net)
            time.sleep(lifetime / 2)
            after, _ = refreshes(net)
    count = last - first
    return {
        "n": n,
        "refreshes": count,
        "connected": connected,
        "per_second": count / wall,
        "cpu_ms_each": {name: ms / max(count, 1) for name, ms in grouped(cpu).items()},
        "counts_each": counted.each(after - begun),
    }


def after_a_kill(bench, net, n):
    """The mesh is killed and started: all clients ask again."""
    progress(f"N={n}: the mesh is killed")
    first, _ = refreshes(net)
    net.processes["mesh"].end(signal.SIGKILL)
    os.unlink(f"{net.folder}/nsm.io.sock")
    net.mesh()
    before, start = net.cpu(), time.monotonic()

    def back():
        count, connected = refreshes(net)
        return connected == n and count >= first + n

    wait("all clients connected again", back, 180, pause=0.3)
    wall = time.monotonic() - start
    net.settle()
    return {"n": n, "wall_ms": wall * 1e3, "cpu_ms": grouped(net.since(before))}


# ---- (p) heal time ----

# How long a mesh waits for an endpoint that is started again; milliseconds. Source: EndpointPeers.restart.
RESTART = 2000


def heal(bench, reps, with_namespace):
    """Two endpoints; the one in use goes, alone or with its pod."""
    gaps, moved = [], []
    with bench.net("client", "server1", "server2") as net:
        net.mesh()
        servers = ["server1", "server2"]
        target = address("10.65", 1)
        for server in servers:
            net.run(server, endpoints([0]))
            registered(net, server)
        net.run("client", "cnfConfig: {}\n")
        net.connect("client", "c", clients([0], paired=True), 1, target)
        for rep in range(reps):
            progress(f"heal, {rep + 1} of {reps}")
            used = next(s for s in servers if net.links(s))
            other = next(s for s in servers if s != used)
            outage = subprocess.Popen(
                [net.probe, "outage", "client", target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            outage.stdout.readline()
            time.sleep(0.3)
            killed = time.monotonic()
            net.processes[used].end(signal.SIGKILL)
            if with_namespace:
                subprocess.check_call(["ip", "netns", "delete", used])
            wait(f"a link in {other}", lambda: net.links(other), 120, pause=0.005)
            moved.append((time.monotonic() - killed) * 1e3)
            time.sleep(1.5)
            report = json.loads(outage.communicate("\n")[0])
            gaps.append(report["gap_ms"])
            if report["last_s"] < time.monotonic() - 1:
                raise Failed(f"pings stay away after the endpoint was gone{net.complaints()}")
            # The one that went comes back for the next round.
            if with_namespace:
                subprocess.check_call(["ip", "netns", "add", used])
                subprocess.check_call(["ip", "-n", used, "link", "set", "lo", "up"])
            open(net.processes[used].log, "w").close()
            net.run(used, endpoints([0]))
            registered(net, used)
            net.settle()
    return {"gap_ms": median(gaps), "gaps": gaps, "moved_ms": median(moved), "moved": moved}


# ---- (q) idle ----


def idle(net, seconds):
    """Percent of one core that each process takes, and what it holds."""
    net.settle()
    before, start = net.cpu(), time.monotonic()
    time.sleep(seconds)
    wall = (time.monotonic() - start) * 1e3
    cpu = {name: ms / wall * 100 for name, ms in grouped(net.since(before)).items()}
    return {"cpu_percent": cpu, "held": grouped({name: p.figures() for name, p in net.processes.items()})}


# ---- all of it ----


class Bench:
    """What the measurements share: programs, and what is done with connections once they are there."""

    def __init__(self, agent, probe, work, per_agent):
        self.agent, self.probe, self.work, self.per_agent = agent, probe, work, per_agent
        self.then = lambda net, figures: None

    def net(self, *namespaces, environment=()):
        return Net(self.agent, self.probe, self.work, namespaces, environment)


def measure(agent, probe, work, tasks, options, results):
    """Fills `results`, task by task, so that a failure leaves what was measured before."""
    bench, n, reps = Bench(agent, probe, work, options.per_agent), options.connections, options.reps
    if "m" in tasks:
        results["one"] = one(bench, max(3 * reps, 5))
    if "n" in tasks or "q" in tasks or "o" in tasks:
        results["many"] = []
        sizes = sorted({1, n // 5, n})
        runs = [(size, size, True) for size in sizes] if "q" in tasks else []
        if "n" in tasks:
            runs += [(n // 5, 1, False), (n, 1, False), (n, 32, False)]
        if "n" in tasks or "o" in tasks:
            runs += [(n // 5, n, False), (n, n, False)]
        for size, how, paired in runs:

            def then(net, figures, size=size, how=how, paired=paired):
                if "q" in tasks and how >= size:
                    progress(f"N={size}: idle for {options.idle:.0f} s")
                    figures["idle"] = idle(net, options.idle)
                if "o" in tasks and size == n and how == n and not paired:
                    results["storm"] = after_a_kill(bench, net, n)

            bench.then = then
            progress(f"N={size}, {how} at once{', with echoes' if paired else ''}")
            results["many"].append(many(bench, size, how, paired))
    if "o" in tasks:
        progress(f"N={n}: refreshes")
        results["refreshes"] = [by_the_clock(bench, size) for size in (n // 5, n)]
    if "r" in tasks:
        results["in_turn"] = in_turn(bench, options.in_turn, min(50, options.in_turn // 3))
    if "p" in tasks:
        results["heal"] = {
            "process": heal(bench, max(reps, 5), False),
            "pod": heal(bench, max(reps, 5), True),
        }


def each(figures, digits=1):
    return " / ".join(f"{figures[name]:.{digits}f}" for name in ("mesh", "client", "server"))


def comparison(versions, one_row):
    """Rows of the table in which each version has a column."""
    rows = []
    there = {version: set(figures) for version, figures in versions.items()}
    both = lambda part: all(part in found for found in there.values())
    if both("one"):
        rows.append(one_row("(m) one connection", versions, lambda f: f["one"]["median"]["connected"], "ms"))
        rows.append(one_row("(m) one connection: CPU of all", versions, lambda f: f["one"]["median"]["cpu_ms"], "ms"))
    if both("in_turn"):
        turn = versions["agent"]["in_turn"]
        cpu = lambda f, which: sum(f["in_turn"][which]["cpu_ms"].values())
        for which in ("first", "last"):
            name = f"(r) {which} {turn['block']} of {turn['n']} in turn"
            rows.append(one_row(name, versions, lambda f: f["in_turn"][which]["connected_ms"], "ms"))
            rows.append(one_row(f"{name}: CPU of all", versions, lambda f: cpu(f, which), "ms"))
        more = lambda f: cpu(f, "last") - cpu(f, "first")
        rows.append(one_row("(r) how much more CPU the last take", versions, more, "ms", 5))
    for at, part in enumerate(versions["agent"].get("many", ())):
        if all(len(f.get("many", ())) > at for f in versions.values()):
            name = f"(n) {part['n']} connections, {min(part['at_once'], part['n'])} at once{', with echoes' if part['paired'] else ''}"
            rows.append(one_row(name, versions, lambda f: f["many"][at]["connected_ms"], "ms", None, 0))
            each_cpu = lambda f: sum(f["many"][at]["cpu_ms"].values()) / part["n"]
            rows.append(one_row(f"{name}: CPU of each", versions, each_cpu, "ms", None, 2))
    return rows


def memory(many):
    """What a connection holds: by how much more is held with many than with few."""
    runs = sorted((r for r in many if r["paired"]), key=lambda r: r["n"])
    if len(runs) < 2:
        return
    few, most = runs[0], runs[-1]
    more = most["n"] - few["n"]
    grown = {name: (of["rss_mb"] - few["held"][name]["rss_mb"]) * 1024 / more for name, of in most["held"].items()}
    print(f"(q) resident for each of {more} more connections, by mesh / client / server: {each(grown, 0)} KB\n")


def report(results):
    if "one" in results:
        one = results["one"]
        floor, first, mid = one["floor"]["each"], one["first"], one["median"]
        aim = 3 * floor + 10
        rows = [["(m) one connection, ms", "addressed", "connected", "ping answered", "CPU of all", "aim"]]
        rows.append([f"median of {len(one['rounds'])}"] + [f"{mid[k]:.1f}" for k in ("addressed", "connected", "answered", "cpu_ms")])
        rows[-1].append(verdict(mid["connected"], round(aim, 1), "connected"))
        rows.append(["the agent's first"] + [f"{first[k]:.1f}" for k in ("addressed", "connected", "answered", "cpu_ms")] + [""])
        rows.append(["floor: requests one by one", "", f"{floor:.2f}", "", "", ""])
        rows.append(["floor, each of 100 in one batch", "", f"{one['floor_batch_of_100']['batch'] / 100:.2f}", "", "", ""])
        table(rows)
    if "many" in results:
        rows = [["(n) connections", "at once", "all connected ms", "each ms", "first and last tenth ms", "CPU each: mesh / client / server ms"]]
        for r in results["many"]:
            steps = r["steps"]
            rows.append(
                [f"{r['n']}{' with echoes' if r['paired'] else ''}", min(r["at_once"], r["n"]), f"{r['connected_ms']:.0f}"]
                + [f"{r['connected_ms'] / r['n']:.2f}", f"{steps['first_tenth']:.1f}, {steps['last_tenth']:.1f}"]
                + [each({k: v / r["n"] for k, v in r["cpu_ms"].items()}, 2)]
            )
        table(rows)
        rows = [["(q) idle: mesh / client / server", "CPU %", "aim", "resident MB", "descriptors", "threads"]]
        for r in results["many"]:
            if "idle" not in r:
                continue
            cpu, held = r["idle"]["cpu_percent"], r["idle"]["held"]
            of = lambda key, digits: each({name: values[key] for name, values in held.items()}, digits)
            aim = verdict(sum(cpu.values()), 1, f"{sum(cpu.values()):.2f} together")
            rows.append([f"{r['n']}{' with echoes' if r['paired'] else ''}", each(cpu, 2), aim, of("rss_mb", 0)])
            rows[-1] += [of("descriptors", 0), of("threads", 0)]
        if len(rows) > 1:
            table(rows)
        memory(results["many"])
    if "in_turn" in results:
        r = results["in_turn"]
        rows = [[f"(r) {r['n']} connections in turn", "connected ms", "most", "CPU each: mesh / client / server ms"]]
        for which in ("first", "last"):
            of = r[which]
            rows.append([f"the {which} {r['block']}", f"{of['connected_ms']:.1f}", f"{of['connected_max_ms']:.1f}", each(of["cpu_ms"], 2)])
        table(rows)
    if "storm" in results:
        s = results["storm"]
        print(f"(o) the mesh killed and started: {s['n']} connected again after {s['wall_ms']:.0f} ms; CPU {each(s['cpu_ms'], 0)} ms")
    for r in results.get("refreshes", []):
        print(f"(o) {r['n']} connections, {r['per_second']:.0f} refreshes per s: CPU each {each(r['cpu_ms_each'], 2)} ms")
        print(f"    for each refresh, by mesh / client / server: {counts.text(r['counts_each'])}")
    for what, r in results.get("heal", {}).items():
        # A process may come back within the time that the mesh leaves it; a pod that is gone does not.
        aim = verdict(r["moved_ms"], RESTART + 300 if what == "process" else 300, "connected")
        print(f"(p) {what} of the endpoint gone: pings away for {r['gap_ms']:.0f} ms, connected to the other after {r['moved_ms']:.0f} ms ({aim})")
