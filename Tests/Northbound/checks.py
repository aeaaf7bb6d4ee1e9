"""What clients of the gRPC API see, checked one by one: checks.py WHAT TARGET [ARGUMENT]."""

import random
import socket
import sys
import threading
import time

import grpc
from client import Agent
from google.protobuf import descriptor_pb2, json_format
from linked import recorded

MANAGER = "ligato.generic.ManagerService/"
CONFIGURATOR = "ligato.configurator.ConfiguratorService/"
INTERFACE = "config/linux/interfaces/v2/interface/"


def item(model, message, called, **fields):
    any = {"@type": "models.ligato.io/" + message, **fields}
    return {"item": {"id": {"model": model, "name": called}, "data": {"any": any}}}


def interface(name, **fields):
    return item("linux.interfaces.interface", "ligato.linux.interfaces.Interface", name, name=name, **fields)


def bridge(name, *addresses, **fields):
    return interface(name, type="BRIDGE", enabled=True, ip_addresses=list(addresses), **fields)


def removal(name):
    return {"item": {"id": {"model": "linux.interfaces.interface", "name": name}}}


def set_config(agent, *updates, **more):
    answer, _ = agent.call(MANAGER + "SetConfig", {"updates": list(updates), **more})
    return {result["key"]: result["status"] for result in answer["results"]}


def expect(what, condition, *details):
    if not condition:
        sys.exit(f"{what}: {details}")


def reflection(target):
    """Both versions tell of all services."""
    now, before = Agent(target), Agent(target, "grpc.reflection.v1alpha")
    services = now.reflection.services()
    expect("services", services == before.reflection.services() and len(services) == 6, services)
    for service in services:
        expect("service", now.pool.FindServiceByName(service).methods, service)
    unknown = now.reflection.ask(file_containing_symbol="no.Such")
    expect("unknown symbol", unknown.failure.error_code == 5, unknown)
    expect("extensions", list(now.reflection.ask(
        all_extension_numbers_of_type="google.protobuf.FieldOptions").numbers.extension_number) == [2000])
    expect("health", now.call("grpc.health.v1.Health/Check")[0] == {"status": "SERVING"})
    code = now.refusal("grpc.health.v1.Health/Check", {"service": "no.Such"})[0]
    expect("health of what is not there", code == "NOT_FOUND", code)


def descriptors(target):
    """All that the ancestor's files describe is in ours, under the same numbers: messages, fields, enumerations, services."""
    agent = Agent(target)

    def names(parts):
        return {part["name"]: part for part in parts}

    def within(theirs, ours, at):
        for kind in ("message_type", "nested_type", "enum_type", "service"):
            mine = names(ours.get(kind, []))
            for name, part in names(theirs.get(kind, [])).items():
                expect(f"{at}.{name}", name in mine, kind)
                within(part, mine[name], f"{at}.{name}")
        for kind, facts in (("field", ("number", "label", "type", "type_name", "json_name", "proto3_optional")),
                            ("value", ("number",)), ("method", ("input_type", "output_type", "server_streaming"))):
            mine = names(ours.get(kind, []))
            for name, part in names(theirs.get(kind, [])).items():
                expect(f"{at}.{name}", name in mine, kind)
                for fact in facts:
                    # Names of JSON may be left to the rule for them.
                    same = part.get(fact) == mine[name].get(fact, part.get(fact) if fact == "json_name" else None)
                    expect(f"{at}.{name}", same, fact, part.get(fact), mine[name].get(fact))

    for name, theirs in recorded().items():
        if name == "ligato/annotations.proto":
            # Only options of fields are of it.
            continue
        found = agent.reflection.ask(file_by_filename=name).files.file_descriptor_proto
        files = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in found]
        # Which file of a package has a message is of no matter to anybody.
        ours = descriptor_pb2.FileDescriptorProto()
        for file in files:
            if file.package == theirs["package"]:
                ours.MergeFrom(file)
        expect(name, name in [file.name for file in files], [file.name for file in files])
        within(theirs, json_format.MessageToDict(ours, preserving_proto_field_name=True), theirs["package"])


