"""Connections, identities and endpoints that are somebody else's."""

import time

from assault import attack, refused, unless_refused
from battlefield import HOST, Echo
from mesh import registry, wait

MESH = f"{HOST}-nsmgr"


def forged_paths(field):
    """The victim's path with a token that is not its, and then the attacker."""
    own, meshs = field.victims_ids()
    for how in ("none", "stranger", "own"):
        for subject in field.victims_names():
            yield [
                {"name": "victim", "id": own, "token": how, "sub": subject},
                {"name": "evil", "id": "evil-0"},
                {"name": MESH, "id": meshs},
            ]


@attack("the victim's connection is closed with a forged token", "user", "pod")
def close_forged(field, evil):
    found = []
    before = field.victim.index("nsm-db")
    for path in forged_paths(field):
        evil.do("close", path=path, index=1)
        time.sleep(0.3)
        if field.victim.index("nsm-db") != before:
            return [*found, f"closed with a token signed by {path[0]['token']}"]


@attack("the victim's connection is taken over with a forged token", "user", "pod")
def take_forged(field, evil):
    before = field.victim.index("nsm-db")
    for path in forged_paths(field):
        outcome = evil.do("request", service="db", path=path, index=1, interface="taken0", keep="a", hold=True)
        time.sleep(0.3)
        if outcome.get("ids") and outcome["ids"][2] == path[2]["id"]:
            return [f"with a token signed by {path[0]['token']}"]
        if field.victim.index("nsm-db") != before:
            return [f"the victim's link has gone with a token signed by {path[0]['token']}"]


@attack("the mesh's id of the victim's connection is named in an own path", "user", "pod", "pod 2")
def take_by_id(field, evil):
    own, meshs = field.victims_ids()
    before = field.victim.index("nsm-db")
    for mine in ({"name": "evil", "id": "evil-0"}, {"name": "victim", "id": own}):
        path = [mine, {"name": MESH, "id": meshs}]
        outcome = evil.do("request", service="db", path=path, interface="taken0", keep="a", hold=True)
        evil.do("close", path=path)
        time.sleep(0.3)
        if outcome.get("ids") and outcome["ids"][1] == meshs:
            return [f"taken over as {mine['name']}"]
        if field.victim.index("nsm-db") != before:
            return [f"closed as {mine['name']}"]


@attack("another path's token, one for somebody else, one of the past", "user", "pod")
def wrong_tokens(field, evil):
    found = []
    tokens = {
        "for somebody else": {"audience": ["spiffe://nsm.local/other"]},
        "of the past": {"claim": 1000},
        "in another name": {"subject": field.victims_names()[0] + "0"},
    }
    for name, order in tokens.items():
        found += unless_refused(f"a request with one {name}", evil.do("request", service="db", **order, hold=True))
        found += unless_refused(f"a registration with one {name}", evil.do("register", url="tcp://127.0.0.1:9", **order))
    return found


@attack("others' connections are watched", "user", "pod", "pod 2")
def watch(field, evil):
    shown = evil.do("monitor")["connections"]
    names = sorted({connection["path"]["path_segments"][0]["name"] for connection in shown.values()})
    names = [name for name in names if not name.startswith("evil")]
    own, _ = field.victims_ids()
    found = [f"everything is shown: of {', '.join(names)}"] if names else []
    shown = evil.do("monitor", text=f"path_segments {{ id: '{own}' }}")["connections"]
    return found + ([f"{own} is shown when it is asked for"] if shown else [])


@attack("others' endpoints are shown with more than their names", "user", "pod")
def find(field, evil):
    outcome = evil.do("find")
    found = [f"{outcome['descriptors']} descriptors of sockets"] if outcome.get("descriptors") else []
    for endpoint in outcome["endpoints"]:
        if not endpoint["name"].startswith("evil") and endpoint.get("url", "").startswith(("inode:", "unix:")):
            found.append(f"where {endpoint['name']} listens: {endpoint['url']}")
        if any("/user/" in name for name in endpoint.get("path_ids", [])):
            found.append(f"who {endpoint['name']} is: {endpoint['path_ids']}")
    return found


