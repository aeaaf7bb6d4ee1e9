"""What scripts/bench prints."""

import fdb
import filters
import mesh
import northbound
import scale
from show import ratio, table, verdict

TASKS = {
    "a": "apply from nothing",
    "b": "apply again, unchanged",
    "c": "one address per pod changed",
    "d": "delete all",
}
# The most times the floor's CPU, and its wall time, with 1000 pods.
AIMS = {"a": (1.63, None), "b": (1.8, None), "c": (1.5, None), "d": (1.33, None)}


def tasks(results):
    """(a) to (d), beside the floor, `ip -batch` and the baseline."""
    tools = [t for t in ("floor", "agent", "baseline", "ip") if any(t in f for r in results.values() for f in r.values())]
    others = [t for t in tools if t != "agent"]
    rows = [["task", "N"] + [f"{t} wall/CPU ms" for t in tools] + [f"agent:{t}" for t in others] + ["aim"]]
    for n, figures in results.items():
        for task, of in figures.items():
            row = [f"({task}) {TASKS[task]}", n]
            row += [f"{of[t]['wall_ms']:.1f} / {of[t]['cpu_ms']:.1f}" if t in of else "–" for t in tools]
            for t in others:
                both = [ratio(of["agent"][key], of[t][key]) if t in of else "–" for key in ("wall_ms", "cpu_ms")]
                row.append(" / ".join(both))
            rows.append(row + [aims(of, *AIMS[task]) if int(n) == 1000 and "floor" in of else ""])
    if len(rows) > 1:
        table(rows)


def aims(of, cpu, wall):
    parts = []
    for aim, key, text in ((cpu, "cpu_ms", "CPU"), (wall, "wall_ms", "wall")):
        if aim:
            parts.append(verdict(of["agent"][key] / of["floor"][key], aim, text))
    return ", ".join(parts)


def drift(daemons):
    for n, versions in daemons.items():
        if not versions["agent"].get("drift"):
            continue
        rows = [[f"(e) drift, N={n}, µs", "repaired", "lost", "event seen p50", "repaired p50", "p99", "max", "aim"]]
        for what in versions["agent"]["drift"]:
            for version, figures in versions.items():
                d = figures["drift"][what]
                name = what + ("" if version == "agent" else f", {version}")
                if "repaired_us" not in d:
                    rows.append([name, f"{d['reps']:.0f}", f"{d['lost']:.0f}", "–", "–", "–", "–", ""])
                    continue
                x = d["repaired_us"]
                counts = [f"{d['reps']:.0f}", f"{d['lost']:.0f}"]
                has_aim = version == "agent" and what != "link"
                aim = verdict(x["p50"], 150, "p50") + ", " + verdict(x["p99"], 5000, "p99") if has_aim else ""
                rows.append([name, *counts] + [f"{v:.0f}" for v in (d["seen_us"]["p50"], x["p50"], x["p99"], x["max"])] + [aim])
                if "whole_us" in d:
                    x = d["whole_us"]
                    rows.append([f"{name} and all on it", *counts, ""] + [f"{x[k]:.0f}" for k in ("p50", "p99", "max")] + [""])
        table(rows)


def one_row(name, versions, get, unit, aim=None, digits=1):
    """A figure of each version, how they compare, and what it should be at most."""
    values = {version: get(figures) for version, figures in versions.items()}
    text = lambda version: f"{values[version]:.{digits}f} {unit}" if version in values else "–"
    return [
        name, text("baseline"), text("agent"),
        ratio(values["agent"], values["baseline"]) if "baseline" in values else "–",
        verdict(values["agent"], aim, unit) if aim is not None else "",
    ]  # fmt: skip


