"""Runs the measurements of scripts/bench. Must be in private namespaces: it makes and drops p0, p1, … in /run/netns."""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import mesh
import workload
from show import progress, table, verdict

AGENT, TOOLS = os.environ["NSM_AGENT"], os.environ["TOOLS"]
PROBE, LIMIT = f"{TOOLS}/probe", f"{TOOLS}/netlink_limit"
WORK = tempfile.mkdtemp(prefix="nsm-agent-bench-")


class Failed(Exception):
    pass


def run(*command, env=None, may_fail=False):
    """Runs a command; wall and CPU milliseconds and peak memory are those of the whole process."""
    with open(f"{WORK}/out", "w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode and not may_fail:
        raise Failed(f"{' '.join(command)}: exit code {process.returncode}\n{text[-2000:]}")
    return {
        "wall_ms": wall * 1e3,
        "cpu_ms": (usage.ru_utime + usage.ru_stime) * 1e3,
        "rss_mb": usage.ru_maxrss / 1024,
        "text": text,
    }


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


def write(name, text):
    path = f"{WORK}/{name}"
    with open(path, "w") as file:
        file.write(text)
    return path


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

TASKS = {
    "a": "apply from nothing",
    "b": "apply again, unchanged",
    "c": "one address per pod changed",
    "d": "delete all",
}


def round_of(tool, n, tasks):
    """One round of one tool through the life of the workload, from fresh namespaces to none: {task: figures}."""
    run(PROBE, "setup", str(n))
    try:
        figures = {}
        first, second = f"{WORK}/w{n}.yaml", f"{WORK}/w{n}-changed.yaml"
        quick_delete = lambda: run("ip", "-n", "host0", "link", "delete", "group", "77")
        if tool == "agent":
            steps = {
                "a": lambda: run(AGENT, "apply", first),
                "b": lambda: run(AGENT, "apply", first),
                "c": lambda: run(AGENT, "apply", second),
                "d": lambda: run(AGENT, "delete", "--all"),
            }
        elif tool == "floor":
            steps = {
                "a": lambda: run(LIMIT, "apply", str(n), "--kernel-index"),
                "b": lambda: run(LIMIT, "dump", str(n)),
                "c": lambda: run(PROBE, "readdress", str(n), "2", "3"),
                "d": lambda: run(LIMIT, "delete", str(n), "--how", "group"),
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
    write(f"w{n}.yaml", workload.yaml(n))
    write(f"w{n}-changed.yaml", workload.yaml(n, last=3))
    rounds = {tool: [] for tool in tools}
    for rep in range(reps):
        for tool in tools if rep % 2 == 0 else reversed(tools):
            progress(f"N={n}, round {rep + 1} of {reps}: {tool}")
            rounds[tool].append(round_of(tool, n, tasks))
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
            | ({"rss_mb": max(r[task]["rss_mb"] for r in values)} if tool == "agent" else {})
            for tool, values in rounds.items()
        }
        for task in TASKS
        if task in tasks
    }


# ---- the daemon ----


