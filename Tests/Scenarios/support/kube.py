"""A real Kubernetes API server with etcd, for scenarios. `NSM_KUBE_APISERVER` names the program if it is not where
`scripts/kube-apiserver` puts it."""

import glob
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request

from cluster import Client, Refused, kubeconfig, tokens
from harness import WORK, write

CACHE = os.environ.get("NSM_AGENT_CACHE") or os.path.expanduser("~/.cache/nsm-agent")
FOUND = sorted(glob.glob(os.path.join(CACHE, "kube-apiserver", "kube-apiserver-*")))
PROGRAM = os.environ.get("NSM_KUBE_APISERVER") or (FOUND[-1] if FOUND else "")


def missing():
    """What is not here; empty: nothing."""
    wanted = [PROGRAM or "kube-apiserver (scripts/kube-apiserver makes it)", "etcd", "kubectl", "openssl"]
    return [x for x in wanted if not shutil.which(x)]


class KubeServer(Client):
    """An API server. Its users are 'admin', who may do everything, and those that a scenario gives roles."""

    context = ssl._create_unverified_context()

    def __init__(self, port=16443, users=(), pair=None, authority=None, clients=None):
        """`pair`: certificate and key, signed by `authority`; without them it makes its own. `clients`: who signs those of clients."""
        self.pair, self.authority, self.clients = pair, authority, clients
        self.port, self.folder = port, os.path.join(WORK, "kube")
        self.url = f"https://127.0.0.1:{port}"
        os.makedirs(self.folder)
        subprocess.run(
            ["openssl", "genrsa", "-out", self.path("sa.key"), "2048"], check=True, capture_output=True
        )
        write("kube/tokens.csv", tokens(users))
        self.admin = self.kubeconfig("admin")
        self.etcd = self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, log, *command):
        with open(os.path.join(WORK, log), "a") as file:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def start_etcd(self):
        port = self.port + 1000
        self.etcd_url = f"http://127.0.0.1:{port}"
        peer = f"http://127.0.0.1:{port + 1}"
        self.etcd = self.run(
            "kube-etcd.log",
            *("etcd", "--name", "k", "--data-dir", self.path("etcd")),
            *("--listen-client-urls", self.etcd_url, "--advertise-client-urls", self.etcd_url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"k={peer}"),
        )

    def start(self):
        if self.etcd is None:
            self.start_etcd()
        self.process = self.run(
            "kube-apiserver.log",
            *(PROGRAM, "--etcd-servers", self.etcd_url, f"--secure-port={self.port}", "--bind-address=127.0.0.1"),
            *("--advertise-address=10.0.0.1", "--endpoint-reconciler-type=none", f"--cert-dir={self.path('certs')}"),
            *("--token-auth-file", self.path("tokens.csv"), "--authorization-mode=RBAC"),
            *(f"--service-account-key-file={self.path('sa.key')}",),
            *(f"--service-account-signing-key-file={self.path('sa.key')}",),
            *("--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/24"),
            "--disable-admission-plugins=ServiceAccount",
            *(["--client-ca-file", self.clients] if self.clients else []),
            *(["--tls-cert-file", self.pair[0], "--tls-private-key-file", self.pair[1]] if self.pair else []),
        )
        end = time.monotonic() + 120
        while not self.is_ready():
            if time.monotonic() > end or self.process.poll() is not None:
                sys.exit("the API server does not start")
            time.sleep(0.2)
        return self

    def is_ready(self):
        try:
            self.request("GET", "/readyz")
        except json.JSONDecodeError:
            # It says 'ok'.
            return True
        except (OSError, Refused):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        for process in (self.process, self.etcd):
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def kubeconfig(self, user):
        """A file for a user, whose token is in a file beside it."""
        write(f"kube/{user}.token", f"{user}-token\n")
        cluster = {"server": self.url, "certificate-authority": self.authority or self.path("certs/apiserver.crt")}
        return write(f"kube/{user}.conf", kubeconfig(cluster, {"tokenFile": self.path(f"{user}.token")}))

    def counts(self):
        """How often the server was asked for what, and how many changes those were told who watch, as the stand-in counts it."""
        request = urllib.request.Request(f"{self.url}/metrics", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30, context=self.context) as answer:
            text = answer.read().decode()
        counts = {}
        for name, labels, number in re.findall(r"^(apiserver_request_total|apiserver_watch_events_\w+){(.*)} (\S+)$", text, re.M):
            label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if name == "apiserver_request_total":
                verb = {"post": "create", "put": "update", "apply": "patch"}.get(label["verb"].lower(), label["verb"].lower())
                what = f"{verb} {label['resource']}" + (f"/{label['subresource']}" if label["subresource"] else "")
            elif label["kind"] == "CNFConfiguration" and name.endswith(("_total", "_sizes_sum")):
                what = "tell cnfconfigurations" if name.endswith("_total") else "bytes told of cnfconfigurations"
            else:
                continue
            counts[what] = counts.get(what, 0) + int(float(number))
        return counts

    def ctl(self, *arguments, fail=True, input=None):
        result = subprocess.run(
            ["kubectl", "--kubeconfig", self.admin, "--cache-dir", self.path("cache"), *arguments],
            input=None if input is None else input if isinstance(input, str) else json.dumps(input),
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if fail and result.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {result.stderr}")
        return result
