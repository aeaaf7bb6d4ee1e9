#!/usr/bin/env python3
"""Many simulated agents beside one etcd, or one Kubernetes API server, and what they cost it. `run` calls it; see README.md.

  measure.py etcd [--agents 50] [--seconds 10] [--rate 20] [--session 5] [--quiet] [--restart [--patience 300]]
  measure.py kubernetes [--agents 50] [--resources 100] [--seconds 10] [--rate 20] [--by all|selector|name]
"""

import argparse
import atexit
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
AGENT = os.environ.get("NSM_AGENT") or sys.exit("NSM_AGENT: which program?")
TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """What a process has used so far."""

    def __init__(self, process):
        self.process = process
        self.folder = f"/proc/{process.pid}"
        atexit.register(lambda: process.poll() is None and process.kill())

    def cpu(self):
        with open(f"{self.folder}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self):
        with open(f"{self.folder}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))

    def written(self):
        """Bytes that it has sent to the disk."""
        with open(f"{self.folder}/io") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))


class Agents(Process):
    """`scale-agents`, which answers lines."""

    def __init__(self, *words):
        program = os.environ.get("SCALE_AGENTS") or os.path.join(os.path.dirname(AGENT), "scale-agents")
        super().__init__(subprocess.Popen([program, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline() or sys.exit("scale-agents has ended"))

    def ask(self, *words):
        self.say(*words)
        return self.answer()

    def wait(self, count, patience=120):
        """Until all have their source. How long that took."""
        start = time.monotonic()
        while (state := self.ask("state"))["connected"] < count:
            if time.monotonic() - start > patience:
                sys.exit(f"not all are there after {patience} s: {state}")
            time.sleep(min(0.05 + (time.monotonic() - start) / 20, 2))
        return time.monotonic() - start

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def metrics(text):
    """Prometheus text as {name{labels}: number}."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, number = line.rpartition(" ")
            found[name] = float(number)
    return found


def total(found, pattern):
    expression = re.compile(pattern)
    return sum(number for name, number in found.items() if expression.fullmatch(name))


class Etcd(Process):
    """A real one, with as little ceremony as a new cluster of one member has."""

    def __init__(self, port=22379):
        self.url, self.data = f"http://127.0.0.1:{port}", tempfile.mkdtemp(prefix="scale-etcd-")
        atexit.register(shutil.rmtree, self.data, ignore_errors=True)
        self.peer = f"http://127.0.0.1:{port + 1}"
        self.start()

    def start(self):
        with open(f"{self.data}/log", "a") as log:
            process = subprocess.Popen(
                ["etcd", "--name", "one", "--data-dir", f"{self.data}/data", "--initial-cluster", f"one={self.peer}"]
                + ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
                + ["--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer, "--metrics", "extensive"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        super().__init__(process)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self.metrics().get("etcd_server_has_leader"):
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit("etcd does not start")

    def metrics(self):
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            return metrics(answer.read().decode())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def look(self):
        found = self.metrics()
        calls = lambda kind, method: total(found, rf'grpc_server_msg_{kind}_total\{{.*grpc_method="{method}".*\}}')
        return {
            "cpu": self.cpu(), "disk": self.written(), "wire": wire(), "time": time.monotonic(),
            "commits": found["etcd_server_proposals_committed_total"],
            "fsyncs": found["etcd_disk_wal_fsync_duration_seconds_count"]
            + found["etcd_disk_backend_commit_duration_seconds_count"],
            "db": found["etcd_mvcc_db_total_size_in_bytes"],
            "in": found["etcd_network_client_grpc_received_bytes_total"],
            "out": found["etcd_network_client_grpc_sent_bytes_total"],
            "beats": calls("received", "LeaseKeepAlive"), "reads": calls("received", "Range"),
            "writes": calls("received", "Txn"), "events": found["etcd_debugging_mvcc_events_total"],
        }


def machine():
    """Seconds that all cores together were busy, and at all."""
    with open("/proc/stat") as file:
        fields = [int(x) / TICK for x in file.readline().split()[1:]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def wire():
    """Bytes that went over the loopback interface of this network namespace, with all their headers."""
    with open("/proc/self/net/dev") as file:
        return next(int(line.split()[1]) for line in file if line.split()[0] == "lo:")


def etcd(options):
    server = Etcd()
    words = ["--quiet"] if options.quiet else []
    ramp = options.agents / 400
    agents = Agents("etcd", server.url.removeprefix("http://"), "--agents", options.agents, "--ramp", ramp,
                    "--session-seconds", options.session, "--values", options.values, *words)
    start = time.monotonic()
    agents.wait(options.agents, 300)
    print(f"# {options.agents} agents are there after {time.monotonic() - start:.1f} s", file=sys.stderr)
    # The first status of all is over.
    time.sleep(min(11, options.seconds))
    before, busy, own = server.look(), machine(), agents.cpu()
    result = agents.ask("changes", options.seconds, options.rate)
    after, busy_after = server.look(), machine()
    time_taken = after["time"] - before["time"]
    rate = {name: (after[name] - before[name]) / time_taken for name in after if name != "time"}
    result |= {
        "agents": options.agents, "session": options.session, "quiet": options.quiet, "seconds": round(time_taken, 1),
        "etcd_cores": round(rate["cpu"], 3), "simulator_cores": round((agents.cpu() - own) / time_taken, 3),
        "machine_busy": round((busy_after[0] - busy[0]) / (busy_after[1] - busy[1]), 3),
        "etcd_mib": round(server.memory()), "simulator_mib": round(agents.memory()),
    } | {f"{name}_per_s": round(rate[name], 1) for name in rate if name != "cpu"}
    # A disk that stalls for long costs connections.
    agents.wait(options.agents, 300)
    if result["losses"]:
        result["reasons"] = agents.ask("state")["reasons"]
    if options.restart:
        print(f"# before the restart: {json.dumps(result)}", file=sys.stderr)
        result["restart"] = restart(server, agents, options)
    agents.end()
    server.kill()
    return result


def restart(server, agents, options):
    """etcd is killed and comes back: how long until all agents are there, and whether their writes stay in step then."""
    server.kill()
    time.sleep(5)
    reads, cpu = agents.ask("state")["reads"], agents.cpu()
    server.start()
    start = time.monotonic()
    taken = agents.wait(options.agents, options.patience)
    found = server.metrics()
    calls = lambda method: total(found, rf'grpc_server_started_total\{{.*grpc_method="{method}".*\}}')
    result = {
        "back_s": round(taken, 2), "etcd_cpu_s": server.cpu(), "simulator_cpu_s": round(agents.cpu() - cpu, 2),
        "dials": calls("Status"), "reads": calls("Range"), "leases": calls("LeaseGrant"),
    }
    # Writes in each second of the next ones.
    counts = []
    for number in range(22):
        time.sleep(max(0, start + taken + number + 1 - time.monotonic()))
        counts.append(server.look()["writes"])
    steps = [b - a for a, b in zip(counts, counts[1:])][5:]
    return result | {"writes_in_a_second": {"mean": sum(steps) / len(steps), "most": max(steps)}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["etcd", "kubernetes"])
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--session", type=int, default=5)
    parser.add_argument("--values", type=int, default=5)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--patience", type=float, default=300)
    parser.add_argument("--resources", type=int, default=100)
    parser.add_argument("--by", choices=["all", "selector", "name"], default="all")
    options = parser.parse_args()
    # What was started ends with this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.kind == "etcd":
        result = etcd(options)
    else:
        import kubernetes

        result = kubernetes.measure(options, Agents, Process)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