@attack("a service of others is offered, and their clients come", "user", "pod", "pod 2")
def offer_others(field, evil):
    found = []
    for service in ("echo", "db"):
        outcome = evil.do("offer", name=f"evil-{service}", services=[service], registration=f"network_service_names: '{service}'")
        found += unless_refused(f"{service} is offered", outcome)
    time.sleep(1.5)
    for service in ("echo", "db"):
        seen = evil.do("seen", name=f"evil-{service}").get("requests", 0)
        found += [f"{seen} requests of clients of {service} came"] if seen else []
    return found


@attack("a service of others is described anew", "user", "pod")
def describe_others(field, evil):
    """Its clients would find no endpoint, or one by a label that the attacker has."""
    nowhere = "matches { routes { destination_selector { key: 'of' value: 'the attacker' } } }"
    found = []
    for service in ("echo", "db"):
        outcome = evil.do("service", name=service, text=nowhere)
        found += [] if refused(outcome) or service == "db" else [f"{service}: {outcome['answer']}"]
    time.sleep(1.2)
    for service in ("echo", "db"):
        evil.do("service", name=service, away=True)
    return found


@attack("the endpoint of others is registered anew, and taken back", "user", "pod", "pod 2")
def anothers_endpoint(field, evil):
    found = []
    for name, service in (("echo", "echo"), ("server-db", "db")):
        found += unless_refused(f"{name} is registered", evil.do("offer", name=name, services=[service], registration=""))
        found += unless_refused(f"{name} is taken back", evil.do("unregister", name=name, services=[service]))
    return found


@attack("the endpoint of others is registered anew after it fell silent", "user", "pod")
def silent_endpoint(field, evil):
    late = Echo(field, "late", "echo", prefix="172.17.0.0/16", lifetime="4s").start()
    wait(lambda: late.says('"event": "registered"'))
    late.kill()
    # Its registration ends with its token.
    wait(lambda: "echo" in (names := registry(field)) and "late" not in names)
    return unless_refused("late is registered", evil.do("offer", name="late", services=["evil"]))


@attack("an endpoint has an impossible name", "user", "pod")
def endpoint_names(field, evil):
    found = []
    start = len(field.mesh.log())
    line = "\x1b[31mred\n2026-01-01T00:00:00Z error forged=line"
    for name in ("", line, "a\x00b", "../../etc/passwd", "ü" * 127, "x" * 254, "\u202egnp"):
        outcome = evil.do("register", name=name, url="tcp://127.0.0.1:9")
        plain = name.isprintable() and len(name.encode()) <= 253
        found += [] if refused(outcome) or plain and name else [f"{name[:30]!r}: {outcome['answer']}"]
    found += unless_refused("200 KB", evil.do("register", name="x", repeat=200_000, url="tcp://127.0.0.1:9"))
    evil.do("request", service="x\n2026-01-01T00:00:00Z error forged=line", id="y\nforged=line", timeout=4)
    lines = field.mesh.log()[start:].splitlines()
    return found + [f"a line of the log is the attacker's: {x[:80]!r}" for x in lines if x.startswith("2026-01-01")]


@attack("the identity of one user is used by another, or from elsewhere", "user")
def stolen_key(field, evil):
    key = f"/tmp/stolen-{field.mesh.process.pid}.pem"
    evil.do("fetch", file=key)
    found = []
    for place in ("another user", "pod user", "pod 2"):
        thief = field.evil(place)
        orders = {"monitor": {}, "find": {}, "register": {"url": "tcp://127.0.0.1:9"}, "request": {"service": "db", "hold": True}}
        for what, order in orders.items():
            outcome = thief.do(what, key=key, **order)
            if outcome["answer"] == "accepted":
                found.append(f"{what} by {place}")
    return found


@attack("root of a pod is given another's identity", "pod")
def identities(field, evil):
    found = []
    root, mine, other = (field.evil(place).do("fetch")["id"] for place in ("root", "pod", "pod 2"))
    found += [f"that of root: {mine}"] if mine == root else []
    found += [f"that of another pod: {mine}"] if mine == other else []
    user, elsewhere = (field.evil(place).do("fetch")["id"] for place in ("user", "pod user"))
    return found + ([f"a user of the pod is one of the host: {user}"] if user == elsewhere else [])


@attack("the Workload API is asked without its header", "user", "pod")
def no_header(field, evil):
    found = []
    for metadata in ([], [["workload.spiffe.io", "false"]], [["workload.spiffe.io", ""]], [["x-workload.spiffe.io", "true"]]):
        found += unless_refused(f"{metadata}", evil.do("workload", metadata=metadata))
    return found