def unknown(target):
    """What only agents with VPP have is UNIMPLEMENTED."""
    channel = grpc.insecure_channel(target)
    for method in ("/ligato.configurator.StatsPollerService/PollStats", "/ligato.generic.ManagerService/Nope"):
        try:
            channel.unary_unary(method)(b"", timeout=10)
        except grpc.RpcError as error:
            expect(method, error.code() == grpc.StatusCode.UNIMPLEMENTED, error)
        else:
            sys.exit(f"{method} was answered")


def states(target):
    """Whoever subscribes is told of each value that comes into another state."""
    agent = Agent(target)
    seen, started = [], threading.Event()
    subscription = {"subscriptions": [{"id": {"model": "linux.interfaces.interface", "name": "br-s"}}]}
    stream = agent.stream(MANAGER + "Subscribe", subscription)

    def read():
        started.set()
        for message in stream:
            seen.extend(message.notifications)
            break
        stream.cancel()

    reader = threading.Thread(target=read)
    reader.start()
    started.wait()
    number = 0
    while not seen and number < 100:
        number += 1
        set_config(agent, bridge("br-s", f"10.9.{number}.1/24"), bridge("br-other", f"10.8.{number}.1/24"))
        time.sleep(0.05)
    reader.join(20)
    expect("subscribed", seen and all(n.item.id.name == "br-s" for n in seen), seen)
    expect("state", seen[0].status.status == "CONFIGURED", seen[0])
    set_config(agent, removal("br-s"), removal("br-other"))


def notifications(target):
    """Interfaces that change are told under their logical names, also afterwards."""
    agent = Agent(target)
    set_config(agent, interface("logical", type="BRIDGE", enabled=True, host_if_name="kernel0"))
    wanted = {"filters": [{"linux_notification": {"interface": {"state": {"name": "logical"}}}}]}
    stream = agent.stream(CONFIGURATOR + "Notify", wanted)
    first = next(iter(stream))
    state = first.notification.linux_notification.interface.state
    expect("names", (state.name, state.internal_name) == ("logical", "kernel0"), first)
    again = agent.stream(CONFIGURATOR + "Notify", {"idx": first.next_idx - 1, **wanted})
    expect("again", next(iter(again)) == first)
    set_config(agent, removal("logical"))
    for message in stream:
        if message.notification.linux_notification.interface.state.admin_status == 3:
            break


def done(target):
    """wait_done waits for what is pending; the number of the transaction comes first."""
    agent = Agent(target)
    route = {"outgoing_interface": "br-d", "scope": "LINK", "dst_network": "10.77.0.0/16"}
    update = {"update": {"linux_config": {"routes": [route]}}, "wait_done": True}
    code, _, header, _ = agent.attempt(CONFIGURATOR + "Update", update, timeout=1)
    expect("pending", code == "DEADLINE_EXCEEDED" and "seqnum" in header, code, header)
    result = []
    waiter = threading.Thread(target=lambda: result.append(agent.attempt(CONFIGURATOR + "Update", update)))
    waiter.start()
    set_config(agent, bridge("br-d", "10.9.0.1/24"))
    waiter.join(20)
    expect("done", result and result[0][0] == "OK", result)
    code, text, header, _ = agent.attempt(
        CONFIGURATOR + "Update", {"update": {"linux_config": {"interfaces": [{"name": "x", "type": "VETH"}]}}})
    expect("failure", code == "FAILED_PRECONDITION" and "seqnum" in header, code, text, header)
    answer, _ = agent.call(CONFIGURATOR + "Delete", {"delete": {"linux_config": {"routes": [route]}}})
    expect("deleted", answer == {}, answer)
    set_config(agent, removal("br-d"), removal("x"))


