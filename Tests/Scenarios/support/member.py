"""One member of a real etcd, for scenarios that need one and do nothing to it. NSM_ETCD names the folder of its programs, if not
those of the system are meant."""

import json
import os
import shutil
import subprocess

from harness import WORK, eventually

FOLDER = os.environ.get("NSM_ETCD")
ETCD, ETCDCTL = (shutil.which(x, path=FOLDER) for x in ("etcd", "etcdctl"))


class Member:
    def __init__(self, port=12379):
        self.port = port
        url, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"
        self.command = [ETCDCTL, "--endpoints", url]
        options = {
            "data-dir": os.path.join(WORK, "etcd"),
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        with open(os.path.join(WORK, "etcd.log"), "w") as log:
            words = [f"--{name}={value}" for name, value in options.items()]
            self.process = subprocess.Popen([ETCD, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually("etcd answers", lambda: self.ask("endpoint", "health") is not None, 30)

    def ask(self, *words):
        """What etcdctl says; None when it fails."""
        variables = {**os.environ, "ETCDCTL_API": "3"}
        result = subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=60, env=variables)
        return None if result.returncode else result.stdout

    def put(self, key, value):
        if self.ask("put", "--", key, json.dumps(value)) is None:
            raise RuntimeError(f"{key} can't be put")

    def value(self, key):
        """The JSON under a key; {} when there is none."""
        text = self.ask("get", "--print-value-only", "--", key)
        return json.loads(text) if text and text.strip() else {}
