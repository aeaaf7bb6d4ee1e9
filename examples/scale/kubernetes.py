"""The part of measure.py for a Kubernetes API server: the stand-in, or with NSM_KUBERNETES=real a real one."""

import http.client
import json
import os
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Tests/Scenarios/support"))
import cluster

PATH = cluster.RESOURCES.format("cnf")


def spec(number, agents, mtu=1500):
    link = {"name": f"b{number}", "type": "BRIDGE", "enabled": True, "mtu": mtu}
    return {"microservice": f"m{number % agents}", "linuxConfig": {"interfaces": [link]}}


def fill(api, resources, agents):
    """Makes the resources, over few connections."""
    host, port = api.url.split("://")[1].split(":")

    def write(part):
        connection = (http.client.HTTPSConnection(host, int(port), context=api.context) if api.context
                      else http.client.HTTPConnection(host, int(port)))
        for number in part:
            body = api.resource(f"r{number}", spec(number, agents), "cnf")
            body["metadata"]["labels"] = {"cnf": f"m{number % agents}"}
            connection.request("POST", PATH, json.dumps(body), {
                "Content-Type": "application/json", "Authorization": f"Bearer {api.token}"})
            answer = connection.getresponse()
            if answer.status != 201:
                sys.exit(answer.read().decode())
            answer.read()

    threads = [threading.Thread(target=write, args=[range(start, resources, 4)]) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(options, Agents, Process):
    api = cluster.server()
    cluster.grant(api, "kubernetes-crd/base/rbac.yaml", "agent", "cnf")
    start = time.monotonic()
    fill(api, options.resources, options.agents)
    print(f"# {options.resources} resources are made after {time.monotonic() - start:.1f} s", file=sys.stderr)
    server = Process(api.process)
    store = Process(api.etcd) if cluster.REAL else None
    cpu = lambda: [round(x.cpu(), 2) for x in (server, store) if x]
    by = {"all": [], "selector": ["--selector", "cnf=m%"], "name": ["--name", "r%"]}[options.by]
    used, counts = cpu(), api.counts()
    looked_at = min(options.agents, options.resources) if options.by == "name" else options.resources
    agents = Agents("kubernetes", api.kubeconfig("agent"), "--agents", options.agents, "--resources", looked_at, "--ramp", options.agents / 40, "--writer", api.kubeconfig("admin"), *by)
    result = {"agents": options.agents, "resources": options.resources, "by": options.by, "real": cluster.REAL}

    def tell(what, before, since):
        used = [round(b - a, 2) for a, b in zip(before[0], cpu())]
        now = api.counts()
        result[what] = {
            "seconds": round(time.monotonic() - since, 2), "server_cpu_s": used[0], "etcd_cpu_s": used[1:], "simulator_cpu_s": agents.cpu(),
            "asked": {k: v - before[1].get(k, 0) for k, v in sorted(now.items()) if v > before[1].get(k, 0) and "lease" not in k},
        }

    start = time.monotonic()
    agents.wait(options.agents, 600)
    quiet(api)
    tell("start", (used, counts), start)
    result["server_mib"], result["simulator_mib"] = round(server.memory()), round(agents.memory())
    used, counts, own, start = cpu(), api.counts(), agents.cpu(), time.monotonic()
    result["changes"] = agents.ask("changes", options.seconds, options.rate)
    quiet(api)
    tell("changed", (used, counts), start)
    result["changed"]["simulator_cpu_s"] = round(agents.cpu() - own, 2)
    agents.end()
    api.stop()
    return result


def quiet(api):
    """Until the status of all is written."""
    last = None
    while (now := api.counts().get("patch cnfconfigurations/status", 0)) != last:
        last = now
        time.sleep(3)
