"""An API server for scenarios: the stand-in of Tests/Kubernetes, or with NSM_KUBERNETES=real the one of kube.py. And cnf-crd, etcd."""

import atexit
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

from harness import AGENT, WORK, write

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
REAL = os.environ.get("NSM_KUBERNETES") == "real"
CONTROLLER = os.environ.get("CNF_CRD") or os.path.join(os.path.dirname(AGENT), "cnf-crd")
RESOURCES = "/apis/pantheon.tech/v1/namespaces/{}/cnfconfigurations"
RECORDING = os.path.join(ROOT, "Tests/Kubernetes/recorded/kube-apiserver-1.20.2.json")


def run(log, *command):
    """A program that ends with the scenario, however that ends."""
    with open(os.path.join(WORK, log), "a") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    atexit.register(lambda: process.poll() is None and process.kill())
    return process


class Refused(Exception):
    def __init__(self, code, body):
        super().__init__(f"{code}: {body.get('message', '')}")
        self.code, self.body = code, body


class Client:
    """What a scenario asks of an API server, of either kind."""

    context = None
    token = "admin-token"

    def request(self, method, path, body=None, content_type="application/json", token=None):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": content_type, "Authorization": f"Bearer {token or self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.context) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                raise Refused(error.code, json.loads(text)) from None
            except json.JSONDecodeError:
                raise Refused(error.code, {"message": text.decode()}) from None

    def wait(self, process):
        end = time.monotonic() + 120
        while True:
            try:
                return self.request("GET", "/version")
            except (OSError, Refused):
                if time.monotonic() > end or process.poll() is not None:
                    sys.exit("the API server does not start")
                time.sleep(0.1)

    def define(self):
        """Makes the definition of CNFConfiguration known."""
        text = subprocess.run([AGENT, "schema", "--crd"], check=True, capture_output=True, text=True).stdout
        self.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", parse_yaml(text)[0])
        end = time.monotonic() + 60
        while True:
            try:
                return self.request("GET", RESOURCES.format("default"))
            except Refused:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def namespace(self, name):
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def apply(self, *objects):
        """Makes objects say this, whether they are there or not."""
        for item in objects:
            group, _, version = item["apiVersion"].rpartition("/")
            space = item["metadata"].get("namespace")
            path = (f"/apis/{group}/{version}" if group else f"/api/{version}") + (f"/namespaces/{space}" if space else "")
            path += f"/{item['kind'].lower()}s/{item['metadata']['name']}?fieldManager=scenario&force=true"
            self.request("PATCH", path, item, "application/apply-patch+yaml")

    def merge(self, name, change, namespace="default", part=""):
        """Changes a resource, or a part of it, as another writer does."""
        path = f"{RESOURCES.format(namespace)}/{name}{part}"
        return self.request("PATCH", path, change, "application/merge-patch+json")

    def create(self, name, spec, namespace="default"):
        return self.request("POST", RESOURCES.format(namespace), self.resource(name, spec, namespace))

    def resource(self, name, spec, namespace):
        return {
            "apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec,
        }

    def put(self, name, spec, namespace="default"):
        """Makes a resource say this, whether it is there or not."""
        body = self.resource(name, spec, namespace)
        path = f"{RESOURCES.format(namespace)}/{name}?fieldManager=scenario&force=true"
        return self.request("PATCH", path, body, "application/apply-patch+yaml")

    def get(self, name, namespace="default"):
        try:
            return self.request("GET", f"{RESOURCES.format(namespace)}/{name}")
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def delete(self, name, namespace="default"):
        return self.request("DELETE", f"{RESOURCES.format(namespace)}/{name}")

    def condition(self, name, kind, namespace="default"):
        """(status, reason, message) of a condition; of another generation than the newest it counts as none."""
        item = self.get(name, namespace) or {}
        for condition in item.get("status", {}).get("conditions", []):
            if condition["type"] == kind and condition.get("observedGeneration") == item["metadata"]["generation"]:
                return condition["status"], condition.get("reason", ""), condition.get("message", "")
        return None, "", ""

    def events(self, name, namespace="default"):
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        return [e for e in self.request("GET", path)["items"] if e["regarding"]["name"] == name]


def parse_yaml(text):
    try:
        import yaml
    except ImportError:
        sys.exit("python3-yaml is needed")
    return [item for item in yaml.safe_load_all(text) if item]


class StandIn(Client):
    """The stand-in, which knows again what it was told when it was killed. `pair`: certificate and key, for TLS; `clients`: the
    file of who signs those of clients."""

    def __init__(self, port=18080, users=(), pair=None, clients=None, host="127.0.0.1"):
        self.port, self.host, self.pair, self.clients = port, host, pair, clients
        where = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if pair else ''}://{where}:{port}"
        self.context = ssl._create_unverified_context() if pair else None
        self.data = os.path.join(WORK, f"standin-{port}.json")
        self.tokens = write(f"tokens-{port}.csv", tokens(users)) if users or pair else None
        self.process = None

    def start(self):
        script = os.path.join(ROOT, "Tests/Kubernetes/standin.py")
        options = [*("--data", self.data), *("--host", self.host)]
        options += ["--tokens", self.tokens] if self.tokens else []
        options += ["--tls", *self.pair] if self.pair else []
        options += ["--clients", self.clients] if self.clients else []
        self.process = run("standin.log", sys.executable, "-B", script, str(self.port), *options)
        self.wait(self.process)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    stop = kill

    def kubeconfig(self, user="admin"):
        token = write(f"{user}.token", f"{user}-token\n")
        return write(f"{user}.conf", kubeconfig({"server": self.url}, {"tokenFile": token}))

    def counts(self):
        """How often the server was asked for what."""
        return self.request("GET", "/standin/counts")


