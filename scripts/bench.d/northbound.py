"""What clients of the gRPC API, of REST and of etcd wait for, beside so many values in force."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time

from daemon import WORK, Daemon, Failed, run, write
from show import progress, table, verdict

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "..", "Tests", "Peer")
PARTS = "tuvwxy"
ROUTES = "config/linux/l3/v2/route/"

# What the ancestor took on the machine of this project, and with 5 values for each pod: 5 N of them.
THEIRS = {
    "bulk": "≈ 11 ms a value: 1 500 values 16.5 s",
    "again": "1 500 values 0.7 s",
    "rss": "35 MB",
}


def python():
    """The program that has gRPC; nil where it can't be had."""
    made = subprocess.run([f"{PEER}/setup"], capture_output=True, text=True)
    return f"{made.stdout.strip()}/venv/bin/python" if made.returncode == 0 else None


class Etcd:
    def __init__(self):
        self.endpoint = "127.0.0.1:22379"
        peer = "http://127.0.0.1:22380"
        self.folder = f"{WORK}/etcd"
        self.log = open(f"{WORK}/etcd.log", "w")
        urls = [f"http://{self.endpoint}", f"http://{self.endpoint}", peer, peer]
        names = ["--listen-client-urls", "--advertise-client-urls", "--listen-peer-urls", "--initial-advertise-peer-urls"]
        self.process = subprocess.Popen(
            ["etcd", "--name", "t", "--data-dir", self.folder, "--initial-cluster", f"t={peer}"]
            + [word for pair in zip(names, urls) for word in pair],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 30
        while self.ctl("endpoint", "health").returncode:
            if time.monotonic() > end:
                raise Failed("etcd does not start")
            time.sleep(0.05)

    def ctl(self, *arguments):
        return subprocess.run(["etcdctl", "--endpoints", self.endpoint, *arguments], capture_output=True,
                              env={**os.environ, "ETCDCTL_API": "3"})

    def clear(self):
        self.ctl("del", "--prefix", "/vnf-agent/")

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


class Faces(Daemon):
    """The daemon with the faces that are asked for."""

    count = 0

    def __init__(self, program, *options, grpc=True, rest=False, etcd=None, config="linuxConfig: {}\n"):
        Faces.count += 1
        base = f"{WORK}/n{Faces.count}"
        self.grpc, self.rest = f"unix://{base}.grpc", f"{base}.rest"
        options = ["--settings", "/dev/null", "--state-dir", f"{base}.state", *options]
        if grpc:
            options += ["--grpc-listen", self.grpc]
        if rest:
            options += ["--http-listen", f"unix://{self.rest}"]
        if etcd:
            options += ["--etcd-endpoints", etcd.endpoint]
        super().__init__(program, config, options)

    def get(self, target):
        """The bytes and the milliseconds of an answer."""
        connection = http.client.HTTPConnection("localhost", timeout=120)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.rest)
        start = time.perf_counter()
        connection.request("GET", target)
        answer = connection.getresponse()
        size = 0
        while data := answer.read(65536):
            size += len(data)
        connection.close()
        if answer.status != 200:
            raise Failed(f"{target}: {answer.status}")
        return size, (time.perf_counter() - start) * 1e3


def routes():
    return json.loads(subprocess.check_output(["ip", "-j", "route", "show", "via", "10.100.0.2"]) or "[]")


def wait_for_routes(count, limit=300):
    end = time.monotonic() + limit
    while len(routes()) != count:
        if time.monotonic() > end:
            raise Failed(f"{len(routes())} routes instead of {count}")
        time.sleep(0.02)


def yaml(count):
    lines = ["linuxConfig:", "  interfaces:", "    - {name: big, type: BRIDGE, enabled: true, ipAddresses: [10.100.0.1/16]}"]
    lines.append("  routes:")
    for n in range(count):
        there = f"172.{16 + n // 65536}.{n // 256 % 256}.{n % 256}/32"
        lines.append(f"    - {{outgoingInterface: big, dstNetwork: {there}, gwAddr: 10.100.0.2}}")
    return "\n".join(lines) + "\n"