def figures(results):
    """What is one number each."""
    rows = [["figure", "baseline", "agent", "agent:baseline", "aim"]]
    for n, versions in results["daemon"].items():
        at = f"N={n}"
        of_1000 = lambda aim: aim if int(n) == 1000 else None
        if "reload" in versions["agent"]:
            rows.append(one_row(f"(c) by the daemon, {at}: wall", versions, lambda f: f["reload"]["wall_ms"], "ms"))
            rows.append(one_row(f"(c) by the daemon, {at}: CPU", versions, lambda f: f["reload"]["cpu_ms"], "ms"))
            for name, words, aim in (("raw_reload", "", 3), ("heard_reload", " that as many sockets hear of", None)):
                raw = versions["agent"][name]["cpu_ms"]
                times = lambda f, raw=raw: f["reload"]["cpu_ms"] / raw
                name = f"(c) by the daemon, {at}: CPU of raw requests{words} ({raw:.1f} ms)"
                rows.append(one_row(name, versions, times, "×", of_1000(aim) if aim else None, 2))
        if "peak_rss_mb" in versions["agent"]:
            rows.append(one_row(f"(g) daemon, {at}: peak", versions, lambda f: f["peak_rss_mb"], "MB", of_1000(55)))
            rows.append(one_row(f"(g) daemon, {at}: resident", versions, lambda f: f["rss_mb"], "MB"))
            rows.append(one_row(f"(g) exec to ready, {at} in place", versions, lambda f: f["ready_in_place_ms"], "ms", None, 0))
            rows.append(one_row(f"(g) idle wake-ups, {at}", versions, lambda f: f["idle_wakeups_per_s"], "per s", 0, 2))
    for n, of in results["compare"].items():
        if "a" in of:
            programs = {t: f for t, f in of["a"].items() if "rss_mb" in f}
            rows.append(one_row(f"(g) apply, N={n}: peak", programs, lambda f: f["rss_mb"], "MB"))
    if "f" in results:
        size = results["f"]["agent"]["file_mb"]
        for command, aim in (("check", 1000), ("plan", None)):
            name = f"(f) {command} of 10 000 interfaces ({size:.1f} MB)"
            rows.append(one_row(f"{name}: wall", results["f"], lambda f: f[command]["wall_ms"], "ms", aim, 0))
            rows.append(one_row(f"{name}: CPU", results["f"], lambda f: f[command]["cpu_ms"], "ms", None, 0))
            rows.append(one_row(f"{name}: peak", results["f"], lambda f: f[command]["rss_mb"], "MB", None, 0))
    if "g" in results:
        rows.append(one_row("(g) exec to ready, no configuration", results["g"], lambda f: f["ready_ms"], "ms", 50))
        rows.append(one_row("(g) resident, no configuration", results["g"], lambda f: f["empty_rss_mb"], "MB"))
        rows.append(one_row("(g) program, stripped", results["g"], lambda f: f["binary_mb"], "MB"))
    beside_the_baseline(rows)


def beside_the_baseline(rows):
    """Without a baseline, without its columns."""
    if all(row[1] == "–" for row in rows[1:]):
        rows = [[row[0], row[2], row[4]] for row in rows]
    if len(rows) > 1:
        table(rows)


def curves(results):
    rows = [["(h) one pair by a file, among so many values", "baseline", "agent", "agent:baseline", "aim"]]
    for values, versions in results.get("h", {}).items():
        floor = versions["floor"]
        programs = {v: f for v, f in versions.items() if v != "floor"}
        most = lambda aim: aim if int(values) >= 10000 else None
        extra = lambda f: f["cpu_ms"] - floor["cpu_ms"]
        rows.append(one_row(f"{values}: CPU without the {floor['cpu_ms']:.2f} ms of its requests", programs, extra, "ms", most(5)))
        rows.append(one_row(f"{values}: latency", programs, lambda f: f["latency_ms"], "ms", most(60)))
        rows.append(one_row(f"{values}: CPU of its end", programs, lambda f: f["removal_cpu_ms"], "ms"))
    beside_the_baseline(rows)
    rows = [["(i) one value inside the process, among so many", "baseline", "agent", "agent:baseline", "aim"]]
    for values, versions in results.get("i", {}).items():
        rows.append(one_row(f"{values}: CPU", versions, lambda f: f["cpu_us"]["p50"], "ms", 0.3, 3))
        rows.append(one_row(f"{values}: CPU, p99", versions, lambda f: f["cpu_us"]["p99"], "ms", None, 3))
    beside_the_baseline(rows)


def report(results):
    print()
    tasks(results["compare"])
    drift(results["daemon"])
    figures(results)
    curves(results.get("curves", {}))
    fdb.report(results.get("fdb", {}), ratio, table)
    filters.report(results["filters"], ratio, table)
    for version, found in results["mesh"].items():
        if len(results["mesh"]) > 1:
            print(f"The mesh of {version}:\n")
        mesh.report(found)
    rows = mesh.comparison(results["mesh"], one_row) if "agent" in results["mesh"] else []
    if rows:
        beside_the_baseline([["the mesh", "baseline", "agent", "agent:baseline", "aim"], *rows])
    for version, found in results["scale"].items():
        if len(results["scale"]) > 1:
            print(f"The mesh at scale, {version}:\n")
        scale.report(found)
    for version, found in results["northbound"].items():
        if len(results["northbound"]) > 1:
            print(f"Northbound, {version}:\n")
        northbound.report(found)
