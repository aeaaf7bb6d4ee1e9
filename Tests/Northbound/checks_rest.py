"""What clients of the REST API see, checked one by one: checks_rest.py WHAT HOST PORT [ARGUMENT]."""

import json
import random
import socket
import sys
import threading
import time


def expect(what, condition, *details):
    if not condition:
        sys.exit(f"{what}: {details}")


def connect(address):
    connection = socket.create_connection(address)
    connection.settimeout(30)
    return connection


def read(connection):
    """All that comes until the other side closes, or the answer has the length that it says."""
    data = b""
    while True:
        head, found, body = data.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n") if found else []:
            name, _, value = line.partition(b": ")
            if name.lower() == b"content-length" and len(body) >= int(value):
                return data
        try:
            part = connection.recv(65536)
        except (ConnectionError, TimeoutError):
            return data
        if not part:
            return data
        data += part


def ask(address, data):
    with connect(address) as connection:
        try:
            connection.sendall(data)
        except OSError:
            pass
        return read(connection)


def request(method, target, *headers, body=b""):
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def is_served(address):
    return ask(address, request("GET", "/liveness")).startswith(b"HTTP/1.1 200")


def bodies(address):
    """A long body is refused, whether its length is told or not, and one that is nested without end as well."""
    part = b"x" * 65536
    with connect(address) as connection:
        connection.sendall(request("PUT", "/configuration", f"Content-Length: {100 << 20}"))
        expect("at once", b" 413 " in read(connection))
    with connect(address) as connection:
        connection.sendall(request("PUT", "/configuration", "Transfer-Encoding: chunked"))
        try:
            for _ in range(300):
                connection.sendall(b"10000\r\n" + part + b"\r\n")
        except OSError:
            pass
        expect("chunks", b" 413 " in read(connection))
    for deep in (b"[" * 200_000, b'{"a":' * 200_000):
        answer = ask(address, request("PUT", "/configuration", body=deep))
        expect("depth", b" 500 " in answer and b"nested deeper" in answer, answer)
    expect("served", is_served(address))


def half(address):
    """Half of a request takes a connection for some seconds, and nothing from others."""
    parts = [b"GET /liveness HT", b"PUT /configuration HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", b"",
             request("GET", "/liveness") + b"GET /"]
    held = [connect(address) for _ in parts]
    for connection, part in zip(held, parts):
        connection.sendall(part)
    expect("served meanwhile", is_served(address))
    # The shortest of the times is that for a header.
    expect("ended", held[0].recv(100) == b"" and held[2].recv(100) == b"")
    for connection in held:
        connection.close()


def idle(address):
    """Many connections that say nothing take no more than there is for one address."""
    held = [connect(address) for _ in range(600)]
    closed = 0
    for connection in held:
        connection.settimeout(0.5 if closed == 0 else 0.01)
        try:
            closed += connection.recv(1) == b""
        except TimeoutError:
            pass
        except OSError:
            closed += 1
    expect("refused", closed >= 400, closed)
    for connection in held:
        connection.close()


