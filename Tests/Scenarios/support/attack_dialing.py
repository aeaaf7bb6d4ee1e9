"""What the mesh must not be made to connect to."""

import os
import socket
import threading
import time

from assault import attack
from harness import WORK


class Trap:
    """A listener of root's that counts who comes and what is said."""

    def __init__(self, address, family=socket.AF_UNIX, mode=0o600):
        self.connections, self.received = 0, 0
        self._socket = socket.socket(family)
        is_file = family == socket.AF_UNIX and address[0] != "\0"
        if is_file and os.path.exists(address):
            os.unlink(address)
        self._socket.bind(address)
        if is_file:
            os.chmod(address, mode)
        self._socket.listen(64)
        self.name = self._socket.getsockname()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            peer.settimeout(0.5)
            try:
                self.received += len(peer.recv(4096))
            except OSError:
                pass
            peer.close()

    def says(self, what):
        if self.connections:
            return [f"{what}: root connected {self.connections} times and sent {self.received} bytes"]
        return []

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def dialed(evil, trap, what, **registration):
    """Whether somebody comes once an endpoint is registered there and asked for."""
    evil.do("register", services=["evil"], hold=True, **registration)
    evil.do("request", service="evil", timeout=4)
    evil.do("unregister", services=["evil"], **registration)
    time.sleep(0.2)
    found = trap.says(what)
    trap.connections = trap.received = 0
    return found


@attack("an endpoint is registered with the address of a socket of root's", "user", "pod")
def by_address(field, evil):
    secret = Trap(f"{WORK}/root-only.sock")
    local = Trap(("127.0.0.1", 0), socket.AF_INET)
    local6 = Trap(("::1", 0), socket.AF_INET6)
    abstract = Trap("\0root-only")
    found = []
    try:
        path = f"{WORK}/root-only.sock"
        for url in (f"unix://{path}", f"unix:{path}", f"unix://{WORK}/../{os.path.basename(WORK)}/root-only.sock"):
            found += dialed(evil, secret, url, url=url)
        for host in ("tcp://127.0.0.1", "tcp://localhost", "127.0.0.1", "tcp://[::ffff:127.0.0.1]", "tcp://0.0.0.0"):
            found += dialed(evil, local, host, url=f"{host}:{local.name[1]}")
        found += dialed(evil, local6, "tcp://[::1]", url=f"tcp://[::1]:{local6.name[1]}")
        found += dialed(evil, abstract, "unix-abstract:", url="unix-abstract:root-only")
        found += dialed(evil, abstract, "unix:@", url="unix:@root-only")
    finally:
        for trap in (secret, local, local6, abstract):
            trap.close()
    return found


@attack("an endpoint is registered with a descriptor of a socket of root's", "user", "pod")
def by_descriptor(field, evil):
    secret = Trap(f"{WORK}/root-only.sock")
    found = []
    try:
        found += dialed(evil, secret, "mode 0600", socket=f"{WORK}/root-only.sock")
    finally:
        secret.close()
    return found


@attack("an endpoint is registered with a link to a socket of root's", "user")
def by_link(field, evil):
    secret = Trap(f"{WORK}/root-only.sock")
    link = f"/tmp/evil-link-{os.getpid()}"
    try:
        os.symlink(f"{WORK}/root-only.sock", link)
        found = dialed(evil, secret, "a link", url=f"unix://{link}")
        return found + dialed(evil, secret, "a link's descriptor", socket=link)
    finally:
        os.unlink(link)
        secret.close()


@attack("the mesh is made to call itself", "user", "pod")
def itself(field, evil):
    """As its own client it would be root's manager."""
    found = []
    before = field.mesh.open_files()
    for socket_of_mesh in (f"{WORK}/nsm.io.sock", f"{WORK}/own.sock"):
        for registration in ({"url": f"unix://{socket_of_mesh}"}, {"socket": socket_of_mesh}):
            evil.do("register", services=["evil"], hold=True, **registration)
            outcome = evil.do("request", service="evil", timeout=4)
            evil.do("unregister", services=["evil"], **registration)
            if outcome["answer"] == "accepted":
                found.append(f"{registration}: accepted")
    evil.do("release")
    time.sleep(1)
    after = field.mesh.open_files()
    return found + ([f"{after - before} descriptors stay open"] if after > before + 20 else [])
