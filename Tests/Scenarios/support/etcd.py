"""A real etcd for scenarios. NSM_ETCD names the folder with `etcd` and `etcdctl` if not those of the system are meant."""

import json
import os
import shutil
import subprocess
import sys
import time

from harness import WORK, ip_json

PREFIX = "/vnf-agent/default/"
INTERFACE = PREFIX + "config/linux/interfaces/v2/interface/"
TOOLS = os.environ.get("NSM_ETCD", "")


def tool(name):
    return os.path.join(TOOLS, name) if TOOLS else name


class Etcd:
    """One member, on ports of its own, perhaps in a network namespace with an address of its own."""

    def __init__(self, port=12379, *options, scheme="http", host="127.0.0.1", namespace=None):
        self.port, self.options, self.scheme = port, options, scheme
        self.data = os.path.join(WORK, f"etcd-{port}")
        self.url = f"{scheme}://{host}:{port}"
        self.within = ["nsenter", f"--net=/run/netns/{namespace}", "--"] if namespace else []
        self.tls = []
        self.process = None

    def start(self):
        peer = f"http://127.0.0.1:{self.port + 1}"
        with open(os.path.join(WORK, f"etcd-{self.port}.log"), "a") as log:
            self.process = subprocess.Popen(
                [
                    *self.within,
                    *(tool("etcd"), "--name", "t", "--data-dir", self.data),
                    *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", f"t={peer}", "--initial-cluster-token", str(time.time())),
                    *self.options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 30
        while self.ctl("endpoint", "health", fail=False).returncode:
            if time.monotonic() > end:
                sys.exit("etcd does not start")
            time.sleep(0.05)
        return self

    def ctl(self, *arguments, fail=True, input=None):
        result = subprocess.run(
            [*self.within, tool("etcdctl"), "--endpoints", self.url, *self.tls, *arguments],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            env={**os.environ, "ETCDCTL_API": "3"},
            timeout=60,
        )
        if fail and result.returncode:
            raise RuntimeError(f"etcdctl {' '.join(arguments)}: {result.stderr}")
        return result

    def put(self, key, value):
        self.ctl("put", "--", key, value if isinstance(value, str) else json.dumps(value))

    def interface(self, name, *addresses, **fields):
        self.put(INTERFACE + name, {"name": name, "type": "BRIDGE", "enabled": True, "ip_addresses": addresses, **fields})

    def fill(self, prefix, count, value):
        """Many small keys in few round trips."""
        lines = [f"put {prefix}{i} {value}" for i in range(count)]
        for start in range(0, count, 100):
            self.ctl("txn", input="\n" + "\n".join(lines[start : start + 100]) + "\n\n\n")

    def revision(self):
        return json.loads(self.ctl("endpoint", "status", "-w", "json").stdout)[0]["Status"]["header"]["revision"]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def lose(self):
        """Comes back as another cluster, with nothing."""
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.data)
        self.start()


def addresses(link):
    found = [x for x in ip_json("address", "show") if x["ifname"] == link]
    return [f"{a['local']}/{a['prefixlen']}" for x in found for a in x["addr_info"] if a["scope"] != "link"]


def has(link, address):
    return lambda: address in addresses(link)


def gone(link):
    return lambda: link not in [x["ifname"] for x in ip_json("link")]


def index(link):
    return next(x["ifindex"] for x in ip_json("link") if x["ifname"] == link)


def said(daemon, text):
    return lambda: text in daemon.log()


def needs_etcd():
    """Ends the scenario where there is none."""
    if subprocess.run(["sh", "-c", f"command -v {tool('etcd')} && command -v {tool('etcdctl')}"], capture_output=True).returncode:
        print("skipped: there is no etcd here")
        sys.exit(77)