def headers(address):
    """Headers without end, and bytes that are no HTTP."""
    for data in (b"GET / HTTP/1.1\r\nX: " + b"y" * 200_000, b"\x16\x03\x01\x02\x00" * 100, b"GARBAGE\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % number for number in range(5000))):
        answer = ask(address, data)
        expect("refused", answer == b"" or b" 400 " in answer, answer[:200])
    expect("served", is_served(address))


def reader(address):
    """Who asks without reading is not waited for by others."""
    held = [connect(address) for _ in range(10)]
    for connection in held:
        connection.sendall(request("GET", "/info/configuration/jsonschema") * 50)
    expect("served", is_served(address))
    for connection in held:
        connection.close()


def foreign(address):
    """Pages of others and names that are not ours."""
    for header in ("Host: example.com", "Host: 127.0.0.1.example.com:9191"):
        answer = ask(address, f"GET /configuration HTTP/1.1\r\n{header}\r\n\r\n".encode())
        expect(header, b" 403 " in answer, answer)
    for origin in ("http://example.com", "null", "http://localhost.example.com"):
        answer = ask(address, request("GET", "/configuration", f"Origin: {origin}"))
        expect(origin, b" 403 " in answer, answer)
    expect("own page", b" 200 " in ask(address, request("GET", "/configuration", "Origin: http://localhost")))
    for host in ("127.0.0.1", "[::1]:9191", "LOCALHOST"):
        answer = ask(address, f"GET /liveness HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        expect(host, b" 200 " in answer, answer)


def look(address):
    """Who may not change things may look."""
    for method, target in (("PUT", "/configuration"), ("PUT", "/configuration?replace"),
                           ("POST", "/scheduler/downstream-resync"), ("PUT", "/log/x/debug")):
        answer = ask(address, request(method, target, body=b"linuxConfig: {}"))
        expect(target, b" 403 " in answer and b"setting" in answer, answer)
    for target in ("/configuration", "/scheduler/status", "/scheduler/dump?descriptor=linux-interface", "/metrics"):
        # Answers in chunks have no length that says their end.
        expect(target, b" 200 " in ask(address, request("GET", target, "Connection: close")))


def stalled(address):
    """Who may only look does not keep others from it by bodies that do not come, nor by long ones."""
    held = [connect(address) for _ in range(8)]
    for connection in held:
        connection.sendall(request("POST", "/configuration/validate", "Content-Length: 10") + b"abc")
    expect("looks", b" 200 " in ask(address, request("GET", "/configuration")))
    expect("validates", b" 200 " in ask(address, request("POST", "/configuration/validate", body=b"linuxConfig: {}")))
    answer = ask(address, request("POST", "/configuration/validate", f"Content-Length: {2 << 20}"))
    expect("long", b" 413 " in answer, answer)
    for connection in held:
        connection.close()


def users(address, name):
    """Who is no user sees nothing but the probes; `name` is one, with its password."""
    import base64
    for wrong in ((), ("Authorization: Basic " + base64.b64encode(name.encode() + b"x").decode(),),
                  ("Authorization: Basic ?",), ("Authorization: Bearer x",)):
        answer = ask(address, request("GET", "/configuration", *wrong))
        expect("401", b" 401 " in answer and b"WWW-Authenticate: Basic" in answer, wrong, answer)
        expect("401", b" 401 " in ask(address, request("PUT", "/log/x/info", *wrong)))
    expect("probe", is_served(address))
    right = "Authorization: Basic " + base64.b64encode(name.encode()).decode()
    expect("user", b" 200 " in ask(address, request("PUT", "/log/x/info", right)))


def fuzz(address):
    """Bytes of any kind do no harm, as bodies and as requests."""
    chance = random.Random(7)
    valid = json.dumps({"linuxConfig": {"interfaces": [
        {"name": "br-f", "type": "BRIDGE", "ipAddresses": ["10.3.0.1/24"]}]}}).encode()
    for number in range(100):
        body = bytearray(valid)
        for _ in range(chance.randrange(1, 5)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        answer = ask(address, request("POST", "/configuration/validate", body=bytes(body)))
        expect("answer", answer.startswith(b"HTTP/1.1 ") and answer[9:12] in (b"200", b"400", b"500"), number, answer)
        whole = bytearray(request("POST", "/configuration/validate?x=%41", body=valid))
        for _ in range(chance.randrange(1, 8)):
            whole[chance.randrange(len(whole))] = chance.randrange(256)
        with connect(address) as connection:
            connection.settimeout(0.2)
            connection.sendall(bytes(whole))
            try:
                connection.recv(100)
            except OSError:
                pass
    expect("served", is_served(address))


def readers(address):
    """Many at once."""
    failures = []

    def some():
        with connect(address) as connection:
            for _ in range(50):
                connection.sendall(request("GET", "/scheduler/status"))
                answer = connection.recv(1 << 20)
                if not answer.startswith(b"HTTP/1.1 200"):
                    failures.append(answer)
                    return
                while b"0\r\n\r\n" not in answer[-8:]:
                    answer = connection.recv(1 << 20)

    threads = [threading.Thread(target=some) for _ in range(32)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    expect("answers", not failures, failures[:1])
    print(f"1600 questions from 32 clients: {time.perf_counter() - start:.2f} s")


globals()[sys.argv[1]]((sys.argv[2], int(sys.argv[3])), *sys.argv[4:])
