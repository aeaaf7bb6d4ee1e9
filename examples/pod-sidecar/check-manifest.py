"""Checks what matters in the manifest, read as JSON: only NET_ADMIN, no shared processes, the ConfigMap as a folder."""

import json
import sys


def documents(text):
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        value, at = decoder.raw_decode(text, at)
        yield from value["items"] if value["kind"] == "List" else [value]
        while at < len(text) and text[at].isspace():
            at += 1


objects = {item["kind"]: item for item in documents(open(sys.argv[1]).read())}
config, pod = objects["ConfigMap"], objects["Deployment"]["spec"]["template"]["spec"]
agent = next(c for c in pod["containers"] if c["name"] == "network")
security = agent["securityContext"]
volumes = {v["name"]: v for v in pod["volumes"]}
mounts = {m["name"]: m for m in agent["volumeMounts"]}

checks = {
    "only the capability NET_ADMIN": security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    "not privileged": not security.get("privileged") and security["allowPrivilegeEscalation"] is False,
    "no shared process or host namespace": not {"shareProcessNamespace", "hostNetwork", "hostPID"} & set(pod),
    "the ConfigMap is mounted": volumes["network"]["configMap"]["name"] == config["metadata"]["name"],
    "the ConfigMap is mounted as a folder": "subPath" not in mounts["network"],
    "every mount has its volume": set(mounts) <= set(volumes),
    "the folder is the daemon's": mounts["network"]["mountPath"] == agent["args"][agent["args"].index("--config") + 1],
    "selector and labels agree": objects["Deployment"]["spec"]["selector"]["matchLabels"]
    == objects["Deployment"]["spec"]["template"]["metadata"]["labels"],
}
for name, holds in checks.items():
    print("ok " if holds else "NO ", name)
sys.exit(not all(checks.values()))
