"""A small server of DNS for scenarios, and a client that sees what a reply is.

`python3 dns.py ADDRESS FILE`: serves the names in a file, JSON, read anew for each question: {"one.db.example": ["10.1.0.1", …]}. Names
of other values than addresses: "SERVFAIL", "REFUSED", "silence", "lies" (wrong replies come before the right one). What is not
there does not exist; "*" says what is said of it instead. Names that begin with `small` are answered by small letters only.
Each question is a line of its output: `udp A one.db.example`; one with capital letters has another: `letters oNe.db.ExamPLe`.
Before it answers a datagram, somebody at another port of its address does, with a lie.
"""

import ipaddress
import json
import random
import socket
import struct
import sys
import threading

TYPES = {1: "A", 28: "AAAA", 6: "SOA", 16: "TXT"}
LIE = "192.0.2.66"


def encode(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".") if x) + b"\0"


def decode(data, place):
    labels, end = [], None
    while data[place]:
        if data[place] >= 0xC0:
            end = end or place + 2
            place = (data[place] & 0x3F) << 8 | data[place + 1]
            continue
        labels.append(data[place + 1 : place + 1 + data[place]].decode("latin1"))
        place += 1 + data[place]
    return ".".join(labels), end or place + 1


def record(name, kind, ttl, data):
    return name + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


class Server:
    def __init__(self, address, path):
        self.address, self.path = address, path
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.udp = socket.socket(family, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.stranger = socket.socket(family, socket.SOCK_DGRAM)
        self.stranger.bind((address, 0))
        self.tcp = socket.socket(family, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, 53))
        self.tcp.listen()

    def serve(self):
        threading.Thread(target=self.streams, daemon=True).start()
        print("ready", flush=True)
        while True:
            data, peer = self.udp.recvfrom(65535)
            self.stranger.sendto(self.lie(data), peer)
            for reply in self.replies(data, "udp"):
                self.udp.sendto(reply, peer)

    def lie(self, query):
        _, end = decode(query, 12)
        number, flags = struct.unpack("!2H", query[:4])
        head = struct.pack("!6H", number, 0x8480 | flags & 0x0100, 1, 1, 0, 0)
        return head + query[12 : end + 4] + record(b"\xc0\x0c", 1, 60, ipaddress.ip_address(LIE).packed)

    def streams(self):
        while True:
            stream, _ = self.tcp.accept()
            with stream, stream.makefile("rb") as file:
                while len(head := file.read(2)) == 2:
                    for reply in self.replies(file.read(struct.unpack("!H", head)[0]), "tcp"):
                        stream.sendall(struct.pack("!H", len(reply)) + reply)

    def replies(self, query, how):
        number, flags, _, _, _, extra = struct.unpack("!6H", query[:12])
        name, end = decode(query, 12)
        kind = struct.unpack("!H", query[end : end + 2])[0]
        question = query[12 : end + 4]
        size = 512 if not extra else struct.unpack("!H", query[end + 7 : end + 9])[0]
        print(how, TYPES.get(kind, kind), name.lower(), flush=True)
        if name != name.lower():
            print("letters", name, flush=True)
        if name.lower().startswith("small"):
            question = encode(name.lower()) + question[-4:]
        with open(self.path) as file:
            names = json.load(file)
        what = names.get(name.lower(), names.get("*", []))
        head = 0x8480 | flags & 0x0100

        def reply(code, answers=(), authority=(), number=number, question=question, more=0):
            return struct.pack("!6H", number, head | code | more, 1, len(answers), len(authority), 0) + question + b"".join([*answers, *authority])

        def all_of(addresses):
            return [
                record(b"\xc0\x0c", kind, 60, ipaddress.ip_address(a).packed)
                for a in addresses
                if ipaddress.ip_address(a).version == (4 if kind == 1 else 6)
            ]

        soa = [record(encode("example"), 6, 60, encode("ns.example") + encode("h.example") + struct.pack("!5I", 1, 60, 60, 60, 60))]
        if what == "silence":
            return []
        if what in ("SERVFAIL", "REFUSED"):
            return [reply({"SERVFAIL": 2, "REFUSED": 5}[what])]
        if what == "lies":
            lie = all_of([LIE])
            wrong = encode("other.example") + question[-4:]
            noise = [bytes(random.randrange(256) for _ in range(random.randrange(80))) for _ in range(20)]
            return [*noise, reply(0, lie, number=number ^ 1), reply(0, lie, question=wrong), query, query[:12], reply(0, all_of(["10.9.9.9"]))]
        if name.lower() not in names:
            return [reply(3, authority=soa)]
        answers = all_of(what)
        full = reply(0, answers, [] if answers else soa)
        return [reply(0, more=0x0200) if how == "udp" and len(full) > size else full]


