"""How often programs make signatures and shake hands: counted by the kernel at their functions, for scripts/bench."""

import os
import shutil
import signal
import subprocess

from meshnet import grouped

# What is counted, and where: a TLS session is made for each handshake, at either end.
FUNCTIONS = {
    "handshakes": "CNIOBoringSSL_SSL_new",
    "signatures": "CCryptoBoringSSL_ECDSA_do_sign",
    "checks": "CCryptoBoringSSL_ECDSA_do_verify",
}


class Counts:
    """Counts while it is entered; `figures` then has {what: {program: number}}, or is None where the kernel or the program does
    not allow it."""

    def __init__(self, net):
        self.net, self.figures, self.group = net, None, f"nsmbench{os.getpid()}"
        self.running = {}

    def __enter__(self):
        if not shutil.which("perf"):
            return self
        command = ["perf", "probe", "-q", "-x", os.path.realpath(self.net.agent)]
        for name, function in FUNCTIONS.items():
            command += ["--add", f"{self.group}:{name}={function}"]
        if subprocess.run(command, capture_output=True).returncode:
            return self
        events = ",".join(f"{self.group}:{name}" for name in FUNCTIONS)
        for name, process in self.net.processes.items():
            count = ["perf", "stat", "-x", ",", "-e", events, "-p", str(process.process.pid)]
            self.running[name] = subprocess.Popen(count, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        lines = {}
        for name, process in self.running.items():
            process.send_signal(signal.SIGINT)
            lines[name] = process.communicate()[1].splitlines()
        subprocess.run(["perf", "probe", "-q", "-d", f"{self.group}:*"], capture_output=True)
        try:
            self.figures = {what: grouped({name: self.number(lines[name], what) for name in lines}) for what in FUNCTIONS}
        except ValueError:
            pass
        if not lines:
            self.figures = None

    def number(self, lines, what):
        found = [int(line.split(",")[0]) for line in lines if f"{self.group}:{what}" in line]
        return found[0] if found else int("")

    def each(self, count):
        """For each of `count`."""
        if not self.figures:
            return None
        return {what: {name: number / max(count, 1) for name, number in of.items()} for what, of in self.figures.items()}


def text(counts):
    """One line for people."""
    if not counts:
        return "not counted: perf or its probes are missing"
    order = ("mesh", "client", "server")
    return "; ".join(f"{what} {' / '.join(f'{of.get(name, 0):.2f}' for name in order)}" for what, of in counts.items())
