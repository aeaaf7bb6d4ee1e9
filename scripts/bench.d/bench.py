"""Runs the measurements of scripts/bench. Must be in private namespaces: it makes and drops p0, p1, … in /run/netns."""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time

import curves
import fdb
import filters
import mesh
import northbound
import scale
import workload
from daemon import LIMIT, PROBE, TOOLS, WORK, Daemon, Failed, alternating, run, write
from report import report
from show import progress


def ip_batch(files, *options):
    """One `ip -batch` for each namespace, one after the other."""
    paths = []
    for number, (namespace, text) in enumerate(files.items()):
        path = f"{WORK}/batch{number}"
        with open(path, "w") as file:
            file.write(text)
        paths.append((namespace, path))
    total = {"wall_ms": 0, "cpu_ms": 0}
    start = time.perf_counter()
    for namespace, path in paths:
        total["cpu_ms"] += run("ip", *options, "-n", namespace, "-batch", path)["cpu_ms"]
    total["wall_ms"] = (time.perf_counter() - start) * 1e3
    return total


def ip_json(namespace, *command):
    return json.loads(subprocess.check_output(["ip", "-j", "-n", namespace, *command]) or "[]")


def state(n):
    """What is there, as far as all tools must agree on it, read by `ip`."""
    last = f"p{n - 1}"
    links = {x["ifname"]: (x["mtu"], x["address"], "UP" in x["flags"]) for x in ip_json("host0", "link")}
    return {
        "links": {k: v for k, v in links.items() if k.startswith("h")},
        "addresses": len(ip_json("host0", "-4", "address")),
        "routes": sorted((r["dst"], r["gateway"]) for r in ip_json("host0", "route") if "gateway" in r),
        "neighbours": sorted(x["dst"] for x in ip_json("host0", "neigh") if x["state"] == ["PERMANENT"]),
        "pod addresses": sorted(a["local"] for x in ip_json(last, "address") for a in x["addr_info"]),
        "pod routes": [r["gateway"] for r in ip_json(last, "route") if r["dst"] == "default"],
    }


# ---- (a) to (d) ----

def round_of(tool, program, n, tasks):
    """One round of one tool through the life of the workload, from fresh namespaces to none: {task: figures}."""
    run(PROBE, "setup", str(n))
    try:
        figures = {}
        first, second = f"{WORK}/w{n}.yaml", f"{WORK}/w{n}-changed.yaml"
        quick_delete = lambda: run("ip", "-n", "host0", "link", "delete", "group", "77")
        if program:
            steps = {
                "a": lambda: run(program, "apply", first),
                "b": lambda: run(program, "apply", first),
                "c": lambda: run(program, "apply", second),
                "d": lambda: run(program, "delete", "--all", "--yes"),
            }
        elif tool == "floor":
            steps = {
                "a": lambda: run(LIMIT, "apply", str(n)),
                "b": lambda: run(LIMIT, "dump", str(n)),
                "c": lambda: run(LIMIT, "readdress", str(n), "2", "3"),
                "d": lambda: run(LIMIT, "delete", str(n)),
            }
        else:
            # One by one, a deletion takes 20 ms: with many, `ip` may use the link group, too.
            steps = {
                "a": lambda: ip_batch(workload.batches(n)),
                "b": lambda: ip_batch(workload.reading(n), "-j"),
                "c": lambda: ip_batch(workload.readdress(n, 2, 3)),
                "d": lambda: ip_batch(workload.deletion(n)) if n <= 100 else quick_delete(),
            }
        for task, step in steps.items():
            if task in "bc" and task not in tasks:
                continue
            figures[task] = step()
            figures[task].pop("text", None)
            if task == "a":
                figures["state"] = state(n)
        left = [x["ifname"] for x in ip_json("host0", "link") if x["ifname"].startswith("h")]
        if left:
            raise Failed(f"{tool} left {len(left)} links")
        return figures
    finally:
        run(PROBE, "teardown", str(n))
        time.sleep(0.05 + n / 2000)  # the kernel still takes the namespaces apart


