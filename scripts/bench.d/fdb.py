"""Forwarding entries, half of a bridge's port and half of a VXLAN: (j) of scripts/bench. Beside the agent: the floor, and `bridge -batch`."""

import json
import os
import statistics
import subprocess
import time

from daemon import LIMIT, PROBE, Failed, alternating, run, write
from show import progress

PLACE = "namespace: {type: NSID, reference: host0}"
LINKS = f"""\
linuxConfig:
  interfaces:
    - {{name: d0, type: TAP, enabled: true, {PLACE}}}
    - {{name: br0, type: BRIDGE, enabled: true, {PLACE}, bridge: {{ports: [d0]}}}}
    - {{name: vx0, type: VXLAN, enabled: true, {PLACE}, vxlan: {{vni: 7, noLearning: true}}}}
"""


def entries(n):
    """MAC address, and the other end of the tunnel; None: it is an entry of the bridge."""
    for i in range(n):
        mac = f"02:04:00:00:{i >> 8:02x}:{i & 255:02x}"
        yield mac, None if i < n // 2 else f"10.200.0.{i % 250}"


def yaml(n):
    lines = [f"    - {{interface: {'vx0' if to else 'd0'}, mac: '{mac}'{f', dst: {to}' if to else ''}}}\n" for mac, to in entries(n)]
    return LINKS + "  fdb:\n" + "".join(lines)


def expect(n, tool):
    shown = json.loads(subprocess.check_output(["bridge", "-n", "host0", "-j", "fdb", "show"]))
    found = sum(x["mac"].startswith("02:04:00:00:") for x in shown)
    if found != n:
        raise Failed(f"{tool}: there are {found} forwarding entries instead of {n}")


def figures_of(result):
    return {key: result[key] for key in ("wall_ms", "cpu_ms")}


def raw(what, n):
    found = json.loads(run(LIMIT, what, str(n))["text"])
    return {key: found[key.replace("_ms", "_us")] / 1e3 for key in ("wall_ms", "cpu_ms")}


def by_requests(n):
    figures = {"apply": raw("fdb", n)}
    expect(n, "the floor")
    figures["unchanged"] = raw("fdb-read", n)
    figures["withdraw"] = raw("fdb-delete", n)
    expect(0, "the floor")
    return figures


def by_bridge(n):
    """`bridge -batch`, which has no answer to what is there already."""
    line = lambda mac, to: f"{mac} dev vx0 dst {to} self permanent" if to else f"{mac} dev d0 master static sticky"
    figures = {}
    for task, verb in (("apply", "add"), ("withdraw", "del")):
        path = write("fdb.batch", "".join(f"fdb {verb} {line(*entry)}\n" for entry in entries(n)))
        figures[task] = figures_of(run("bridge", "-n", "host0", "-batch", path))
        expect(n if verb == "add" else 0, "bridge")
    return figures


def by_agent(program, n):
    """The links are there before, and stay."""
    links, whole = write("links.yaml", LINKS), write("fdb.yaml", yaml(n))
    figures = {"apply": figures_of(run(program, "apply", whole))}
    expect(n, "apply")
    figures["unchanged"] = figures_of(run(program, "apply", whole))
    figures["withdraw"] = figures_of(run(program, "apply", "--yes", links))
    expect(0, "apply without them")
    return figures


def measure(versions, options):
    """{entries: {tool: {task: figures}}}, medians."""
    n = options.entries
    run(PROBE, "setup", "1")
    try:
        run(os.environ["NSM_AGENT"], "apply", write("links.yaml", LINKS))
        time.sleep(1)
        rounds = {"floor": [], "bridge": []}
        for rep in range(options.reps):
            progress(f"{n} forwarding entries: floor and bridge, round {rep + 1} of {options.reps}")
            rounds["floor"].append(by_requests(n))
            rounds["bridge"].append(by_bridge(n))
        progress(f"{n} forwarding entries: the agent")
        results = alternating(versions, options.reps, lambda program: by_agent(program, n))
        for tool, found in rounds.items():
            results[tool] = {
                task: {key: statistics.median(f[task][key] for f in found) for key in ("wall_ms", "cpu_ms")} for task in found[0]
            }
        run(os.environ["NSM_AGENT"], "delete", "--all", "--yes")
        return {n: results}
    finally:
        run(PROBE, "teardown", "1")


TASKS = {"apply": "added", "unchanged": "applied again (the floor reads them once)", "withdraw": "withdrawn"}


def report(results, ratio, table):
    rows = [["(j) forwarding entries", "entries", "floor wall/CPU ms", "agent", "baseline", "bridge -batch", "agent:floor wall", "CPU"]]
    for n, of in results.items():
        both = lambda tool, task: f"{of[tool][task]['wall_ms']:.1f} / {of[tool][task]['cpu_ms']:.1f}" if task in of.get(tool, {}) else "–"
        for task, name in TASKS.items():
            compared = [ratio(of["agent"][task][key], of["floor"][task][key]) for key in ("wall_ms", "cpu_ms")]
            rows.append([name, n, *(both(tool, task) for tool in ("floor", "agent", "baseline", "bridge")), *compared])
    if len(rows) > 1:
        table(rows)
