"""What the mesh's measurements run: a mesh, and agents with clients and with endpoints, each in a namespace of its own.

In private namespaces only. `/run/nsm-agent`, where agents have the sockets of their endpoints, is a file system of its own.
"""

import json
import os
import signal
import subprocess
import time

SERVICE = "db"


class Failed(Exception):
    pass


def wait(what, condition, seconds=120, pause=0.02):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"not in {seconds} s: {what}")
        time.sleep(pause)


# ---- processes ----


class Process:
    """A mesh or an agent, with its log."""

    def __init__(self, folder, name, command, namespace=None, environment=()):
        self.name, self.log = name, f"{folder}/{name}.log"
        if namespace:
            command = ["ip", "netns", "exec", namespace, *command]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **dict(environment)}
            )
        # The process's own CPU clock, threads that ended included; source: CPUCLOCK_SCHED, linux/posix-timers.h.
        self.clock = (~self.process.pid << 3) | 2

    def cpu_ms(self):
        return time.clock_gettime(self.clock) * 1e3

    def says(self, text):
        with open(self.log, errors="replace") as log:
            return text in log.read()

    def figures(self):
        """What it holds: resident and peak memory in MB, descriptors, threads."""
        status = dict(line.split(":", 1) for line in open(f"/proc/{self.process.pid}/status"))
        return {
            "rss_mb": int(status["VmRSS"].split()[0]) / 1024,
            "anon_mb": int(status["RssAnon"].split()[0]) / 1024,
            "peak_mb": int(status["VmHWM"].split()[0]) / 1024,
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "threads": int(status["Threads"]),
        }

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Net:
    """Namespaces, a mesh, and agents in them; all gone at the end."""

    def __init__(self, agent, probe, work, namespaces, environment=()):
        self.agent, self.probe, self.namespaces = agent, probe, list(namespaces)
        self.folder = subprocess.check_output(["mktemp", "-d", "-p", work], text=True).strip()
        self.processes = {}
        self.environment = {
            "NSM_CONNECT_TO": f"unix://{self.folder}/nsm.io.sock",
            "SPIFFE_ENDPOINT_SOCKET": f"unix://{self.folder}/workload.sock",
            **dict(environment),
        }

    def __enter__(self):
        os.makedirs("/run/nsm-agent", exist_ok=True)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/nsm-agent"])
        for name in self.namespaces:
            subprocess.check_call(["ip", "netns", "add", name])
            subprocess.check_call(["ip", "-n", name, "link", "set", "lo", "up"])
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.end()
        for name in self.namespaces:
            subprocess.call(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)
        subprocess.call(["umount", "/run/nsm-agent"])

    def start(self, name, command, namespace=None, environment=()):
        self.processes[name] = Process(
            self.folder, name, [self.agent, *command], namespace, {**self.environment, **dict(environment)}
        )
        return self.processes[name]

    def mesh(self):
        # A baseline may be older than rights are, when everybody had them all.
        known = subprocess.check_output([self.agent, "mesh", "--help"], text=True)
        rights = ["--open", "--offer", "*=any"] if "--offer" in known else []
        process = self.start(
            "mesh",
            ["mesh", *rights, "--listen", self.environment["NSM_CONNECT_TO"], "--state-dir", f"{self.folder}/state"]
            + ["--workload-socket", f"{self.folder}/workload.sock"],
        )
        wait("the mesh", lambda: os.path.exists(f"{self.folder}/nsm.io.sock"))
        return process

    def run(self, name, text=None):
        """An agent in the namespace of its name. Label and protocol number are its own, as agents see all namespaces here."""
        os.makedirs(f"{self.folder}/{name}.d", exist_ok=True)
        if text is not None:
            self.put(name, "network", text)
        command = ["run", "--label", name, "--protocol", str(100 + self.namespaces.index(name))]
        command += ["--config", f"{self.folder}/{name}.d", "--socket", f"{self.folder}/{name}.sock"]
        process = self.start(name, command, name, {"NSM_NAME": name})
        wait(f"{name}'s configuration", lambda: process.says("configuration read"))
        return process

    def put(self, name, file, text):
        with open(f"{self.folder}/{name}.d/.new", "w") as new:
            new.write(text)
        os.rename(f"{self.folder}/{name}.d/.new", f"{self.folder}/{name}.d/{file}.yaml")

    def connect(self, name, file, text, count, target=None):
        """More clients by another file; figures of the probe."""
        return self.probed(name, self.probing(name, file, text, count, target))

    def probing(self, name, file, text, count, target=None):
        new = f"{self.folder}/{name}.new"
        with open(new, "w") as out:
            out.write(text)
        command = [self.probe, "connect", name, self.processes[name].log, new, f"{self.folder}/{name}.d/{file}.yaml"]
        command += [str(count)] + ([target] if target else [])
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def probed(self, name, probe):
        out, error = probe.communicate()
        if probe.returncode:
            raise Failed(f"{name}: {error}{self.complaints()}")
        return json.loads(out)

    def connect_some(self, numbers, per_agent, paired):
        """Clients by another file, of several agents at once if need be; the slowest one's figures."""
        probes = {}
        for name, own in shared(numbers, per_agent).items():
            probes[name] = self.probing(name, f"c{own[0]}", clients(own, paired), len(own))
        results = [self.probed(name, probe) for name, probe in probes.items()]
        return {key: max(r[key] for r in results) for key in results[0]}

    def run_clients(self, n, per_agent):
        for name in shared(range(n), per_agent):
            self.run(name, "cnfConfig: {}\n")

    def complaints(self):
        """The last warnings of all."""
        lines = []
        for process in self.processes.values():
            with open(process.log, errors="replace") as log:
                lines += [f"{process.name}: {line[:300]}" for line in log if " warn " in line or " error " in line][-3:]
        return "\n" + "".join(lines)

    def status(self, name, prefix="config/cnf/"):
        command = [self.agent, "status", "--socket", f"{self.folder}/{name}.sock", "--output", "json", prefix]
        result = subprocess.run(command, capture_output=True, text=True)
        # 1: some are not as they should be.
        return json.loads(result.stdout).get("values", []) if result.returncode in (0, 1) and result.stdout else []

    def links(self, namespace):
        links = json.loads(subprocess.check_output(["ip", "-j", "-n", namespace, "link"]))
        return [link["ifname"] for link in links if link["ifname"] != "lo"]

    def cpu(self):
        return {name: process.cpu_ms() for name, process in self.processes.items()}

    def since(self, before):
        return {name: self.processes[name].cpu_ms() - cpu for name, cpu in before.items()}

    def settle(self, quiet=0.6, limit=120):
        """Waits until the processes use hardly any CPU."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            before = self.cpu()
            time.sleep(quiet)
            if sum(self.since(before).values()) < 50 * quiet:
                return
        raise Failed("the mesh does not come to rest")


# ---- configurations ----


def shared(numbers, per_agent):
    """Which agent has which clients."""
    agents = {}
    for i in numbers:
        agents.setdefault(f"client{i // per_agent}", []).append(i)
    return agents


def grouped(figures):
    """The agents with clients taken together."""
    total = {}
    for name, value in figures.items():
        name = name.rstrip("0123456789")
        if isinstance(value, dict):
            total[name] = {k: total.get(name, {}).get(k, 0) + v for k, v in value.items()}
        else:
            total[name] = total.get(name, 0) + value
    return total


def address(base, i):
    return f"{base}.{i >> 8}.{i & 255}"


def pair(i):
    """The addresses of the client and of the endpoint of a pair. They are each other's network: an endpoint gets no route to an
    address that its client brings."""
    return f"{address('10.65', 2 * i)}/31", f"{address('10.65', 2 * i + 1)}/31"


def clients(numbers, paired=False):
    """Clients with an address each; `paired`: of services of their own, so that both ends have one, and echoes are sent."""
    return "cnfConfig:\n  NetworkServiceClient_list:\n" + "".join(
        f"    - {{name: c{i}, networkService: {SERVICE}{i if paired else ''}, interfaceName: n{i}, "
        f"ipAddresses: [{pair(i)[0] if paired else address('10.65', i) + '/32'}]}}\n"
        for i in numbers
    )


def endpoints(numbers=None):
    """One service for any number of clients; with numbers, one service for each with an address."""
    head = "cnfConfig:\n  NetworkServiceEndpoint_list:\n"
    if numbers is None:
        return head + f"    - {{networkService: {SERVICE}, interfaceNamePrefix: e}}\n"
    return head + "".join(
        f"    - {{networkService: {SERVICE}{i}, interfaceNamePrefix: e{i}x, singleClient: true, "
        f"ipAddresses: [{pair(i)[1]}]}}\n"
        for i in numbers
    )