def measure(program, tasks, options, results):
    """Fills `results`, part by part."""
    interpreter = python()
    if not interpreter:
        progress("(t) to (y) are left out: Tests/Peer/setup does not work here")
        return
    has_etcd = bool(shutil.which("etcd") and shutil.which("etcdctl"))
    client = lambda *words: json.loads(run(interpreter, f"{HERE}/northclient.py", *map(str, words))["text"])
    clean = lambda: run(program, "delete", "--all", "--yes")
    many = options.many_values
    subprocess.check_call(["ip", "link", "set", "lo", "up"])
    for count in [0, *[x for x in (1000, many) if x <= many]] if tasks & set("tu") else []:
        progress(f"northbound: calls beside {count} values")
        with Faces(program) as daemon:
            if count:
                client("bulk", daemon.grpc, count)
                daemon.settle()
            if "t" in tasks:
                before = daemon.cpu_ms()
                found = client("latency", daemon.grpc, options.calls)
                found["cpu_ms"] = (daemon.cpu_ms() - before) / options.calls
                results.setdefault("t", {})[count] = found
            for clients in (1, 32) if "u" in tasks else ():
                before = daemon.cpu_ms()
                found = client("many", daemon.grpc, options.calls, clients)
                found["cpu_ms"] = daemon.cpu_ms() - before
                results.setdefault("u", {})[f"{count}, {clients}"] = found
        clean()
    path = write("many.yaml", yaml(many))
    if tasks & set("vw"):
        progress(f"northbound: apply of {many} values")
        found = run(program, "apply", path)
        results["apply"] = {"wall_ms": found["wall_ms"], "cpu_ms": found["cpu_ms"]}
        clean()
    if tasks & set("vx"):
        with Faces(program, rest=True) as daemon:
            progress(f"northbound: one call with {many} values")
            found, start = [], daemon.cpu_ms()
            for _ in range(2):
                figures = client("bulk", daemon.grpc, many)
                figures["cpu_ms"], start = daemon.cpu_ms() - start, daemon.cpu_ms()
                found.append(figures)
            wait_for_routes(many)
            results["v"] = {"first": found[0], "again": found[1]}
            if "x" in tasks:
                progress("northbound: dump")
                daemon.settle()
                resident = daemon.status("VmRSS") / 1024
                for view in ("NB", "cached", "SB"):
                    target = f"/scheduler/dump?key-prefix={ROUTES}&view={view}"
                    times = sorted(daemon.get(target) for _ in range(5))
                    results.setdefault("x", {})[view] = {
                        "mb": times[0][0] / 1e6, "wall_ms": sorted(t for _, t in times)[2],
                        "rss_before_mb": resident, "rss_after_mb": daemon.status("VmRSS") / 1024}
        clean()
    if "w" in tasks and has_etcd:
        results["w"] = from_etcd(program, client, clean, options, many)
    if "y" in tasks:
        progress("northbound: all faces, idle")
        etcd = Etcd() if has_etcd else None
        with Faces(program, rest=True, etcd=etcd) as daemon:
            daemon.get("/scheduler/status")
            client("latency", daemon.grpc, 1)
            daemon.settle()
            results["y"] = {"ready_ms": daemon.ready_ms, "rss_mb": daemon.status("VmRSS") / 1024}
        subprocess.check_call(["strip", "-o", f"{WORK}/stripped", program])
        results["y"]["binary_mb"] = os.path.getsize(f"{WORK}/stripped") / 1e6
        clean()
        if etcd:
            etcd.stop()


