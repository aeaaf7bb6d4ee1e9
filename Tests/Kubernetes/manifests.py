"""Validates Kubernetes manifests: against the OpenAPI schemas of two versions, and by what schemas can't say.

Of a kustomization.yaml that is validated what it makes of its resources. Rules in CEL must be rules by those schemas; they are not run.

With `--self-test` also damages each manifest in many ways, one at a time; each damage must be found.
"""

import copy
import functools
import os
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import kubernetes_validate.utils
import patches
import schemas
import yaml

# It reads the schemas anew for each object; here there are hundreds.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

# The first one with sidecars that are on by default, and the newest one there are schemas of.
VERSIONS = ("1.29", kubernetes_validate.latest_version())
# The capabilities of a container, by the command of nsm-agent that it runs. SYS_ADMIN excludes
# `allowPrivilegeEscalation: false`, by the rules of the API server.
CAPABILITIES = {
    "run": ["NET_ADMIN"], "mesh": ["NET_ADMIN", "SYS_ADMIN"], "forwarder": ["NET_ADMIN", "SYS_ADMIN"],
}


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFINITION = os.path.join(ROOT, "examples/kubernetes-crd/crd/cnfconfigurations.yaml")
# What each account may do, and nothing more: verbs by resources.
RIGHTS = {
    "cnf-crd": {
        "cnfconfigurations": {"get", "list", "watch", "patch"}, "cnfconfigurations/status": {"patch"}, "events": {"create"},
    },
    "cnf-crd-lease": {"leases": {"create", "get", "update"}},
    "nsm-agent": {
        "cnfconfigurations": {"get", "list", "watch"}, "cnfconfigurations/status": {"patch"}, "pods": {"get", "list"},
        "events": {"create"},
    },
}


@functools.cache
def resource_schema():
    with open(DEFINITION) as file:
        schema = yaml.safe_load(file)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    # Servers know what belongs there by themselves.
    schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def resource_mistakes(item):
    """What is wrong with a CNFConfiguration: by its definition, and what an API server would drop."""
    if item.get("apiVersion") != "pantheon.tech/v1":
        yield "its apiVersion is not pantheon.tech/v1"
    if not isinstance(item["metadata"].get("name"), str) or not isinstance(item["metadata"].get("namespace", ""), str):
        yield "it has no name"
    if item["metadata"].keys() - {"name", "namespace", "labels", "annotations"}:
        yield "its metadata has an unknown field"
    if item.keys() - {"apiVersion", "kind", "metadata", "spec"}:
        yield "it has an unknown field"
    yield from schemas.mistakes(item, resource_schema())
    kept = copy.deepcopy(item)
    schemas.prune(kept, resource_schema())
    if kept != item:
        yield "an API server would drop fields of it"


def rights_mistakes(item):
    """What an account may do that it need not, or can't that it must."""
    found = {}
    for rule in item.get("rules") or []:
        for resource in rule.get("resources", []):
            found.setdefault(resource, set()).update(rule.get("verbs", []))
    if found != RIGHTS.get(item["metadata"].get("name")):
        yield f"its rights are {found}"


def controller_mistakes(container):
    security = container.get("securityContext", {})
    if security.get("capabilities") != {"drop": ["ALL"]} or security.get("runAsNonRoot") is not True:
        yield "it has rights that it need not have"
    if security.get("readOnlyRootFilesystem") is not True or security.get("allowPrivilegeEscalation") is not False:
        yield "it may get more rights, or write its root"
    if not container.get("livenessProbe") or not container.get("readinessProbe"):
        yield "it has no probes"
    if not any(a.startswith("--allow=") for a in container.get("args", [])):
        yield "every namespace may write for every microservice"