def compare(n, reps, tasks, tools):
    """{task: {tool: figures}}; `tools` has the program of each that is an agent."""
    write(f"w{n}.yaml", workload.yaml(n))
    write(f"w{n}-changed.yaml", workload.yaml(n, last=3))
    rounds = {tool: [] for tool in tools}
    for rep in range(reps):
        for tool in tools if rep % 2 == 0 else reversed(tools):
            progress(f"N={n}, round {rep + 1} of {reps}: {tool}")
            rounds[tool].append(round_of(tool, tools[tool], n, tasks))
    states = {tool: values[0]["state"] for tool, values in rounds.items()}
    for tool, found in states.items():
        if found != states["agent"]:
            diff = [k for k in found if found[k] != states["agent"][k]]
            raise Failed(f"{tool} and agent do not make the same: {[(k, found[k], states['agent'][k]) for k in diff][:3]}")
    return {
        task: {
            tool: {
                key: statistics.median(r[task][key] for r in values) for key in ("wall_ms", "cpu_ms")
            }
            | {
                "wall_all": [round(r[task]["wall_ms"], 2) for r in values],
                "cpu_all": [round(r[task]["cpu_ms"], 2) for r in values],
            }
            | ({"rss_mb": max(r[task]["rss_mb"] for r in values)} if tools[tool] else {})
            for tool, values in rounds.items()
        }
        for task in "abcd"
        if task in tasks
    }


# ---- the daemon ----


def with_daemon(program, n, tasks, options):
    """(c) by the daemon, (e) and the part of (g) that needs a workload."""
    figures = {}
    run(PROBE, "setup", str(n))
    try:
        progress(f"N={n}: daemon")
        with Daemon(program, workload.yaml(n)) as daemon:
            daemon.settle()
            if "c" in tasks:
                figures["reload"], _ = daemon.cost(lambda: daemon.put(workload.yaml(n, last=3)))
                if workload.v6(n - 1, 3) not in subprocess.check_output(["ip", "-n", f"p{n - 1}", "address"], text=True):
                    raise Failed("the daemon did not take the new file")
            if "e" in tasks:
                figures["drift"] = {}
                for what in ("address", "route", "link"):
                    progress(f"N={n}: {min(options.breaks, n)} times drift of {what}")
                    result = run(PROBE, "drift", str(n), what, str(min(options.breaks, n)), may_fail=True)
                    line = result["text"].strip().splitlines()[-1]
                    figures["drift"][what] = json.loads(line)
                    daemon.settle()
            if "g" in tasks:
                figures["peak_rss_mb"], figures["rss_mb"] = daemon.status("VmHWM") / 1024, daemon.status("VmRSS") / 1024
                daemon.settle()
                progress(f"N={n}: idle for {options.idle:.0f} s")
                before, cpu = daemon.wakeups(), daemon.cpu_ms()
                time.sleep(options.idle)
                figures["idle_wakeups_per_s"] = (daemon.wakeups() - before) / options.idle
                figures["idle_cpu_ms_per_s"] = (daemon.cpu_ms() - cpu) / options.idle
        if "g" in tasks:
            progress(f"N={n}: start with everything in place")
            with Daemon(program, workload.yaml(n, last=3 if "c" in tasks else 2)) as daemon:
                figures["ready_in_place_ms"] = daemon.ready_ms
        if "c" in tasks:
            for name, how in (("raw_reload", ["3", "2"]), ("heard_reload", ["2", "3", "heard"])):
                raw = json.loads(run(LIMIT, "readdress", str(n), *how)["text"])
                figures[name] = {"cpu_ms": raw["cpu_us"] / 1e3, "wall_ms": raw["wall_us"] / 1e3}
        run(program, "delete", "--all", "--yes")
    finally:
        run(PROBE, "teardown", str(n))
    return figures


def many_interfaces(program):
    """(f): a file of 10 000 interfaces, none of them in the kernel."""
    path = write("f.yaml", workload.yaml(5000))
    figures = {"file_mb": os.path.getsize(path) / 1e6}
    for command in ("check", "plan"):
        progress(f"10 000 interfaces: {command}")
        result = run(program, command, path)
        figures[command] = {key: result[key] for key in ("wall_ms", "cpu_ms", "rss_mb")}
    return figures


def start_and_size(program):
    progress("start")
    with Daemon(program) as daemon:
        figures = {"ready_ms": daemon.ready_ms, "empty_rss_mb": daemon.status("VmRSS") / 1024}
    subprocess.check_call(["strip", "-o", f"{WORK}/stripped", program])
    return figures | {"binary_mb": os.path.getsize(f"{WORK}/stripped") / 1e6}


# ---- all of it ----


