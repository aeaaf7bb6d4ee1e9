"""Real engines of containers for scenarios: dockerd and containerd, each with a folder of its own, in the scenario's namespaces."""

import atexit
import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

from harness import WORK

# Beside the root file systems of containers, which are many small files: not where logs are kept.
IMAGE = "localhost/tiny:1"


def needs(*commands):
    for command in commands:
        if not shutil.which(command):
            print(f"skipped: no {command} here")
            sys.exit(77)


def rootfs():
    """A tar file with busybox, and nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(shutil.which("busybox"), "bin/busybox")
        for name in ("sh", "sleep"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Process:
    """A daemon that can be killed, stopped for a while and started again."""

    process = None

    def command(self):
        raise NotImplementedError

    def begin(self):
        with open(os.path.join(WORK, type(self).__name__.lower() + ".log"), "a") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Containerd(Process):
    """containerd, with the Container Runtime Interface if it is to have that."""

    def __init__(self, folder, cri=False):
        self.folder = folder
        self.socket = os.path.join(folder, "c.sock")
        os.makedirs(folder)
        disabled = "" if cri else 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
        with open(f"{folder}/config.toml", "w") as file:
            file.write(
                f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
{disabled}
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
"""
            )

        os.makedirs(f"{folder}/cni")
        network = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {"type": "host-local", "subnet": "10.78.0.0/24", "dataDir": f"{folder}/leases"},
                }
            ],
        }
        with open(f"{folder}/cni/10-pods.conflist", "w") as file:
            json.dump(network, file)

    def command(self):
        return ["containerd", "--config", f"{self.folder}/config.toml"]

    def start(self):
        self.begin()
        end = time.monotonic() + 60
        while self.ctr("version", fail=False).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("containerd does not start")
            time.sleep(0.1)
        return self

    def ctr(self, *arguments, fail=True):
        result = subprocess.run(["ctr", "-a", self.socket, *arguments], capture_output=True, timeout=60)
        if fail and result.returncode:
            raise RuntimeError(f"ctr {' '.join(arguments)}: {result.stderr.decode()}")
        return result