def built(path):
    """The objects of a file; of a kustomization those that it makes, by patches in steps."""
    if os.path.isdir(path):
        path = os.path.join(path, "kustomization.yaml")
    with open(path) as file:
        items = [item for item in yaml.safe_load_all(file) if item]
    if os.path.basename(path) != "kustomization.yaml":
        return items
    plan, folder = items[0], os.path.dirname(path)
    if plan.keys() - {"apiVersion", "kind", "resources", "patches"}:
        sys.exit(f"{path}: it has a field that is not known here")
    items = [item for name in plan["resources"] for item in built(os.path.join(folder, name))]
    for patch in plan.get("patches", []):
        if "path" in patch:
            with open(os.path.join(folder, patch["path"])) as file:
                steps = yaml.safe_load(file)
        else:
            steps = yaml.safe_load(patch["patch"])
        target = (patch["target"]["kind"], patch["target"]["name"])
        meant = [i for i, item in enumerate(items) if (item["kind"], item["metadata"]["name"]) == target]
        if len(meant) != 1:
            sys.exit(f"{path}: there are {len(meant)} {'/'.join(target)}")
        items[meant[0]] = patches.steps(items[meant[0]], steps)
    return items


def cel_rules(value):
    """All rules in CEL, wherever they stand."""
    if isinstance(value, dict):
        yield from value.get("x-kubernetes-validations", [])
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from cel_rules(inner)


def pod_of(item):
    return item.get("spec", {}).get("template", {}).get("spec")


def containers(pod):
    return pod.get("initContainers", []) + pod.get("containers", [])


