"""Clients of the agent and of etcd, for northbound.py: northclient.py WHAT ARGUMENTS…, prints figures as JSON.

It runs in the environment of the independent peer, which has gRPC, so what a call takes of the client itself is told, too.
"""

import json
import os
import socket
import statistics
import struct
import sys
import threading
import time

import grpc

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Tests", "Northbound"))
from linked import Linked  # noqa: E402

linked = Linked()
Request = linked.message("ligato.generic.SetConfigRequest")
Interface = linked.message("ligato.linux.interfaces.Interface")
Route = linked.message("ligato.linux.l3.Route")
BRIDGE, GATEWAY = 101, "10.100.0.2"
PREFIX = "/vnf-agent/default/config/linux/"


def add(request, model, name, message):
    item = request.updates.add().item
    item.id.model, item.id.name = model, name
    item.data.any.type_url = "models.ligato.io/" + message.DESCRIPTOR.full_name
    item.data.any.value = message.SerializeToString()


def bridge(name, *addresses):
    message = Interface(name=name, enabled=True, ip_addresses=addresses)
    message.type = BRIDGE
    return message


def destination(number):
    return f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}/32"


def route(number):
    return Route(outgoing_interface="big", dst_network=destination(number), gw_addr=GATEWAY)


def setter(target):
    return grpc.insecure_channel(target).unary_unary("/ligato.generic.ManagerService/SetConfig", Request.SerializeToString)


def spread(times):
    times = sorted(times)
    return {"p50_ms": statistics.median(times) * 1e3, "p99_ms": times[min(len(times) - 1, len(times) * 99 // 100)] * 1e3}


def timed(call, *arguments):
    start = time.perf_counter()
    call(*arguments, timeout=600)
    return time.perf_counter() - start


def one(name, address):
    request = Request()
    add(request, "linux.interfaces.interface", name, bridge(name, address))
    return request


def bulk(target, count):
    """So many values in one call."""
    request = Request()
    add(request, "linux.interfaces.interface", "big", bridge("big", "10.100.0.1/16"))
    for number in range(int(count)):
        add(request, "linux.l3.route", f"{destination(number)}/big", route(number))
    return {"wall_ms": timed(setter(target), request) * 1e3}


def latency(target, count):
    """One address, from the call to its answer; and a call that does nothing."""
    call = setter(target)
    call(one("lat", "10.101.0.1/16"), timeout=60)
    requests = [one("lat", f"10.101.{n // 250}.{n % 250 + 1}/16") for n in range(1, int(count) + 1)]
    health = grpc.insecure_channel(target).unary_unary("/grpc.health.v1.Health/Check")
    health(b"", timeout=60)
    nothing = spread([timed(health, b"") for _ in requests])
    return {**spread([timed(call, request) for request in requests]), "nothing_p50_ms": nothing["p50_ms"]}


def many(target, count, clients):
    """So many calls, by so many clients at once, each with a connection and a link of its own."""
    count, clients = int(count), int(clients)
    calls = [setter(target) for _ in range(clients)]
    for client, call in enumerate(calls):
        call(one(f"m{client}", "10.102.0.1/32"), timeout=60)
    work = [[one(f"m{client}", f"10.{103 + client}.{n // 250}.{n % 250 + 1}/32") for n in range(count // clients)]
            for client in range(clients)]
    threads = [threading.Thread(target=lambda c=c, w=w: [c(r, timeout=600) for r in w]) for c, w in zip(calls, work)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"wall_ms": (time.perf_counter() - start) * 1e3, "calls": count // clients * clients}


# ---- etcd, by the numbers of its fields ----


def field(number, data):
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def put(key, value):
    return field(1, (PREFIX + key).encode()) + field(2, json.dumps(value).encode())


def putter(endpoint):
    return grpc.insecure_channel(endpoint).unary_unary("/etcdserverpb.KV/Put")


def wait_all(futures):
    for future in futures:
        future.result(timeout=60)


def keys(endpoint, count):
    """So many keys, many at once."""
    call, waiting = putter(endpoint), []
    call(put("interfaces/v2/interface/big", {
        "name": "big", "type": "BRIDGE", "enabled": True, "ip_addresses": ["10.100.0.1/16"]}), timeout=60)
    for number in range(int(count)):
        waiting.append(call.future(put_route(number)))
        if len(waiting) == 200:
            wait_all(waiting)
            waiting = []
    wait_all(waiting)
    return {}


def put_route(number, metric=0):
    value = {"outgoing_interface": "big", "dst_network": destination(number), "gw_addr": GATEWAY}
    return put(f"l3/v2/route/{destination(number)}/big", {**value, "metric": metric} if metric else value)


def puts(endpoint, count):
    """From the answer of a put until the kernel tells of the address."""
    seen = {}
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, 0x10))
    arrived = threading.Condition()

    def listen():
        while True:
            data = events.recv(65536)
            now = time.perf_counter()
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == 20:
                    # The first attribute is the address.
                    with arrived:
                        seen[socket.inet_ntoa(data[28:32])] = now
                        arrived.notify()
                data = data[(length + 3) & ~3:]

    threading.Thread(target=listen, daemon=True).start()
    call, times, whole = putter(endpoint), [], []
    for number in range(int(count) + 1):
        address = f"10.99.{number // 250}.{number % 250 + 1}"
        message = put("interfaces/v2/interface/put", {
            "name": "put", "type": "BRIDGE", "enabled": True, "ip_addresses": [f"{address}/16"]})
        begin = time.perf_counter()
        call(message, timeout=60)
        answer = time.perf_counter()
        with arrived:
            if not arrived.wait_for(lambda: address in seen, 60):
                sys.exit(f"{address} does not come")
        if number:
            times.append(max(0, seen[address] - answer))
            whole.append(seen[address] - begin)
    return {**spread(times), "whole_p50_ms": spread(whole)["p50_ms"]}


def load(endpoint, rate, seconds, count):
    """So many puts in a second, each a change of one of so many routes; the last metric of each, by its number."""
    rate, seconds, count = int(rate), float(seconds), int(count)
    call, waiting, last = putter(endpoint), [], {}
    start, number = time.perf_counter(), 0
    while number < rate * seconds:
        due = min(int((time.perf_counter() - start) * rate) + 1, int(rate * seconds))
        for number in range(number, due):
            waiting.append(call.future(put_route(number % count, number + 1)))
            last[number % count] = number + 1
        number = due
        if len(waiting) > 2000:
            wait_all(waiting[:1000])
            del waiting[:1000]
        time.sleep(0.001)
    wait_all(waiting)
    took = time.perf_counter() - start
    return {"puts": number, "seconds": took, "last": {destination(n): metric for n, metric in last.items()}}


print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