def options_of_the_command_line():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--n", default="10,100,1000", help="numbers of pods")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--breaks", type=int, default=200, help="deletions for (e)")
    parser.add_argument("--only", default="a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z,large")
    parser.add_argument("--values", default="100,500,2000,10000", help="numbers of values, for (h) and (i)")
    parser.add_argument("--entries", type=int, default=10000, help="forwarding entries, for (j)")
    parser.add_argument("--connections", type=int, default=500, help="connections of the mesh, for (l), (n), (o) and (q)")
    parser.add_argument("--period", type=float, default=240, help="seconds of idling with refreshes, for (l)")
    parser.add_argument("--registrations", type=int, default=5000, help="endpoints in the registry, for (z)")
    parser.add_argument("--watchers", type=int, default=500, help="who watch it")
    parser.add_argument("--in-turn", type=int, default=1000, help="connections of the mesh, for (r)")
    parser.add_argument("--per-agent", type=int, default=500, help="of (n), (o), (q) at most so many of one agent")
    parser.add_argument("--idle", type=float, default=20, help="seconds of idling in (g) and (q)")
    parser.add_argument("--many-values", type=int, default=10000, help="values in force, for (t) to (x)")
    parser.add_argument("--calls", type=int, default=1000, help="for (t) and (u), and half as many puts for (w)")
    parser.add_argument("--rate", type=int, default=1000, help="puts in a second, for (w)")
    parser.add_argument("--load", type=float, default=60, help="seconds of them")
    parser.add_argument("--no-ip", action="store_true", help="leave `ip -batch` out")
    parser.add_argument("--quick", action="store_true", help="less of everything: N 10 and 100, two rounds, 40 deletions …")
    parser.add_argument("--json", default=".build/bench.json")
    options = parser.parse_args()
    if options.quick:
        options.n, options.reps, options.breaks, options.connections, options.idle = "10,100", 2, 40, 50, 5
        options.values, options.in_turn, options.entries = "100,500", 100, 1000
        options.period, options.registrations, options.watchers = 130, 500, 50
        options.many_values, options.calls, options.rate, options.load = 1000, 100, 200, 3
    return options


def measure(options, results):
    """Fills `results`, task by task, so that a failure leaves what was measured before."""
    sizes, tasks = [int(x) for x in options.n.split(",")], set(options.only.split(","))
    if options.quick:
        tasks.discard("large")
    versions = {"agent": os.environ["NSM_AGENT"]}
    if os.environ.get("BASELINE"):
        versions["baseline"] = os.environ["BASELINE"]
    tools = {"floor": None, **versions} | ({} if options.no_ip else {"ip": None})
    if tasks & set("abcd"):
        for n in sizes:
            results["compare"][n] = compare(n, options.reps, tasks, tools)
    # Where figures change little from one time to the next, the second version is why there is more than one round.
    rounds = options.reps if len(versions) > 1 else 1
    if tasks & set("ceg"):
        for n in sizes:
            if n >= 100 or n == max(sizes):
                results["daemon"][n] = alternating(versions, rounds, lambda program: with_daemon(program, n, tasks, options))
    if "f" in tasks:
        results["f"] = alternating(versions, options.reps, many_interfaces)
    if "g" in tasks:
        results["g"] = alternating(versions, max(options.reps, 5), start_and_size)
    if tasks & set("hi"):
        results["curves"] = {}
        curves.measure(versions, tasks, options, rounds, results["curves"])
    if "j" in tasks:
        results["fdb"] = fdb.measure(versions, options)
    if "s" in tasks:
        if shutil.which("nft") and shutil.which("iptables-nft-restore"):
            filters.measure(versions, [n for n in sizes if n >= 100 or n == max(sizes)], options, results["filters"])
        else:
            progress("(s) is left out: nft or iptables is missing")
    if "large" in tasks:
        results["compare"][5000] = compare(5000, 1, set("abd"), {tool: tools[tool] for tool in tools if tool != "ip"})
    for part in mesh.PARTS:
        for version, program in versions.items() if tasks & set(part) else ():
            progress(f"mesh: {version}")
            mesh.measure(program, f"{TOOLS}/meshprobe", WORK, tasks & set(part), options, results["mesh"].setdefault(version, {}))
    if tasks & set(scale.PARTS):
        for version, program in versions.items():
            scale.measure(program, TOOLS, WORK, tasks, options, results["scale"].setdefault(version, {}))
    if tasks & set(northbound.PARTS):
        for version, program in versions.items():
            northbound.measure(program, tasks, options, results["northbound"].setdefault(version, {}))


def main():
    options = options_of_the_command_line()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = {
        "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "load_at_start": os.getloadavg()[0]},
        "reps": options.reps,
        "compare": {},
        "daemon": {},
        "filters": {},
        "mesh": {},
        "northbound": {},
        "scale": {},
    }
    try:
        measure(options, results)
    except (Failed, mesh.Failed) as error:
        progress("")
        print(f"scripts/bench: {error}", file=sys.stderr)
        results["error"] = str(error)
    finally:
        results["machine"]["load_at_end"] = os.getloadavg()[0]
        progress("")
        report(results)
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
        shutil.rmtree(WORK, ignore_errors=True)
    print(f"Figures: {options.json}. Load: {results['machine']['load_at_start']:.1f} to {results['machine']['load_at_end']:.1f}.")
    sys.exit("error" in results)


main()