def from_etcd(program, client, clean, options, many):
    found = {}
    etcd = Etcd()
    try:
        progress("northbound: puts")
        client("keys", etcd.endpoint, 0)
        with Faces(program, grpc=False, etcd=etcd) as daemon:
            found["put"] = client("puts", etcd.endpoint, options.calls // 2)
            progress(f"northbound: {options.rate} puts in a second for {options.load:.0f} s")
            before = daemon.cpu_ms()
            sent = client("load", etcd.endpoint, options.rate, options.load, 1000)
            end, waited = time.monotonic() + 60, time.perf_counter()
            while True:
                there = {route["dst"] + "/32": route.get("metric", 0) for route in routes()}
                lost = [n for n, metric in sent["last"].items() if there.get(n) != metric]
                if not lost or time.monotonic() > end:
                    break
                time.sleep(0.02)
            found["load"] = {
                "puts": sent["puts"], "seconds": sent["seconds"], "lost": len(lost),
                "behind_ms": (time.perf_counter() - waited) * 1e3, "cpu_ms": daemon.cpu_ms() - before,
                "rss_mb": daemon.status("VmHWM") / 1024}
        clean()
        etcd.clear()
        progress(f"northbound: start with {many} keys")
        client("keys", etcd.endpoint, many)
        start = time.perf_counter()
        with Faces(program, grpc=False, etcd=etcd) as daemon:
            wait_for_routes(many)
            found["start"] = {"wall_ms": (time.perf_counter() - start) * 1e3, "ready_ms": daemon.ready_ms}
            daemon.settle()
            found["start"]["cpu_ms"], found["start"]["rss_mb"] = daemon.cpu_ms(), daemon.status("VmHWM") / 1024
        clean()
    finally:
        etcd.stop()
    return found


def report(results):
    """One table: ours, the aim, and what the ancestor took where that was seen."""
    rows = [["northbound", "ours", "CPU ms", "aim", "the ancestor"]]
    for count, of in results.get("t", {}).items():
        p50 = of["p50_ms"] - of["nothing_p50_ms"]
        rows.append([f"(t) SetConfig of one address beside {count} values: p50, p99",
                     f"{of['p50_ms']:.2f}, {of['p99_ms']:.2f} ms (a call that does nothing {of['nothing_p50_ms']:.2f})",
                     f"{of['cpu_ms']:.2f}", verdict(p50, 1, "p50 beyond that"), ""])
    for what, of in results.get("u", {}).items():
        count, clients = what.split(", ")
        how = "in turn" if clients == "1" else f"from {clients} clients"
        rows.append([f"(u) {of['calls']} SetConfig {how} beside {count} values", f"{of['wall_ms']:.0f} ms", f"{of['cpu_ms']:.0f}",
                     "", ""])
    apply = results.get("apply")
    if apply:
        rows.append(["(v) apply of many values, as a command", f"{apply['wall_ms']:.0f} ms", f"{apply['cpu_ms']:.0f}", "", ""])
    if "v" in results:
        first, again = results["v"]["first"], results["v"]["again"]
        aim = verdict(round(first["wall_ms"] / apply["wall_ms"], 2), 1.5, "× apply") if apply else ""
        rows.append(["(v) one SetConfig with as many", f"{first['wall_ms']:.0f} ms", f"{first['cpu_ms']:.0f}", aim, THEIRS["bulk"]])
        rows.append(["(v) the same again", f"{again['wall_ms']:.0f} ms", f"{again['cpu_ms']:.0f}", "", THEIRS["again"]])
    if "w" in results:
        put, load, start = (results["w"][name] for name in ("put", "load", "start"))
        rows.append(["(w) a put's answer to address in kernel: p50, p99", f"{put['p50_ms']:.2f}, {put['p99_ms']:.2f} ms", "",
                     verdict(put["p50_ms"], 3, "p50"), ""])
        rows.append([f"(w) {load['puts']} puts in {load['seconds']:.0f} s", f"{load['lost']} lost, {load['behind_ms']:.0f} ms behind",
                     f"{load['cpu_ms']:.0f}", verdict(load["lost"], 0, "lost"), ""])
        aim = verdict(round(start["wall_ms"] / apply["wall_ms"], 2), 1.5, "× apply") if apply else ""
        rows.append(["(w) start with as many keys: all in the kernel", f"{start['wall_ms']:.0f} ms", f"{start['cpu_ms']:.0f}", aim, ""])
    for view, of in results.get("x", {}).items():
        growth = of["rss_after_mb"] - of["rss_before_mb"]
        rows.append([f"(x) REST dump of them, {view}", f"{of['wall_ms']:.0f} ms for {of['mb']:.1f} MB, resident {growth:+.1f} MB", "",
                     verdict(of["wall_ms"], 150, "ms"), ""])
    if "y" in results:
        of = results["y"]
        rows.append(["(y) resident with all faces, idle", f"{of['rss_mb']:.1f} MB", "", verdict(of["rss_mb"], 40, "MB"), THEIRS["rss"]])
        rows.append(["(y) exec to ready with all faces", f"{of['ready_ms']:.0f} ms", "", "", ""])
        rows.append(["(y) program, stripped", f"{of['binary_mb']:.1f} MB", "", "", ""])
    if len(rows) > 1:
        table(rows)
