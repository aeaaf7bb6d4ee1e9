"""What the parts of scripts/bench run: commands, whose cost is that of the whole process, and the daemon."""

import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time

TOOLS = os.environ["TOOLS"]
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


def write(name, text):
    """A file of the bench, in one step: whoever watches its place sees all of it or nothing."""
    path = f"{WORK}/{name}"
    with open(path + "~", "w") as file:
        file.write(text)
    os.rename(path + "~", path)
    return path


def merged(rounds, key=""):
    """Figures of several rounds as one: medians. Of what was lost, the most."""
    first = rounds[0]
    if isinstance(first, dict):
        return {k: merged([r[k] for r in rounds if k in r], k) for k in first}
    if isinstance(first, (int, float)):
        return max(rounds) if key == "lost" else statistics.median(rounds)
    return first


def alternating(versions, rounds, measure):
    """Measures each version's program in turn, so often: {version: figures}."""
    figures = {version: [] for version in versions}
    for number in range(rounds):
        for version in versions if number % 2 == 0 else reversed(versions):
            figures[version].append(measure(versions[version]))
    return {version: merged(all_rounds) for version, all_rounds in figures.items()}


class Daemon:
    """`PROGRAM run` on a folder of its own; `ready_ms` is the time from exec to READY=1."""

    def __init__(self, program, config=None, options=()):
        self.folder = tempfile.mkdtemp(dir=WORK)
        self.config = f"{self.folder}/network.d"
        os.mkdir(self.config)
        if config:
            self.put(config)
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify.bind(f"{self.folder}/notify")
        notify.settimeout(300)
        self.log = open(f"{self.folder}/log", "w")
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [program, "run", "--config", self.config, "--socket", f"{self.folder}/socket", *options],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env={**os.environ, "NOTIFY_SOCKET": f"{self.folder}/notify"},
        )
        # The process's own CPU clock, threads that ended included; source: CPUCLOCK_SCHED, linux/posix-timers.h.
        self.clock = (~self.process.pid << 3) | 2
        try:
            while b"READY=1" not in notify.recv(4096):
                pass
        except TimeoutError:
            self.stop()
            raise Failed(f"the daemon did not get ready:\n{self.says()[-2000:]}")
        finally:
            notify.close()
        self.ready_ms = (time.perf_counter() - start) * 1e3

    def says(self):
        with open(self.log.name) as log:
            return log.read()

    def put(self, text):
        """A new file in place of the old, by rename."""
        os.rename(write("put", text), f"{self.config}/w.yaml")

    def cpu_ms(self):
        return time.clock_gettime(self.clock) * 1e3

    def settle(self, quiet=0.4, limit=300):
        """Waits until it uses hardly any CPU, as a wake-up for nothing is no work; when it last did."""
        last, since = self.cpu_ms(), time.perf_counter()
        end = since + limit
        while time.perf_counter() < end:
            time.sleep(0.005)
            now = self.cpu_ms()
            busy, last = now - last > 0.3, now
            if busy:
                since = time.perf_counter()
            elif time.perf_counter() - since > quiet:
                return since
        raise Failed("the daemon does not come to rest")

    def cost(self, change):
        """What a change takes until the daemon rests again, CPU and wall milliseconds; and what `change` returned."""
        before, start = self.cpu_ms(), time.perf_counter()
        result = change()
        end = self.settle()
        return {"cpu_ms": self.cpu_ms() - before, "wall_ms": (end - start) * 1e3}, result

    def status(self, field):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failed(f"no {field} in /proc/…/status")

    def wakeups(self):
        """How often its threads have waited for something, and were woken."""
        total = 0
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            for line in open(f"/proc/{self.process.pid}/task/{thread}/status"):
                if line.startswith("voluntary_ctxt_switches"):
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
