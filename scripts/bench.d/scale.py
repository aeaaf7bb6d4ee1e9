"""The mesh at scale: (k), (l) and (z) of scripts/bench. Imported by bench.py."""

import json
import os
import statistics
import subprocess
import time

import mesh
from counts import Counts, text
from meshnet import Failed, endpoints, grouped, shared
from show import progress, table, verdict

PARTS = ("k", "l", "z")


# ---- (k) twenty clients at once ----


def twenty(bench, reps, per_agent):
    """Twenty clients that come in the same moment, `per_agent` of each agent, none of which knows the mesh yet."""
    rounds = []
    for rep in range(reps):
        progress(f"twenty clients at once, {per_agent} an agent, {rep + 1} of {reps}")
        with bench.net("server", *shared(range(20), per_agent)) as net:
            net.mesh()
            net.run("server", endpoints())
            mesh.registered(net, "server")
            net.run_clients(20, per_agent)
            net.settle()
            before = net.cpu()
            rounds.append(net.connect_some(range(20), per_agent, False))
            net.settle()
            rounds[-1]["cpu_ms"] = sum(net.since(before).values())
    return {"per_agent": per_agent, "rounds": rounds, "median": mesh.medians(rounds)}


# ---- (l) idle with refreshes ----


def idle_with_refreshes(bench, n, seconds):
    """Connections that nobody uses, with tokens of ten minutes, for longer than all need to be refreshed once."""
    with bench.net("server", *shared(range(n), bench.per_agent), environment={"NSM_MAX_TOKEN_LIFETIME": "10m"}) as net:
        net.mesh()
        net.run("server", endpoints())
        mesh.registered(net, "server")
        net.run_clients(n, bench.per_agent)
        net.connect_some(range(n), bench.per_agent, False)
        net.settle()
        progress(f"N={n}: idle with refreshes for {seconds:.0f} s")
        with Counts(net) as counts:
            first, _ = mesh.refreshes(net)
            before, start = net.cpu(), time.monotonic()
            time.sleep(seconds)
            cpu, wall = net.since(before), (time.monotonic() - start) * 1e3
            last, connected = mesh.refreshes(net)
        held = grouped({name: p.figures() for name, p in net.processes.items()})
    return {
        "n": n,
        "connected": connected,
        "refreshes": last - first,
        "seconds": wall / 1e3,
        "cpu_percent": {name: ms / wall * 100 for name, ms in grouped(cpu).items()},
        "counts": counts.each(last - first),
        "held": held,
    }


# ---- (z) the registry ----


def registry(bench, program, registrations, watchers):
    """Many registrations and many who watch: what each phase takes, and CPU of the mesh in it."""
    figures = {"registrations": registrations, "watchers": watchers}
    with bench.net("server") as net:
        process = net.mesh()
        environment = {**os.environ, **net.environment, "NSM_NAME": "registry-bench"}
        command = [program, str(registrations), str(watchers), "11"]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        empty = process.figures()["rss_mb"]
        try:
            for phase in ("watch", "register", "renew", "tell"):
                progress(f"the registry: {phase}")
                before = process.cpu_ms()
                line = client.stdout.readline()
                if not line.startswith("{"):
                    raise Failed(f"the registry's bench says: {line}{net.complaints()}")
                figures[phase] = json.loads(line) | {"cpu_ms": process.cpu_ms() - before}
                client.stdin.write("\n")
                client.stdin.flush()
            figures["rss_mb"] = process.figures()["rss_mb"] - empty
        finally:
            client.stdin.close()
            client.terminate()
            client.wait()
    return figures


# ---- all of it ----


def measure(agent, tools, work, tasks, options, results):
    """Fills `results`, task by task, so that a failure leaves what was measured before."""
    bench = mesh.Bench(agent, f"{tools}/meshprobe", work, options.per_agent)
    if "k" in tasks:
        results["twenty"] = [twenty(bench, max(options.reps, 3), per_agent) for per_agent in (20, 1)]
    if "l" in tasks:
        results["idle_with_refreshes"] = idle_with_refreshes(bench, options.connections, options.period)
    if "z" in tasks and os.path.exists(f"{tools}/registry-bench"):
        results["registry"] = registry(bench, f"{tools}/registry-bench", options.registrations, options.watchers)


def report(results):
    for r in results.get("twenty", []):
        mid, agents = r["median"], 20 // r["per_agent"]
        aim = verdict(mid["connected"], 100, "connected")
        print(
            f"(k) 20 clients at once, of {agents} agent{'s' if agents > 1 else ''}: connected after {mid['connected']:.0f} ms,"
            f" {mid['cpu_ms']:.0f} ms of CPU ({aim})"
        )
    if "idle_with_refreshes" in results:
        r = results["idle_with_refreshes"]
        total = sum(r["cpu_percent"].values())
        print(
            f"(l) {r['n']} idle connections with tokens of 10 minutes, {r['refreshes']} refreshes in {r['seconds']:.0f} s: CPU"
            f" {mesh.each(r['cpu_percent'], 2)} % ({verdict(round(total, 2), 1, f'{total:.2f} together')})"
        )
        print(f"    for each refresh, by mesh / client / server: {text(r['counts'])}")
    if "registry" in results:
        r = results["registry"]
        n = r["registrations"]
        rows = [[f"(z) {n} registrations, {r['watchers']} watchers", "all, ms", "first and last tenth ms", "CPU of the mesh, ms"]]
        for phase in ("register", "renew"):
            of = r[phase]
            tenths = f"{of['first_tenth_ms']:.1f}, {of['last_tenth_ms']:.1f}"
            rows.append([phase, f"{of[f'{phase}_ms']:.0f}", tenths, f"{of['cpu_ms']:.0f}, {of['cpu_ms'] / n:.3f} each"])
        for what in ("told", "withdrawn"):
            rows.append([f"one endpoint {what} to all", f"{r['tell'][f'{what}_ms']:.1f}", "", ""])
        rows.append(["CPU of both, and memory for all", "", f"{r['rss_mb']:.1f} MB", f"{r['tell']['cpu_ms'] / 11:.1f} a round"])
        table(rows)