class Reply:
    """What came back."""

    def __init__(self, data):
        self.data = data
        self.number, flags, _, answers, _, self.additional = struct.unpack("!6H", data[:12])
        self.code, self.truncated, self.is_response = flags & 15, bool(flags & 0x200), bool(flags & 0x8000)
        self.name, place = decode(data, 12)
        self.addresses, self.ttls, self.owners = [], [], []
        place += 4
        for _ in range(answers):
            owner, place = decode(data, place)
            kind, _, ttl, length = struct.unpack("!HHIH", data[place : place + 10])
            place += 10
            if kind in (1, 28):
                self.addresses.append(str(ipaddress.ip_address(data[place : place + length])))
                self.ttls.append(ttl)
                self.owners.append(owner)
            place += length


def query(name, kind=1, number=None, size=None):
    """A question's bytes; with a size it has an OPT record."""
    number = random.randrange(65536) if number is None else number
    options = b"\0" + struct.pack("!HHIH", 41, size, 0, 0) if size else b""
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, bool(options)) + encode(name) + struct.pack("!HH", kind, 1) + options


def ask(name, kind=1, server="127.0.0.1", tcp=False, size=None, timeout=8):
    """The reply to a question, from the namespace of this process; nothing when there is none in time."""
    data = query(name, kind, size=size)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as peer:
        peer.settimeout(timeout)
        try:
            peer.connect((server, 53))
            if not tcp:
                peer.send(data)
                return Reply(peer.recv(65535))
            peer.sendall(struct.pack("!H", len(data)) + data)
            with peer.makefile("rb") as file:
                return Reply(file.read(struct.unpack("!H", file.read(2))[0]))
        except (OSError, struct.error):
            return None


def client():
    """`dns.py ask NAME TYPE SERVER udp|tcp SIZE`: the reply as JSON."""
    name, kind, server, how, size = sys.argv[2:7]
    reply = ask(name, int(kind), server, how == "tcp", int(size))
    fields = ("code", "truncated", "name", "addresses", "ttls", "owners", "additional")
    print(json.dumps({x: getattr(reply, x) for x in fields} if reply else {}))


def noise():
    """`dns.py noise SERVER SEED COUNT`: what is no question, and what looks like one."""
    server, seed, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    random.seed(seed)
    good = query("one.db.example", size=1232)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((server, 53))
        for i in range(count):
            data = bytearray(good if i % 2 else random.randbytes(random.randrange(600)))
            for _ in range(random.randrange(4)):
                if data:
                    data[random.randrange(len(data))] = random.randrange(256)
            try:
                peer.send(data[: random.randrange(len(data) + 1)])
            except OSError:
                pass
    for _ in range(count // 20):
        with socket.socket() as peer:
            peer.settimeout(5)
            try:
                peer.connect((server, 53))
                peer.sendall(random.randbytes(random.randrange(1, 5000)))
            except OSError:
                pass


if __name__ == "__main__":
    if sys.argv[1] == "ask":
        client()
    elif sys.argv[1] == "noise":
        noise()
    else:
        Server(*sys.argv[1:3]).serve()
