"""Who attacks a mesh, and who must not notice: the attacker of the independent peer in several places, and honest clients that
measure."""

import ctypes
import json
import os
import select
import struct
import subprocess
import sys
import time

from harness import WORK, ip
from mesh import MANAGER, PEER, Program, within

NOBODY = 65534
# None of root's rights; nice, so that what is measured is the mesh and not who gets the processor.
POWERLESS = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def as_user(uid, command):
    return ["nice", "-n10", "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *POWERLESS, *command]


def as_pod_root(command):
    """uid 0 in mount and PID namespaces of its own."""
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return ["nice", "-n10", *own, "setpriv", *POWERLESS, *command]


# What an outcome begins with that has not come.
NOTHING = "nothing within"
# Where an attacker is: how it is started, and in which network namespace.
PLACES = {
    "user": (lambda command: as_user(NOBODY, command), None),
    "pod": (as_pod_root, "evil"),
    "pod user": (lambda command: as_user(NOBODY, command), "evil"),
    "pod 2": (as_pod_root, "evil2"),
    "root": (lambda command: command, None),
    "another user": (lambda command: as_user(NOBODY - 1, command), None),
}


class Evil(Program):
    """Takes orders one by one; `do` waits for what came of it."""

    count = 0

    def __init__(self, place, mesh, **more):
        Evil.count += 1
        self.place = place
        wrap, namespace = PLACES[place]
        command = [PEER, "evil", "--workload-api", more.get("identities", mesh.identities), "--connect-to", MANAGER]
        command += ["--name", f"evil-{place.replace(' ', '-')}"]
        # Who is in the mesh's own namespace has none to bring along; the pod's is open to his eyes.
        command += [] if namespace else ["--netns", "/run/netns/evil"]
        super().__init__(f"evil-{Evil.count}-{place.replace(' ', '-')}", wrap(command), namespace, {"TMPDIR": "/tmp"})

    def start(self):
        if self.runs:
            return self
        log = open(self.path, "ab")
        self.process = subprocess.Popen(
            within(self.command, self.namespace), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=self.env, bufsize=0
        )
        log.close()
        self._held = b""
        self._read("ready", 30)
        return self

    def _read(self, wanted, seconds):
        end = time.monotonic() + seconds
        while True:
            line, newline, rest = self._held.partition(b"\n")
            if newline:
                self._held = rest
                event = json.loads(line)
                if event["event"] == wanted:
                    return event
                continue
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                return {"answer": f"{NOTHING} {seconds} s"}
            data = os.read(self.process.stdout.fileno(), 1 << 20)
            if not data:
                return {"answer": "the attacker ended"}
            self._held += data

    def order(self, what, **order):
        """Without waiting; see `outcome`."""
        self.start()
        self.process.stdin.write(json.dumps({"do": what, **order}).encode() + b"\n")

    def outcome(self, seconds=60):
        return self._read("done", seconds)

    def do(self, what, patience=90, **order):
        self.order(what, **order)
        return self.outcome(patience)

    def says_what(self, what, **order):
        """Only whether it was accepted, refused, …"""
        return self.do(what, **order)["answer"]


class Probe(Program):
    """An honest client. Who it is and which service it asks for differ."""

    def __init__(self, name, mesh, service, namespace, uid=None, every="300ms"):
        command = [PEER, "--tolerate", ".", "probe", "--name", name, "--service", service, "--every", every]
        command += ["--workload-api", mesh.identities, "--connect-to", MANAGER]
        if uid is not None:
            command = as_user(uid, command)[2:]
        super().__init__(name, command, namespace, {"TMPDIR": "/tmp"})

    def rounds(self, since):
        """What began since then and is over."""
        found = []
        for line in self.log().splitlines():
            if line.startswith('{"event": "probe"'):
                event = json.loads(line)
                if event["began"] >= since:
                    found.append(event)
        return found


class Watch:
    """Whether somebody opens a file; a descriptor that only names it (O_PATH) does not count."""

    def __init__(self, *paths):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._names = {}
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            opened = 0x20  # IN_OPEN
            self._names[self._libc.inotify_add_watch(self._descriptor, path.encode(), opened)] = path

    def opened(self):
        found = set()
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return found
        while data:
            number, _, _, size = struct.unpack("iIII", data[:16])
            found.add(self._names[number])
            data = data[16 + size :]
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._descriptor)


def pod(name):
    """A network namespace."""
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", namespace=name)


def status_of(pid, field):
    """A number of /proc/PID/status, such as VmRSS in kB."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
    return 0


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


os.chmod(WORK, 0o755)
if subprocess.run(as_user(NOBODY, [PEER, "--help"]), capture_output=True).returncode:
    print("skipped: users can't run the peer; make it with a Python that they reach: PYTHON=/usr/bin/python3 Tests/Peer/setup")
    sys.exit(77)
