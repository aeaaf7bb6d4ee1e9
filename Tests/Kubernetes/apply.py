#!/usr/bin/env python3
"""A kubectl for the stand-in: apply.py URL apply FILE…, or URL wait NAMESPACE/NAME CONDITION SECONDS, or URL show NAMESPACE/NAME.

Of manifests, definitions and CNFConfigurations are applied; the rest is for a cluster.
"""

import json
import sys
import time
import urllib.error
import urllib.request

import yaml

CNFC = "/apis/pantheon.tech/v1/namespaces/{}/cnfconfigurations/{}"


def send(url, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
    request = urllib.request.Request(url + path, method=method, data=data, headers={"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def apply(url, files):
    for file in files:
        with open(file) as text:
            items = [item for item in yaml.safe_load_all(text) if item]
        for item in items:
            name, space = item["metadata"]["name"], item["metadata"].get("namespace", "default")
            if item["kind"] == "CustomResourceDefinition":
                send(url, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", item)
            elif item["kind"] == "CNFConfiguration":
                send(url, "PATCH", CNFC.format(space, name) + "?fieldManager=apply&force=true", item)
            else:
                continue
            print(f"{item['kind']}/{name} applied")


def show(item):
    conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])}
    message = item.get("status", {}).get("message", "")
    print(f"{item['metadata']['name']}: Ready={conditions.get('Ready')} Applied={conditions.get('Applied')} {message}".rstrip())


def wait(url, name, condition, seconds):
    end = time.monotonic() + float(seconds)
    while True:
        item = send(url, "GET", CNFC.format(*name.split("/")))
        for found in item.get("status", {}).get("conditions", []):
            if (found["type"], found["status"]) == (condition, "True"):
                if found.get("observedGeneration") == item["metadata"]["generation"]:
                    return show(item)
        if time.monotonic() > end:
            sys.exit(f"{name} is not {condition}: {json.dumps(item.get('status'))}")
        time.sleep(0.1)


def main(url, command, *arguments):
    try:
        if command == "apply":
            apply(url, arguments)
        elif command == "wait":
            wait(url, *arguments)
        elif command == "delete":
            send(url, "DELETE", CNFC.format(*arguments[0].split("/")))
        else:
            show(send(url, "GET", CNFC.format(*arguments[0].split("/"))))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {json.load(error).get('message', '')}")


main(*sys.argv[1:])
