"""What the scenarios of the mesh share: its programs, each in the network namespace of its pod, and traffic between them."""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

from harness import AGENT, WORK, agent, check, ip, write

PEER = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "Peer", "peer")
MANAGER = f"unix://{WORK}/nsm.io.sock"
CLIENT, ENDPOINT = "config/cnf/nsm/v1/client/", "config/cnf/nsm/v1/endpoint/"

# Agents of real pods each have an /etc, a /run and names of namespaces of their own; these share all of that. So that they don't
# meet the sockets of endpoints of others on this machine, /run/nsm-agent is of this scenario alone.
os.makedirs("/run/nsm-agent", exist_ok=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/nsm-agent"], check=True)

_started = []


@atexit.register
def _end():
    for program in _started:
        program.kill()


def within(command, namespace):
    """The command in a network namespace; the process is the command itself."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--", *command] if namespace else command


class Program:
    """One program, which can be started again and again. Its log is one file."""

    def __init__(self, name, command, namespace=None, env=None):
        self.name, self.command, self.namespace = name, command, namespace
        self.env = {**os.environ, **(env or {})}
        self.path = os.path.join(WORK, f"{name}.log")
        self.process = None
        _started.append(self)

    def start(self):
        """Starts it unless it runs."""
        if self.runs:
            return self
        with open(self.path, "ab") as log:
            self.process = subprocess.Popen(
                within(self.command, self.namespace), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env
            )
        return self

    @property
    def runs(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.runs:
            self.process.send_signal(number)

    def kill(self):
        """kill -9, also of one that is stopped."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def stop(self):
        """SIGTERM; its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def log(self):
        try:
            with open(self.path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def says(self, text, count=1):
        return self.log().count(text) >= count

    def descriptors(self):
        """What its descriptors are, by number."""
        folder = f"/proc/{self.process.pid}/fd"
        found = {}
        for number in os.listdir(folder):
            try:
                found[int(number)] = os.readlink(f"{folder}/{number}")
            except FileNotFoundError:
                pass
        return found


class Workload(Program):
    """The Workload API of the independent peer. Its authority outlives it, and all of them share it; who asks is known by
    NSM_NAME."""

    def __init__(self, name="workload"):
        if subprocess.run([PEER, "--help"], capture_output=True).returncode:
            print("skipped: Tests/Peer/setup has not run")
            sys.exit(77)
        self.socket = os.path.join(WORK, f"{name}.sock")
        super().__init__(name, [PEER, "workload", "--socket", self.socket, "--ca", os.path.join(WORK, "ca.pem")])

    def start(self):
        if self.runs:
            return self
        count = self.log().count('"event": "ready"')
        super().start()
        # Whoever comes second must find the authority of the first.
        wait(lambda: self.says('"event": "ready"', count + 1))
        return self

    def rotate(self):
        self.signal(signal.SIGUSR1)

    def issued(self, name):
        """How many identities somebody was given."""
        return len(re.findall(rf'"event": "issued".*"spiffe://[^"]*/{name}"', self.log()))


class Mesh(Program):
    """`nsm-agent mesh`, with identities from a Workload API, or from an authority of its own, which serves its clients, too."""

    def __init__(self, workload=None, clients=None):
        own = f"unix://{workload.socket if workload else WORK + '/own.sock'}"
        self.identities = f"unix://{clients.socket}" if clients else own
        command = [AGENT, "mesh", "--open", "--listen", MANAGER, "--state-dir", f"{WORK}/state", "--workload-socket", f"{WORK}/own.sock"]
        super().__init__("mesh", command, env={"SPIFFE_ENDPOINT_SOCKET": own, "NSM_NAME": "mesh"})


def registry(mesh):
    """The names of endpoints that are registered, asked for by the independent peer."""
    command = [PEER, "find", "--workload-api", mesh.identities, "--connect-to", MANAGER]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    found = [json.loads(line) for line in result.stdout.splitlines() if '"found"' in line]
    return found[0]["endpoints"] if found else [result.stderr[-500:]]


class Pod(Program):
    """A network namespace with an `nsm-agent run`."""

    count = 0

    def __init__(self, name, mesh, content=None, lifetime="12s", options=(), **env):
        Pod.count += 1
        self.config = os.path.join(WORK, f"{name}.d")
        self.socket = os.path.join(WORK, f"{name}.sock")
        os.mkdir(self.config)
        ip("netns", "add", name)
        ip("link", "set", "lo", "up", namespace=name)
        # Labels share fifty protocol numbers, by which an agent knows what is its own in all namespaces it sees.
        command = [AGENT, "run", "--label", name, "--protocol", str(100 + Pod.count), "--config", self.config]
        super().__init__(
            name,
            [*command, "--socket", self.socket, *options],
            namespace=name,
            env={
                "NSM_NAME": name,
                "NSM_CONNECT_TO": MANAGER,
                "SPIFFE_ENDPOINT_SOCKET": mesh.identities,
                "NSM_MAX_TOKEN_LIFETIME": lifetime,
                "NSM_DIAL_TIMEOUT": "2s",
                "NSM_REQUEST_TIMEOUT": "3s",
                "NSM_LIVENESS_CHECK_INTERVAL": "1s",
                **env,
            },
        )
        if content is not None:
            self.put(content)

    def put(self, content, name="network.yaml"):
        os.rename(write(f"{self.name}.put", content), os.path.join(self.config, name))

    def take_out(self, name="network.yaml"):
        # A folder without files says nothing, which is not that nothing is wanted.
        self.put("cnfConfig: {}\n", name)

    def values(self, prefix=""):
        """The values of the agent's status by their keys; none while it does not answer."""
        result = agent("status", "--output", "json", "--socket", self.socket, prefix)
        try:
            return {value["key"]: value for value in json.loads(result.stdout)["values"]}
        except (ValueError, KeyError):
            return {}

    def value(self, key):
        return self.values(key).get(key, {})

    def state(self, key):
        return self.value(key).get("state")

    def text(self, key):
        """All that status says of a value."""
        value = self.value(key)
        return "; ".join([value.get("state", "-"), value.get("error", ""), *value.get("details", [])])

    def connected(self, client):
        return self.state(CLIENT + client) == "CONFIGURED"

    def registered(self, service):
        return self.state(ENDPOINT + service) == "CONFIGURED"

    def link(self, name):
        """A link of the pod as `ip -s -j` shows it; nothing when there is none."""
        text = ip("-s", "-d", "-j", "link", "show", "dev", name, namespace=self.name, fail=False)
        return json.loads(text)[0] if text else {}

    def index(self, name):
        return self.link(name).get("ifindex")

    def pings(self, address, interface=None):
        options = ["-I", interface] if interface else []
        command = within(["ping", "-q", "-n", "-c1", "-W1", *options, address], self.name)
        return subprocess.run(command, capture_output=True).returncode == 0

    def run(self, *command, **options):
        return subprocess.run(within(list(command), self.name), capture_output=True, text=True, **options)

    def delete(self):
        """The pod goes as a whole."""
        self.kill()
        ip("netns", "delete", self.name)
        shutil.rmtree(self.config)


class HangUps:
    """Listens at the manager's place, and ends each connection somewhere in its handshake."""

    def __init__(self):
        self.count = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(MANAGER.removeprefix("unix://"))
        self._socket.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                if self.count % 2:
                    peer.recv(1 << (self.count % 12))
                self.count += 1

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.unlink(MANAGER.removeprefix("unix://"))


def hang_up(times):
    """Connects to the manager and leaves, each time after another part of a handshake."""
    hello = ssl.MemoryBIO()
    try:
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = hello.read()
    for number in range(times):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(MANAGER.removeprefix("unix://"))
            peer.sendall(hello[: len(hello) * (number % 5) // 4])


class Traffic:
    """Echoes, fifty a second, of which not one may get lost."""

    def __init__(self, pod, address):
        self.path = os.path.join(WORK, f"traffic-{pod.name}-{address}")
        self.dropped = dropped()
        with open(self.path, "w") as out:
            command = within(["ping", "-n", "-D", "-i", "0.02", "-W", "1", address], pod.name)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def answered(self):
        """When each answer came, by the numbers of the echoes."""
        with open(self.path) as file:
            return {int(number): float(at) for at, number in re.findall(r"^\[([\d.]+)\].*icmp_seq=(\d+) ttl", file.read(), re.MULTILINE)}

    def finish(self):
        """The numbers that were sent and never answered, and when each answer came."""
        # What was on its way until now is answered before those that follow it, but the last ones may be left unread.
        before = max(self.answered(), default=0)
        wait(lambda: max(self.answered(), default=0) > before + 1, 5)
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        answered = self.answered()
        with open(self.path) as file:
            sent = int((re.search(r"(\d+) packets transmitted", file.read()) or [0, 0])[1])
        last = max(answered, default=0)
        return [x for x in range(1, last if last > before + 1 else sent) if x not in answered], answered

    def check(self, what):
        lost, answered = self.finish()
        good = answered and not lost
        # A machine that has too much to do drops packets of any kind.
        if lost and answered and len(lost) <= dropped() - self.dropped:
            return check(f"{what}: {len(lost)} of {len(answered)} echoes are lost, and the machine dropped as many packets", True)
        when = [answered[x - 1] for x in lost if x - 1 in answered]
        detail = f"lost: {lost[:20]} …; {len(answered)} were answered; gaps begin at {', '.join(clock(x) for x in when[:8])}"
        return check(f"{what}: none of {len(answered)} echoes is lost" if good else what, good, detail)


def clock(seconds):
    """A time as logs show it."""
    return time.strftime("%H:%M:%S", time.gmtime(seconds)) + f"{seconds % 1:.3f}"[1:]


def dropped():
    """Packets that the kernel of this machine had no room for so far. Source: softnet_seq_show, net/core/net-procfs.c."""
    with open("/proc/net/softnet_stat") as file:
        return sum(int(line.split()[1], 16) for line in file)


def wait(condition, seconds=20):
    """Waits for a condition, without a check."""
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return result or condition()


def show_logs(*programs, lines=25):
    """For people, after a failure."""
    for program in programs:
        print(f"--- {program.name}")
        print("\n".join(line[:400] for line in program.log().splitlines()[-lines:]), flush=True)


def client(name, service, interface, *addresses, **more):
    return {"name": name, "networkService": service, "interfaceName": interface, "ipAddresses": list(addresses), **more}


def endpoint(service, prefix, *addresses, single=True, **more):
    return {
        "networkService": service,
        "interfaceNamePrefix": prefix,
        "singleClient": single,
        **({"ipAddresses": list(addresses)} if addresses else {}),
        **more,
    }


def services(clients=(), endpoints=(), **more):
    """A configuration with clients and endpoints of network services."""
    lists = {}
    if clients:
        lists["NetworkServiceClient_list"] = list(clients)
    if endpoints:
        lists["NetworkServiceEndpoint_list"] = list(endpoints)
    return {"cnfConfig": lists, **more}
