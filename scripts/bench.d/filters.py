"""Packet filter rules in many pods: (s) of scripts/bench.

Each pod has a table of nftables that masquerades, and a rule chain. Beside the agent: one `nft -f` for each namespace with all
of the pod's rules, which is what a script would do.
"""

import subprocess
import time

from daemon import PROBE, Daemon, Failed, alternating, run, write
from show import progress


def yaml(n):
    """The configuration, of two values for each pod."""
    tables, chains = [], []
    for i in range(n):
        place = f"namespace: {{type: NSID, reference: p{i}}}"
        tables.append(f"    - {{name: nat{i}, table: nat-out, family: ip, {place}, masquerade: [{{out: eth0, from: 10.0.0.0/8}}]}}\n")
        chains.append(
            f"    - {{name: in{i}, {place}, table: FILTER, chainType: INPUT, defaultPolicy: ACCEPT, rules: "
            "['-i lo -j ACCEPT', '-p tcp --dport 22 -j ACCEPT', '-p icmp -j DROP']}\n"
        )
    return "linuxConfig:\n  nftables:\n" + "".join(tables) + "  RuleChain:\n" + "".join(chains)


RULES = """\
table ip nat-out {
	chain postrouting-nat {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "eth0" ip saddr 10.0.0.0/8 masquerade
	}
}
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy accept;
		iifname "lo" counter accept
		tcp dport 22 counter accept
		ip protocol icmp counter drop
	}
}
"""


def flush(n):
    """As a firewall does that is loaded anew; not counted."""
    for i in range(n):
        subprocess.check_call(["ip", "netns", "exec", f"p{i}", "nft", "flush", "ruleset"])


def rules_of(i):
    command = ["ip", "netns", "exec", f"p{i}", "nft", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def expect(n, tool, there=True):
    for i in {0, n - 1}:
        if ("masquerade" in rules_of(i) and "22" in rules_of(i)) != there:
            raise Failed(f"{tool}: the rules of p{i} are {'missing' if there else 'still there'}: {rules_of(i)}")


def figures_of(result):
    return {key: result[key] for key in ("wall_ms", "cpu_ms")}


def by_nft(n):
    """One `nft -f` for each namespace. What `ip netns exec` takes to get there is counted, too: a script has nothing less."""
    path = write("rules.nft", RULES)
    total = {"wall_ms": 0, "cpu_ms": 0}
    for i in range(n):
        for key, value in figures_of(run("ip", "netns", "exec", f"p{i}", "nft", "-f", path)).items():
            total[key] += value
    expect(n, "nft")
    return total


def by_agent(program, n):
    """Apply from nothing, unchanged, after a flush of all, and delete."""
    path = write("filters.yaml", yaml(n))
    figures = {"apply": figures_of(run(program, "apply", path))}
    expect(n, "apply")
    figures["unchanged"] = figures_of(run(program, "apply", path))
    flush(n)
    figures["flushed"] = figures_of(run(program, "apply", path))
    expect(n, "apply after a flush")
    figures["delete"] = figures_of(run(program, "delete", "--all", "--yes"))
    for i in {0, n - 1}:
        if "masquerade" in rules_of(i) or "vnf-agent" in rules_of(i):
            raise Failed(f"delete left rules in p{i}: {rules_of(i)}")
    flush(n)
    return figures


def repair(program, n, reps):
    """A daemon beside so many values: one namespace is flushed; until its rules are back, and what it costs."""
    costs, times = [], []
    with Daemon(program, yaml(n)) as daemon:
        daemon.settle(1)
        for rep in range(reps):
            pod = rep % n
            start = time.perf_counter()

            def flushed():
                subprocess.check_call(["ip", "netns", "exec", f"p{pod}", "nft", "flush", "ruleset"])
                while not ("masquerade" in (text := rules_of(pod)) and "22" in text):
                    if time.perf_counter() - start > 60:
                        raise Failed(f"the rules of p{pod} did not come back")
                return (time.perf_counter() - start) * 1e3

            cost, took = daemon.cost(flushed)
            costs.append(cost["cpu_ms"])
            times.append(took)
    run(program, "delete", "--all", "--yes")
    flush(n)
    middle = len(times) // 2
    return {"cpu_ms": sorted(costs)[middle], "wall_ms": sorted(times)[middle]}


def measure(versions, sizes, options, results):
    for n in sizes:
        run(PROBE, "setup", str(n))
        try:
            progress(f"N={n}: one nft for each namespace")
            rounds = [by_nft(n)]
            flush(n)
            progress(f"N={n}: rules by the agent")
            results[n] = alternating(versions, options.reps, lambda program: by_agent(program, n))
            progress(f"N={n}: rules by the agent, repaired")
            for version, program in versions.items():
                results[n][version]["repair"] = repair(program, n, min(options.breaks, 20))
            rounds.append(by_nft(n))
            results[n]["nft"] = {key: min(r[key] for r in rounds) for key in rounds[0]}
        finally:
            run(PROBE, "teardown", str(n))


TASKS = {
    "apply": "apply from nothing",
    "unchanged": "apply again, unchanged",
    "flushed": "apply after all was flushed",
    "delete": "delete all",
    "repair": "one pod flushed beside a daemon",
}


def report(results, ratio, table):
    rows = [["(s) a masquerade table and a rule chain per pod", "N", "nft wall/CPU ms", "agent", "baseline", "agent:nft wall", "CPU"]]
    for n, of in results.items():
        nft = of["nft"]
        both = lambda figures: f"{figures['wall_ms']:.1f} / {figures['cpu_ms']:.1f}"
        for task, name in TASKS.items():
            agent = of["agent"][task]
            baseline = both(of["baseline"][task]) if "baseline" in of else "–"
            whole = task in ("apply", "flushed")
            compared = [ratio(agent[key], nft[key]) for key in ("wall_ms", "cpu_ms")] if whole else ["–", "–"]
            rows.append([name, n, both(nft) if whole else "–", both(agent), baseline, *compared])
    if len(rows) > 1:
        table(rows)