class Daemon:
    """`nsm-agent run` on a folder of its own; `ready_ms` is the time from exec to READY=1."""

    def __init__(self, config=None):
        self.folder = tempfile.mkdtemp(dir=WORK)
        self.config = f"{self.folder}/network.d"
        os.mkdir(self.config)
        if config:
            self.put(config)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"{self.folder}/notify")
        notify.settimeout(120)
        self.log = open(f"{self.folder}/log", "w")
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [AGENT, "run", "--config", self.config, "--socket", f"{self.folder}/socket"],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, "NOTIFY_SOCKET": f"{self.folder}/notify"},
        )
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except TimeoutError:
            self.stop()
            raise Failed(f"the daemon did not get ready:\n{open(self.log.name).read()[-2000:]}")
        finally:
            notify.close()
        self.ready_ms = (time.perf_counter() - start) * 1e3

    def put(self, text):
        """A new file in place of the old, by rename."""
        with open(f"{self.config}/.new", "w") as file:
            file.write(text)
        os.rename(f"{self.config}/.new", f"{self.config}/w.yaml")

    def threads(self):
        return [f"/proc/{self.process.pid}/task/{t}" for t in os.listdir(f"/proc/{self.process.pid}/task")]

    def cpu_ms(self):
        total = 0
        for thread in self.threads():
            try:
                total += int(open(f"{thread}/schedstat").read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total / 1e6

    def settle(self, quiet=0.4, limit=120):
        """Waits until it uses no more CPU; when it last did."""
        last, since = self.cpu_ms(), time.perf_counter()
        end = since + limit
        while time.perf_counter() < end:
            time.sleep(0.005)
            now = self.cpu_ms()
            if now - last > 0.05:
                last, since = now, time.perf_counter()
            elif time.perf_counter() - since > quiet:
                return since
        raise Failed("the daemon does not come to rest")

    def status(self, field):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failed(f"no {field} in /proc/…/status")

    def switches(self):
        total = 0
        for thread in self.threads():
            for line in open(f"{thread}/status"):
                if "ctxt_switches" in line:
                    total += int(line.split()[1])
        return total

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed("the daemon did not stop within 20 s")
        finally:
            self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def with_daemon(n, tasks, breaks):
    """(c) by the daemon, (e) and the part of (g) that needs a workload."""
    figures = {}
    run(PROBE, "setup", str(n))
    try:
        progress(f"N={n}: daemon")
        with Daemon(workload.yaml(n)) as daemon:
            daemon.settle()
            if "c" in tasks:
                before, start = daemon.cpu_ms(), time.perf_counter()
                daemon.put(workload.yaml(n, last=3))
                end = daemon.settle()
                figures["reload"] = {"cpu_ms": daemon.cpu_ms() - before, "wall_ms": (end - start) * 1e3}
                if workload.v6(n - 1, 3) not in subprocess.check_output(["ip", "-n", f"p{n - 1}", "address"], text=True):
                    raise Failed("the daemon did not take the new file")
            if "e" in tasks:
                figures["drift"] = {}
                for what in ("address", "route", "link"):
                    progress(f"N={n}: {min(breaks, n)} times drift of {what}")
                    result = run(PROBE, "drift", str(n), what, str(min(breaks, n)), may_fail=True)
                    line = result["text"].strip().splitlines()[-1]
                    figures["drift"][what] = json.loads(line)
                    daemon.settle()
            if "g" in tasks:
                figures["daemon_peak_rss_mb"] = daemon.status("VmHWM") / 1024
                figures["daemon_rss_mb"] = daemon.status("VmRSS") / 1024
                daemon.settle()
                progress(f"N={n}: idle for 10 s")
                before, cpu = daemon.switches(), daemon.cpu_ms()
                time.sleep(10)
                figures["idle_wakeups_per_s"] = (daemon.switches() - before) / 10
                figures["idle_cpu_ms_per_s"] = (daemon.cpu_ms() - cpu) / 10
        if "g" in tasks:
            progress(f"N={n}: start with everything in place")
            with Daemon(workload.yaml(n)) as daemon:
                figures["ready_in_place_ms"] = daemon.ready_ms
        run(AGENT, "delete", "--all")
    finally:
        run(PROBE, "teardown", str(n))
    return figures


def many_interfaces(reps):
    """(f): a file of 10 000 interfaces, none of them in the kernel."""
    path = write("f.yaml", workload.yaml(5000))
    figures = {"file_mb": os.path.getsize(path) / 1e6}
    for command in ("check", "plan"):
        results = []
        for rep in range(reps):
            progress(f"10 000 interfaces: {command}, {rep + 1} of {reps}")
            results.append(run(AGENT, command, path))
        figures[command] = {k: statistics.median(r[k] for r in results) for k in ("wall_ms", "cpu_ms", "rss_mb")}
    return figures


def start_and_size(reps):
    figures = {}
    times = []
    for rep in range(reps):
        progress(f"start, {rep + 1} of {reps}")
        with Daemon() as daemon:
            times.append(daemon.ready_ms)
            if rep == reps - 1:
                figures["empty_rss_mb"] = daemon.status("VmRSS") / 1024
    figures["ready_ms"] = statistics.median(times)
    figures["ready_ms_max"] = max(times)
    subprocess.check_call(["strip", "-o", f"{WORK}/stripped", AGENT])
    figures["binary_mb"] = os.path.getsize(f"{WORK}/stripped") / 1e6
    return figures


# ---- the report ----


def ratio(x, y):
    return f"{x / y:5.2f}×" if y else "    –"


AIMS = {"a": (1.5, 1.3), "b": (2.0, None), "c": (1.5, None), "d": (None, 1.3)}


def report(results):
    print()
    rows = [["task", "N", "floor wall/CPU ms", "agent wall/CPU ms", "ip wall/CPU ms", "agent:floor", "agent:ip", "aim"]]
    for n, tasks in results["compare"].items():
        for task, tools in tasks.items():
            pair = lambda t: f"{tools[t]['wall_ms']:.1f} / {tools[t]['cpu_ms']:.1f}" if t in tools else "–"
            against = lambda t: (
                f"{ratio(tools['agent']['wall_ms'], tools[t]['wall_ms'])} /{ratio(tools['agent']['cpu_ms'], tools[t]['cpu_ms'])}"
                if t in tools
                else "–"
            )
            aim = ""
            if "floor" in tools and int(n) == 1000:
                cpu, wall = AIMS[task]
                parts = []
                if cpu:
                    parts.append(verdict(tools["agent"]["cpu_ms"] / tools["floor"]["cpu_ms"], cpu, "CPU"))
                if wall:
                    parts.append(verdict(tools["agent"]["wall_ms"] / tools["floor"]["wall_ms"], wall, "wall"))
                aim = ", ".join(parts)
            rows.append(
                [f"({task}) {TASKS[task]}", n, pair("floor"), pair("agent"), pair("ip"), against("floor"), against("ip"), aim]
            )
    if len(rows) > 1:
        table(rows)
    for n, figures in results["daemon"].items():
        if "reload" in figures:
            r = figures["reload"]
            print(f"(c) by the daemon, N={n}: {r['wall_ms']:.1f} ms wall, {r['cpu_ms']:.1f} ms CPU")
        if figures.get("drift"):
            rows = [[f"(e) drift, N={n}, µs", "repaired", "lost", "event seen p50", "repaired p50", "p99", "max", "aim"]]
            for what, d in figures["drift"].items():
                if "repaired_us" not in d:
                    rows.append([what, d["reps"], d["lost"], "–", "–", "–", "–", ""])
                    continue
                x = d["repaired_us"]
                aim = verdict(x["p50"], 150, "p50") + ", " + verdict(x["p99"], 5000, "p99")
                rows.append([what, d["reps"], d["lost"], d["seen_us"]["p50"], x["p50"], x["p99"], x["max"], aim])
                if "whole_us" in d:
                    x = d["whole_us"]
                    rows.append(["link and all on it", d["reps"], d["lost"], "", x["p50"], x["p99"], x["max"], ""])
            print()
            table(rows)
    rows = [["figure", "value", "aim"]]
    if results.get("f"):
        f = results["f"]
        for command in ("check", "plan"):
            c = f[command]
            rows.append(
                [
                    f"(f) {command} of 10 000 interfaces ({f['file_mb']:.1f} MB)",
                    f"{c['wall_ms']:.0f} ms wall, {c['cpu_ms']:.0f} ms CPU, {c['rss_mb']:.0f} MB",
                    verdict(c["wall_ms"], 1000, "ms") if command == "check" else "",
                ]
            )
    if results.get("g"):
        g = results["g"]
        rows.append(["(g) exec to ready, no configuration", f"{g['ready_ms']:.1f} ms", verdict(g["ready_ms"], 50, "ms")])
        rows.append(["(g) resident, no configuration", f"{g['empty_rss_mb']:.1f} MB", ""])
        rows.append(["(g) program, stripped", f"{g['binary_mb']:.1f} MB", ""])
    for n, x in results["daemon"].items():
        if "daemon_peak_rss_mb" in x:
            rows.append(
                [
                    f"(g) daemon, N={n}: peak / now",
                    f"{x['daemon_peak_rss_mb']:.1f} / {x['daemon_rss_mb']:.1f} MB",
                    verdict(x["daemon_peak_rss_mb"], 60, "MB") if int(n) == 1000 else "",
                ]
            )
            rows.append([f"(g) exec to ready, N={n} in place", f"{x['ready_in_place_ms']:.0f} ms", ""])
            rows.append(
                [f"(g) idle wake-ups, N={n}", f"{x['idle_wakeups_per_s']:.1f} per s", verdict(x["idle_wakeups_per_s"], 0, "per s")]
            )
    for n, tasks in results["compare"].items():
        if "a" in tasks:
            rows.append([f"(g) apply, N={n}: peak", f"{tasks['a']['agent']['rss_mb']:.1f} MB", ""])
    if len(rows) > 1:
        table(rows)
    mesh.report(results.get("mesh", {}))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--n", default="10,100,1000", help="numbers of pods")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--breaks", type=int, default=200, help="deletions for (e)")
    parser.add_argument("--only", default="a,b,c,d,e,f,g,m,n,o,p,q,large")
    parser.add_argument("--connections", type=int, default=500, help="connections of the mesh, for (n), (o) and (q)")
    parser.add_argument("--per-agent", type=int, default=500, help="of them at most so many of one agent")
    parser.add_argument("--idle", type=float, default=20, help="seconds of (q)")
    parser.add_argument("--no-ip", action="store_true", help="leave `ip -batch` out")
    parser.add_argument("--quick", action="store_true", help="N 10 and 100, two rounds, 40 deletions")
    parser.add_argument("--json", default=".build/bench.json")
    options = parser.parse_args()
    if options.quick:
        options.n, options.reps, options.breaks, options.connections, options.idle = "10,100", 2, 40, 50, 5
    sizes, tasks = [int(x) for x in options.n.split(",")], set(options.only.split(","))
    if options.quick:
        tasks.discard("large")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tools = [t for t in ("floor", "agent", "ip") if t != "floor" or os.path.exists(LIMIT)]
    if options.no_ip:
        tools.remove("ip")

    results = {
        "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "load_at_start": os.getloadavg()[0]},
        "reps": options.reps,
        "compare": {},
        "daemon": {},
    }
    try:
        if tasks & set("abcd"):
            for n in sizes:
                results["compare"][n] = compare(n, options.reps, tasks, tools)
        if tasks & set("ceg"):
            for n in sizes:
                if n >= 100 or n == max(sizes):
                    results["daemon"][n] = with_daemon(n, tasks, options.breaks)
        if "f" in tasks:
            results["f"] = many_interfaces(options.reps)
        if "g" in tasks:
            results["g"] = start_and_size(max(options.reps, 5))
        if "large" in tasks:
            results["compare"][5000] = compare(5000, 1, set("abd"), [t for t in tools if t != "ip"])
        if tasks & set(mesh.TASKS):
            results["mesh"] = {}
            mesh.measure(AGENT, f"{TOOLS}/meshprobe", WORK, tasks, options, results["mesh"])
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