def sources(target):
    """A data source replaces only its own, and an unknown client's name is one too."""
    agent = Agent(target)
    set_config(agent, bridge("br-1"), bridge("br-2"))
    answer, _ = agent.call(MANAGER + "SetConfig", {"updates": [bridge("br-1", mtu=1400)]}, [("datasrc", "mine")])
    agent.call(MANAGER + "SetConfig", {"overwrite_all": True})
    names = {i["item"]["id"]["name"] for i in agent.call(MANAGER + "GetConfig")[0].get("items", [])}
    expect("of mine", "br-1" in names and "br-2" not in names, names)
    agent.call(MANAGER + "SetConfig", {"overwrite_all": True}, [("datasrc", "mine")])
    for taken in ("files", "a b", "x" * 101):
        code = agent.refusal(MANAGER + "SetConfig", {"overwrite_all": True}, [("datasrc", taken)])[0]
        expect(f"datasrc {taken[:5]}", code == "INVALID_ARGUMENT", code)


def overlay(target, name, address):
    """A client takes over what a file declares."""
    status = set_config(Agent(target), bridge(name, address))[INTERFACE + name]
    expect("taken over", status["status"] == "CONFIGURED", status)


def withdraw(target, name):
    status = set_config(Agent(target), removal(name))[INTERFACE + name]
    expect("uncovered", status["status"] == "CONFIGURED", status)


def look(target):
    """Who may not change things may look."""
    agent = Agent(target)
    agent.call(MANAGER + "GetConfig")
    for method, content in ((MANAGER + "SetConfig", {"updates": [bridge("br-x")]}),
                            (CONFIGURATOR + "Update", {"full_resync": True}), (CONFIGURATOR + "Delete", {}),
                            (CONFIGURATOR + "Dump", {})):
        refused = agent.refusal(method, content)
        expect(method, refused and refused[0] == "PERMISSION_DENIED", refused)


def limits(target):
    """A message that is too long is refused, and others are served."""
    agent = Agent(target)
    refused = agent.refusal(MANAGER + "SetConfig", {"updates": [bridge("x" * (5 << 20))]})
    expect("length", refused and refused[0] == "RESOURCE_EXHAUSTED", refused)
    agent.call(MANAGER + "GetConfig")


def fuzz(target, path=None):
    """Bytes of any kind do no harm, as messages and instead of HTTP/2."""
    agent, chance = Agent(target), random.Random(7)
    request, _ = agent.stub(MANAGER + "SetConfig")
    valid = agent.parse(request, {"updates": [bridge("br-f", "10.3.0.1/24"), removal("br-g")]}).SerializeToString()
    for method in ("SetConfig", "GetConfig", "DumpState"):
        call = agent.channel.unary_unary("/" + MANAGER + method)
        for _ in range(200):
            data = bytearray(valid)
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                call(bytes(data[:chance.randrange(1, len(data) + 1)]), timeout=20)
            except grpc.RpcError as error:
                expect("code", error.code() in (
                    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INTERNAL,
                ), error)
    if path:
        for size in (1, 24, 1000, 100_000):
            with socket.socket(socket.AF_UNIX) as raw:
                raw.connect(path)
                try:
                    raw.sendall(chance.randbytes(size))
                except OSError:
                    pass
    set_config(agent, overwrite_all=True)
    expect("clean", agent.call(MANAGER + "GetConfig")[0] == {})


def latency(target):
    """How long one address takes, until it is in the kernel and answered."""
    agent = Agent(target)
    set_config(agent, bridge("br-l"))
    request, stub = agent.stub(MANAGER + "SetConfig")
    messages = [
        agent.parse(request, {"updates": [bridge("br-l", f"10.5.{i // 250}.{i % 250 + 1}/16")]}) for i in range(500)]
    times = []
    for message in messages:
        start = time.perf_counter()
        stub(message, timeout=20)
        times.append((time.perf_counter() - start) * 1000)
    set_config(agent, removal("br-l"))
    times.sort()
    print(f"one address, call until answer: p50 {times[250]:.2f} ms, p99 {times[494]:.2f} ms")


globals()[sys.argv[1]](*sys.argv[2:])