def field(number, value):
    """A field of a protobuf message: a text, a message that is encoded already, or a number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number):
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(result) + bytes([number])


def texts(message):
    """The fields of a message that are texts, by number."""
    result, index = {}, 0

    def read():
        nonlocal index
        number, shift = 0, 0
        while True:
            byte = message[index]
            index += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    while index < len(message):
        tag = read()
        if tag & 7 == 2:
            length = read()
            result[tag >> 3] = message[index : index + length]
            index += length
        else:
            read()
    return result


class CRI:
    """Makes pods, as kubelet does: gRPC by curl."""

    def __init__(self, containerd):
        self.containerd = containerd

    def image(self):
        """Makes the image for pods and containers known."""
        layer = rootfs()
        digest = hashlib.sha256(layer).hexdigest()
        content = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": ["/bin/sleep"], "Cmd": ["86400"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
        path = os.path.join(WORK, "image.tar")
        with tarfile.open(path, "w") as tar:
            for name, data in (
                ("config.json", json.dumps(content).encode()),
                ("layer.tar", layer),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        self.containerd.ctr("-n", "k8s.io", "images", "import", path)

    def call(self, method, message, fail=True):
        frame = b"\0" + len(message).to_bytes(4, "big") + message
        headers = os.path.join(WORK, "headers")
        command = [
            "curl", "-sS", "--max-time", "60", "--http2-prior-knowledge", "--unix-socket", self.containerd.socket,
            "-H", "content-type: application/grpc", "-H", "te: trailers", "-D", headers, "--data-binary", "@-",
            f"http://localhost/runtime.v1.RuntimeService/{method}",
        ]  # fmt: skip
        end = time.monotonic() + 30
        while True:
            result = subprocess.run(command, input=frame, capture_output=True)
            with open(headers) as file:
                text = file.read()
            # An engine that has just been started listens before it can do anything.
            if "not initialized yet" not in text or time.monotonic() > end:
                break
            time.sleep(0.1)
        if fail and (result.returncode or "grpc-status: 0" not in text):
            raise RuntimeError(f"{method}: {result.stderr.decode()} {text}")
        return texts(result.stdout[5:])

    def pod(self, name, namespace="default"):
        """Starts a pod without containers. Returns its id."""
        metadata = field(1, name) + field(2, f"uid-{name}-{time.monotonic_ns()}") + field(3, namespace)
        config = field(1, metadata) + field(2, name) + field(3, WORK)
        self.configs[(answer := self.call("RunPodSandbox", field(1, config))[1].decode())] = config
        return answer

    configs: dict = {}

    def container(self, pod, name, label=None):
        """Starts a container in a pod. Returns its id."""
        config = field(1, field(1, name) + field(2, next(self.attempts))) + field(2, field(1, IMAGE))
        config += field(3, "/bin/sleep") + field(4, "86400")
        if label:
            config += field(6, field(1, "MICROSERVICE_LABEL") + field(2, label))
        request = field(1, pod) + field(2, config) + field(3, self.configs[pod])
        container = self.call("CreateContainer", request)[1].decode()
        self.call("StartContainer", field(1, container))
        return container

    attempts = itertools.count()

    def remove_container(self, container):
        self.call("StopContainer", field(1, container))
        self.call("RemoveContainer", field(1, container))

    def remove(self, pod):
        """Ends a pod. An engine that was just started may refuse at first, as it still looks for its shims."""
        for method in ("StopPodSandbox", "RemovePodSandbox"):
            end = time.monotonic() + 30
            while True:
                try:
                    self.call(method, field(1, pod))
                    break
                except RuntimeError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.2)
        del self.configs[pod]

    def pid(self, container):
        """The first process of a container or a sandbox."""
        lines = self.containerd.ctr("-n", "k8s.io", "task", "ls").stdout.decode().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith(container))

    def clean(self):
        for pod in list(self.configs):
            with contextlib.suppress(Exception):
                self.remove(pod)
        self.containerd.end()


class Docker(Process):
    """dockerd without a bridge; its containers outlive it."""

    def __init__(self):
        self.folder = os.path.join(WORK, "docker")
        os.makedirs(self.folder)
        self.socket = os.path.join(self.folder, "d.sock")
        # One of its own, so that dockerd can be killed alone.
        self.containerd = Containerd(os.path.join(self.folder, "containerd"))
        atexit.register(self.clean)

    def command(self):
        return [
            "dockerd", "-H", f"unix://{self.socket}", "--data-root", f"{self.folder}/data",
            "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--iptables=false",
            "--ip6tables=false", "--bridge=none", "--storage-driver=vfs", "--live-restore",
            "--containerd", self.containerd.socket,
        ]  # fmt: skip

    def start(self):
        if self.containerd.process is None or self.containerd.process.poll() is not None:
            self.containerd.start()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/pid")
        self.begin()
        end = time.monotonic() + 60
        while self("version", fail=False).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError("dockerd does not start")
            time.sleep(0.1)
        return self

    def __call__(self, *arguments, fail=True, stdin=None):
        result = subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *arguments], input=stdin, capture_output=True, timeout=120
        )
        if fail and result.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {result.stderr.decode()}")
        return result

    def image(self):
        self("import", "-", "tiny:1", stdin=rootfs())

    def run(self, name, label=None, *options):
        environment = ["-e", f"MICROSERVICE_LABEL={label}"] if label else []
        self("run", "-d", "--name", name, *environment, "--network", "none", *options, "tiny:1", "/bin/sleep", "86400")

    def pid(self, name):
        return int(self("inspect", "-f", "{{.State.Pid}}", name).stdout)

    def shim(self, pid):
        """The process that keeps a container for its daemon."""
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])

    def again(self, name):
        """Starts a container that has ended, once the daemon knows that. An end that it missed, as nobody was left to tell, it
        learns when it is started again itself."""
        begin = time.monotonic()
        end, helped = begin + 40, False
        while time.monotonic() < end:
            if not helped and time.monotonic() > begin + 8:
                helped = True
                self.kill()
                self.containerd.kill()
                self.containerd.start()
                self.start()
            # Asked to start what it takes to be alive, it says that it did.
            ended = self("inspect", "-f", "{{.State.Running}}", name, fail=False).stdout.strip() == b"false"
            if ended and self("start", name, fail=False).returncode == 0 and alive(self.pid(name)):
                return True
            time.sleep(0.05)
        return False

    def started(self, name):
        """When the last start was told, seconds since 1970."""
        text = self(
            "events", "--since", "1h", "--until", f"{time.time():.3f}", "--filter", "event=start",
            "--filter", f"container={name}", "--format", "{{json .}}",
        ).stdout.decode()  # fmt: skip
        return json.loads(text.splitlines()[-1])["timeNano"] / 1e9

    def clean(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.thaw()
        with contextlib.suppress(Exception):
            names = self("ps", "-aq").stdout.decode().split()
            if names:
                self("rm", "-f", *names)
        self.end()
        self.containerd.end()