def schema_mistakes(item):
    for field in ("apiVersion", "kind", "metadata"):
        if not isinstance(item.get(field), dict if field == "metadata" else str):
            yield f"it has no {field}"
            return
    if item["kind"] == "CNFConfiguration":
        yield from resource_mistakes(item)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(item, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{version}: {'.'.join(map(str, error.path))}: {error.message[:200]}"
        except kubernetes_validate.SchemaNotFoundError as error:
            yield f"{version}: {error.message}"


def agent_mistakes(container):
    """What is wrong with the rights of a container of nsm-agent."""
    security = container.get("securityContext", {})
    command = (container.get("args") or [""])[0]
    wanted = CAPABILITIES.get(command)
    if wanted is None:
        yield f"nsm-agent {command} is no command for a container"
        return
    if security.get("capabilities") != {"drop": ["ALL"], "add": wanted}:
        yield f"its capabilities are not {', '.join(wanted)} alone"
    if security.get("privileged"):
        yield "it is privileged"
    if "SYS_ADMIN" not in wanted and security.get("allowPrivilegeEscalation") is not False:
        yield "it may get more rights"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "its root file system can be written"
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "system calls are not filtered"
    if security.get("runAsUser") != 0:
        yield "it is not root, and so has no capabilities"
    mounts = {m["name"]: m for m in container.get("volumeMounts", [])}
    for name, mount in mounts.items():
        if name == "network" and "subPath" in mount:
            yield "a subPath keeps changes of the ConfigMap away"
        if command != "mesh" and name in ("nsm-socket", "spire-agent-socket") and not mount.get("readOnly"):
            yield f"{name} can be written"
    arguments = container.get("args", [])
    if "--config" in arguments and mounts.get("network", {}).get("mountPath") != arguments[arguments.index("--config") + 1]:
        yield "its configuration is mounted elsewhere"
    variables = {v["name"]: v.get("value", "") for v in container.get("env", [])}
    for name in ("NSM_CONNECT_TO", "SPIFFE_ENDPOINT_SOCKET"):
        folder = os.path.dirname(variables.get(name, "").removeprefix("unix://"))
        if folder and folder not in [m["mountPath"] for m in mounts.values()]:
            yield f"{name} is in no volume"


def pod_mistakes(item, maps):
    pod, metadata = pod_of(item), item["spec"]["template"].get("metadata", {})
    selector = item["spec"].get("selector", {}).get("matchLabels", {})
    if not selector or not selector.items() <= metadata.get("labels", {}).items():
        yield "selector and labels differ"
    if {"shareProcessNamespace", "hostPID", "hostIPC"} & pod.keys():
        yield "processes are shared"
    volumes = {v["name"]: v for v in pod.get("volumes", [])}
    used = set()
    for container in containers(pod):
        names = {m["name"] for m in container.get("volumeMounts", [])}
        used |= names
        for name in names - volumes.keys():
            yield f"{container['name']}: no volume {name}"
        if "/nsm-agent:" in container.get("image", ""):
            for mistake in agent_mistakes(container):
                yield f"{container['name']}: {mistake}"
        if "/cnf-crd:" in container.get("image", ""):
            for mistake in controller_mistakes(container):
                yield f"{container['name']}: {mistake}"
        if pod.get("hostNetwork") and "run" in container.get("args", []):
            yield f"{container['name']}: it would change the network of the node"
    for name in volumes.keys() - used:
        yield f"volume {name} is not used"
    for volume in volumes.values():
        name = volume.get("configMap", {}).get("name")
        if name and (item["metadata"].get("namespace"), name) not in maps:
            yield f"no ConfigMap {name}"


def network_mistakes(text, *options):
    """What nsm-agent says of the YAML in a ConfigMap, or of a resource."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        result = subprocess.run([os.environ["NSM_AGENT"], "check", *options, file.name], capture_output=True, text=True)
        if result.returncode:
            yield (result.stdout + result.stderr).strip().replace(file.name, "network.yaml")


def mistakes(items, with_agent=True):
    """All mistakes of one file, each with its object."""
    maps = {(i["metadata"].get("namespace"), i["metadata"].get("name")) for i in items if i.get("kind") == "ConfigMap"}
    spaces = {i["metadata"].get("name"): i for i in items if i.get("kind") == "Namespace"}
    for item in items:
        found = list(schema_mistakes(item))
        name = f"{item.get('kind')}/{item['metadata'].get('name') if isinstance(item.get('metadata'), dict) else '?'}"
        if not found and pod_of(item):
            found += pod_mistakes(item, maps)
            space = spaces.get(item["metadata"].get("namespace"))
            level = "pod-security.kubernetes.io/enforce"
            has_agent = any("/nsm-agent:" in c.get("image", "") for c in containers(pod_of(item)))
            if has_agent and space and space["metadata"].get("labels", {}).get(level) != "privileged":
                found.append("its namespace does not let it in")
        if item.get("kind") in ("Role", "ClusterRole"):
            found += rights_mistakes(item)
        if item.get("kind") == "CNFConfiguration" and with_agent and not found:
            found += network_mistakes(yaml.safe_dump(item), "--label", item["spec"].get("microservice", "default"))
        if item.get("kind") == "ConfigMap" and with_agent:
            for text in item.get("data", {}).values():
                found += network_mistakes(text)
        yield from (f"{name}: {mistake}" for mistake in found)


# ---- damages ----


def each_place(value, path=()):
    """All places of a document, from the root to the leaves."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from each_place(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from each_place(value[index], (*path, index))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def schema_damages(item):
    """For each field of the document: a wrong name, and a value of another type. Labels and the like may have any name."""
    free = {"labels", "matchLabels", "data", "annotations", "limits", "requests", "sysctls"}
    for path in each_place(item):
        is_selector = item["kind"] == "Service" and path[:2] == ("spec", "selector") and len(path) > 2
        if not path or not isinstance(path[-1], str) or free & set(path) or is_selector:
            continue
        broken = copy.deepcopy(item)
        parent = at(broken, path[:-1])
        parent[path[-1] + "x"] = parent.pop(path[-1])
        yield f"{'.'.join(map(str, path))} misspelt", broken
        broken = copy.deepcopy(item)
        at(broken, path[:-1])[path[-1]] = 7.5 if not isinstance(at(item, path), (int, float)) else ["x"]
        yield f"{'.'.join(map(str, path))} of another type", broken


def agent_damages(items):
    """For each container of nsm-agent: rights too many or too few, and places that don't fit."""
    for number, item in enumerate(items):
        for index, container in enumerate(containers(pod_of(item) or {})):
            if "/nsm-agent:" not in container["image"]:
                continue

            def damaged(what, change):
                broken = copy.deepcopy(items)
                pod = pod_of(broken[number])
                change(containers(pod)[index], pod)
                return f"{container['name']}: {what}", broken

            security = lambda key, value: lambda c, _: c["securityContext"].__setitem__(key, value)
            yield damaged("another capability", lambda c, _: c["securityContext"]["capabilities"]["add"].append("SYS_PTRACE"))
            yield damaged("keeps the default ones", lambda c, _: c["securityContext"]["capabilities"].pop("drop"))
            yield damaged("privileged", security("privileged", True))
            yield damaged("a root that can be written", security("readOnlyRootFilesystem", False))
            yield damaged("no seccomp", security("seccompProfile", {"type": "Unconfined"}))
            yield damaged("a volume that is not there", lambda c, _: c["volumeMounts"][0].__setitem__("name", "nothing"))
            yield damaged("processes of the node", lambda _, pod: pod.__setitem__("hostPID", True))
            if container["args"][0] == "run":
                yield damaged("the network of the node", lambda _, pod: pod.__setitem__("hostNetwork", True))
                yield damaged("more rights", security("allowPrivilegeEscalation", True))
            if container["args"][0] == "run" and any("configMap" in v for v in pod_of(item)["volumes"]):
                yield damaged("a subPath", lambda c, _: c["volumeMounts"][0].__setitem__("subPath", "network.yaml"))
                yield damaged("another ConfigMap", lambda _, pod: pod["volumes"][0]["configMap"].__setitem__("name", "x"))


def rights_damages(items):
    """For each role: a verb more, and a rule less."""
    for number, item in enumerate(items):
        if item["kind"] not in ("Role", "ClusterRole"):
            continue
        for index in range(len(item["rules"])):
            broken = copy.deepcopy(items)
            broken[number]["rules"][index]["verbs"].append("deletecollection")
            yield f"{item['metadata']['name']}: more rights", broken
            broken = copy.deepcopy(items)
            del broken[number]["rules"][index]
            yield f"{item['metadata']['name']}: fewer rights", broken


def self_test(items):
    """How many damages were made, and those that were not found."""
    made, missed = 0, []
    for item in items:
        for what, broken in schema_damages(item):
            made += 1
            if not list(schema_mistakes(broken)):
                missed.append(f"{item['kind']}/{item['metadata']['name']}: {what}")
    for what, broken in [*agent_damages(items), *rights_damages(items)]:
        made += 1
        if not list(mistakes(broken, with_agent=False)):
            missed.append(what)
    for number, item in enumerate(items):
        if item["kind"] != "ConfigMap" or "NSM_AGENT" not in os.environ:
            continue
        broken = copy.deepcopy(items)
        misspelt = lambda text: re.sub(r"\b(networkService|type):", r"\1x:", text)
        broken[number]["data"] = {key: misspelt(text) for key, text in item["data"].items()}
        made += 1
        if not list(mistakes(broken)):
            missed.append(f"ConfigMap/{item['metadata']['name']}: a field that nsm-agent does not know")
    return made, missed


def main(arguments):
    tests = "--self-test" in arguments
    failed = 0
    for path in (a for a in arguments if a != "--self-test"):
        items = built(path)
        found = list(mistakes(items, with_agent="NSM_AGENT" in os.environ))
        for mistake in found:
            print(f"{path}: {mistake}")
        if not found:
            rules = sum(len(list(cel_rules(item))) for item in items)
            told = f"; {rules} rules in CEL are not run" if rules else ""
            print(f"{path}: {len(items)} objects are valid, by {' and '.join(VERSIONS)}{told}")
        failed += len(found)
        if tests:
            made, missed = self_test(items)
            for damage in missed:
                print(f"{path}: not found: {damage}")
            print(f"{path}: {made - len(missed)} of {made} damages found")
            failed += len(missed)
    sys.exit(failed > 0)


main(sys.argv[1:])