def tokens(users):
    lines = ["admin-token,admin,1,system:masters"] + [f"{x}-token,{x},{i + 2}" for i, x in enumerate(users)]
    return "\n".join(lines) + "\n"


def kubeconfig(cluster, user):
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "t",
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t", "namespace": "cnf"}}],
        "clusters": [{"name": "t", "cluster": cluster}], "users": [{"name": "t", "user": user}],
    }


USERS = ["agent", "cnf-crd"]


def grant(api, file, user, namespace):
    """Gives a user the rights that a manifest of the examples gives an account, here in this namespace."""
    with open(os.path.join(ROOT, "examples", file)) as text:
        items = parse_yaml(text.read())
    for item in items:
        if item["kind"] == "ServiceAccount":
            continue
        if "namespace" in item["metadata"]:
            item["metadata"]["namespace"] = namespace
        if "subjects" in item:
            item["subjects"] = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
        api.apply(item)


def prepare(api, define=True):
    """The namespace 'cnf', what cnf-crd may do by its manifest, and the definition."""
    api.namespace("cnf")
    grant(api, "kubernetes-etcd/base/rbac.yaml", "cnf-crd", "default")
    if define:
        api.define()
    return api


def server(define=True):
    """The API server that is asked for, started and prepared."""
    if REAL:
        import kube

        if kube.missing():
            print(f"skipped: not here: {', '.join(kube.missing())}")
            sys.exit(77)
        api = kube.KubeServer(users=USERS)
    else:
        api = StandIn(users=USERS)
    atexit.register(api.stop)
    return prepare(api.start(), define)


def replay(api):
    """Asks the stand-in what a real server was asked. It ends as another one, with nothing."""
    script = os.path.join(ROOT, "Tests/Kubernetes/recording.py")
    result = subprocess.run(
        [sys.executable, "-B", script, "replay", api.url, RECORDING], capture_output=True, text=True, timeout=120)
    api.stop()
    os.remove(api.data)
    prepare(api.start())
    return result


class Etcd:
    def __init__(self, port=12379):
        self.port, self.url, self.data = port, f"http://127.0.0.1:{port}", os.path.join(WORK, f"etcd-{port}")

    def start(self):
        peer = f"http://127.0.0.1:{self.port + 1}"
        self.process = run(
            f"etcd-{self.port}.log", "etcd", "--name", "t", "--data-dir", self.data, "--listen-client-urls", self.url,
            "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"t={peer}")
        end = time.monotonic() + 30
        while self.ctl("endpoint", "health", fail=False).returncode:
            if time.monotonic() > end:
                sys.exit("etcd does not start")
            time.sleep(0.05)
        return self

    def ctl(self, *arguments, fail=True):
        result = subprocess.run(
            ["etcdctl", "--endpoints", self.url, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env={**os.environ, "ETCDCTL_API": "3"}, timeout=60)
        if fail and result.returncode:
            raise RuntimeError(f"etcdctl {' '.join(arguments)}: {result.stderr}")
        return result

    def revision(self):
        return json.loads(self.ctl("get", "/", "-w", "json").stdout)["header"]["revision"]

    def keys(self, prefix="/vnf-agent/"):
        lines = self.ctl("get", "--prefix", "--keys-only", prefix).stdout.split("\n")
        return [line for line in lines if line and "/check/" not in line and "/config-status/" not in line]

    def value(self, key):
        text = self.ctl("get", "--print-value-only", key).stdout.strip()
        return json.loads(text) if text else None

    def values(self, prefix="/vnf-agent/"):
        return {key: self.value(key) for key in self.keys(prefix)}

    def stop(self):
        self.process.kill()
        self.process.wait()


class Controller:
    """`cnf-crd` beside an API server and an etcd."""

    def __init__(self, api, etcd, *options, name="c1", lease=3):
        self.name = name
        self.command = [CONTROLLER, "--kubeconfig", api.kubeconfig("cnf-crd"), "--etcd-endpoints", f"127.0.0.1:{etcd.port}"]
        self.command += ["--health", "off", "--identity", name, "--lease-seconds", str(lease), "--lease-namespace", "default", *options]
        self.start()

    def start(self):
        self.process = run(f"{self.name}.log", *self.command)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def log(self):
        with open(os.path.join(WORK, f"{self.name}.log")) as file:
            return file.read()


def require_etcd():
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        print("skipped: there is no etcd here")
        sys.exit(77)
