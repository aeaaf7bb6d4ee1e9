"""What a small change costs beside much that stays: (h) and (i) of scripts/bench."""

import contextlib
import json
import os
import statistics
import subprocess

import workload
from daemon import LIMIT, PROBE, TOOLS, WORK, Daemon, Failed, alternating, run, write
from show import progress

MOST_PODS = 2000


@contextlib.contextmanager
def a_network_of(values):
    """Namespaces for a workload of so many values; its text, and how many pods it has. At the end all is gone."""
    pods = min(values // 5, MOST_PODS)
    run(PROBE, "setup", str(pods))
    try:
        yield workload.yaml(pods, more_routes=values // pods - 5), pods
        run(os.environ["NSM_AGENT"], "delete", "--all", "--yes")
    finally:
        run(PROBE, "teardown", str(pods))


# ---- (h) one pair added by a file ----


def pair_added(program, text, reps):
    """From the file's renaming until the kernel has told the pair's addresses, and CPU until the daemon rests; and of its end."""
    added, latency, removed = [], [], []
    with Daemon(program, text) as daemon:
        daemon.settle(1)
        place = f"{daemon.config}/x.yaml"
        for rep in range(reps + 1):
            new = write("pair", workload.PAIR)
            cost, told = daemon.cost(lambda: run(PROBE, "added", "0", new, place, workload.PAIR_HOST, workload.PAIR_POD))
            added.append(cost["cpu_ms"])
            latency.append(json.loads(told["text"])["ms"])
            removed.append(daemon.cost(lambda: os.unlink(place))[0]["cpu_ms"])
            if "x0" in subprocess.check_output(["ip", "-n", "host0", "-o", "link"], text=True):
                raise Failed("a pair of a file that is gone stays")
    # Buffers and tables still grow with the first.
    medians = [statistics.median(values[1:]) for values in (added, latency, removed)]
    return dict(zip(("cpu_ms", "latency_ms", "removal_cpu_ms"), medians))


def pairs(versions, values, rounds, reps=7):
    with a_network_of(values) as (text, _):
        progress(f"{values} values: one pair added by a file")
        figures = alternating(versions, rounds, lambda program: pair_added(program, text, reps))
        # The daemon is gone and its network is not: the same requests beside as much.
        floor = json.loads(run(LIMIT, "pair", "20")["text"])
    return figures | {"floor": {key.replace("_us", "_ms"): floor[key] / 1e3 for key in ("cpu_us", "wall_us", "removal_cpu_us")}}


# ---- (i) one value changed inside the process ----


def value_changed(program, files, reps):
    """`change-bench` of that version; CPU and wall milliseconds."""
    figures = json.loads(run(program, *files, str(reps))["text"].splitlines()[-1])
    return {what: {k: v / 1e3 for k, v in figures[what].items()} for what in ("cpu_us", "wall_us")}


def changes(changers, values, rounds):
    with a_network_of(values) as (text, pods):
        progress(f"{values} values: one changed inside the process")
        files = [write("base.yaml", text)] + [write(f"{i}.yaml", workload.neighbour(pods, i)) for i in (1, 2)]
        figures = alternating(changers, rounds, lambda program: value_changed(program, files, 100 if values <= 10000 else 20))
        found = subprocess.check_output(["ip", "-n", "host0", "neigh", "show", workload.NEIGHBOUR], text=True)
        # An even number of changes ends with the first of the two.
        if "02:02:00:00:00:01" not in found:
            raise Failed(f"the change did not reach the kernel: {found}")
    return figures


def measure(versions, tasks, options, rounds, results):
    """Fills `results`: {"h" or "i": {values: {version: figures}}}."""
    changers = {version: f"{TOOLS}/change-{version}" for version in versions}
    changers = {version: path for version, path in changers.items() if os.path.exists(path)}
    for task, one in (("h", lambda n: pairs(versions, n, rounds)), ("i", lambda n: changes(changers, n, rounds))):
        if task not in tasks or (task == "i" and not changers):
            continue
        results[task] = {}
        for values in (int(x) for x in options.values.split(",")):
            results[task][values] = one(values)
