#!/usr/bin/env python3
"""What an API server answers to a list of requests, and whether the stand-in answers the same.

    recording.py record URL VERSION   asks a server and prints the recording, with the version that its program tells
    recording.py replay URL FILE      asks the stand-in, and compares

Of answers only that is kept what does not differ from run to run: no times, no versions, no identities, of refusals no words.
"""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFINITION = os.path.join(ROOT, "examples/kubernetes-crd/crd/cnfconfigurations.yaml")
CNFC = "/apis/pantheon.tech/v1/namespaces/default/cnfconfigurations"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
MERGE, STEPS, APPLY = "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
DROPPED = {
    "uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "deprecatedCount", "deprecatedSource",
    "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "remainingItemCount", "continue", "generateName",
}


def resource(name, spec=None, **metadata):
    item = {"apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration", "metadata": {"name": name, **metadata}}
    return item if spec is None else {**item, "spec": spec}


def status(name, **fields):
    return {**resource(name), "status": fields}


def condition(kind, value):
    return {"type": kind, "status": value, "reason": "Because", "message": "text"}


LINK = {"microservice": "a", "linuxConfig": {"interfaces": [{"name": "x", "mtu": 1400}]}}
WRONG = {"microservice": "a", "linuxConfig": {"interfaces": [{"name": "x", "mtu": "much"}]}}
UNKNOWN = {"microservice": "a", "linuxConfig": {"interfaces": [{"name": "x", "mtuu": 3}]}, "more": 1}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {
    "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 0}}
EVENT = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e.1", "namespace": "default"},
         "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal", "reason": "R", "action": "A", "note": "n",
         "reportingController": "c", "reportingInstance": "i",
         "regarding": {"apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration", "namespace": "default", "name": "a"}}

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": [
    {"apiGroups": ["pantheon.tech"], "resources": ["cnfconfigurations"], "verbs": ["get", "list"]}]}
BINDING = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
           "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
           "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "agent"}]}

# name, method, path, body, content type, and the user's token if it is not that of the admin. {version:NAME} is the resourceVersion that an earlier answer had.
REQUESTS = [
    ("empty list", "GET", CNFC, None, None),
    ("none", "GET", f"{CNFC}/a", None, None),
    ("create", "POST", CNFC, resource("a", LINK), None),
    ("create again", "POST", CNFC, resource("a", LINK), None),
    ("wrong type", "POST", CNFC, resource("w", WRONG), None),
    ("no spec", "POST", CNFC, resource("w"), None),
    ("unknown fields are dropped", "POST", CNFC, resource("u", UNKNOWN), None),
    ("status is not taken with the object", "POST", CNFC, {**resource("s", LINK), "status": {"message": "x"}}, None),
    ("get", "GET", f"{CNFC}/a", None, None),
    ("merge labels", "PATCH", f"{CNFC}/a", {"metadata": {"labels": {"k": "v"}}}, MERGE),
    ("merge spec", "PATCH", f"{CNFC}/a", {"spec": {"microservice": "b"}}, MERGE),
    ("merge with an old version", "PATCH", f"{CNFC}/a", {"metadata": {"resourceVersion": "1", "labels": {"k": "w"}}}, MERGE),
    ("merge a wrong type", "PATCH", f"{CNFC}/a", {"spec": {"microservice": 3}}, MERGE),
    ("merge what is not there", "PATCH", f"{CNFC}/zzz", {"spec": {}}, MERGE),
    ("steps", "PATCH", f"{CNFC}/a", [{"op": "test", "path": "/spec/microservice", "value": "b"},
                                    {"op": "replace", "path": "/spec/microservice", "value": "a"}], STEPS),
    ("steps whose test fails", "PATCH", f"{CNFC}/a", [{"op": "test", "path": "/spec/microservice", "value": "zz"}], STEPS),
    ("apply a status", "PATCH", f"{CNFC}/a/status?fieldManager=one&force=true",
     status("a", message="m", conditions=[condition("Ready", "True"), condition("Applied", "True")],
            agents=[{"name": "p1", "values": 1}]), APPLY),
    ("another one applies another entry", "PATCH", f"{CNFC}/a/status?fieldManager=two&force=true",
     status("a", agents=[{"name": "p2", "values": 2}]), APPLY),
    ("apply less", "PATCH", f"{CNFC}/a/status?fieldManager=one&force=true",
     status("a", conditions=[condition("Ready", "False")], agents=[{"name": "p1", "values": 3}]), APPLY),
    ("the other one applies nothing", "PATCH", f"{CNFC}/a/status?fieldManager=two&force=true", status("a"), APPLY),
    ("apply a status of nothing", "PATCH", f"{CNFC}/zzz/status?fieldManager=one&force=true", status("zzz", message="m"), APPLY),
    ("apply a wrong status", "PATCH", f"{CNFC}/a/status?fieldManager=one&force=true",
     status("a", conditions=[condition("Ready", "Perhaps")]), APPLY),
    ("apply a new object", "PATCH", f"{CNFC}/n?fieldManager=one&force=true", resource("n", LINK), APPLY),
    ("apply it otherwise", "PATCH", f"{CNFC}/n?fieldManager=one&force=true",
     resource("n", {"microservice": "c", "linuxConfig": {"namespaces": [{"name": "s"}]}}), APPLY),
    ("apply an empty list", "PATCH", f"{CNFC}/n?fieldManager=one&force=true",
     resource("n", {"microservice": "c", "configItems": []}), APPLY),
    ("apply an empty text", "PATCH", f"{CNFC}/n/status?fieldManager=one&force=true", status("n", message=""), APPLY),
    ("apply an entry with an empty list", "PATCH", f"{CNFC}/n/status?fieldManager=one&force=true",
     status("n", agents=[{"name": "p", "errors": []}]), APPLY),
    ("apply a condition with an empty text", "PATCH", f"{CNFC}/n/status?fieldManager=one&force=true",
     status("n", conditions=[{"type": "Ready", "status": "True", "message": ""}]), APPLY),
    ("apply without a name", "PATCH", f"{CNFC}/n", resource("n", LINK), APPLY),
    ("put a finalizer on", "PATCH", f"{CNFC}/a", {"metadata": {"finalizers": ["x.example/y"]}}, MERGE),
    ("delete", "DELETE", f"{CNFC}/a", None, None),
    ("it waits", "GET", f"{CNFC}/a", None, None),
    ("take it off", "PATCH", f"{CNFC}/a", {"metadata": {"finalizers": []}}, MERGE),
    ("it is gone", "GET", f"{CNFC}/a", None, None),
    ("delete at once", "DELETE", f"{CNFC}/n", None, None),
    ("delete another one", "DELETE", f"{CNFC}/u", {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}, None),
    ("delete nothing", "DELETE", f"{CNFC}/n", None, None),
    ("list", "GET", CNFC, None, None),
    ("list a page", "GET", f"{CNFC}?limit=1", None, None),
    ("list by label", "GET", f"{CNFC}?labelSelector=k%3Dv", None, None),
    ("list of all namespaces", "GET", "/apis/pantheon.tech/v1/cnfconfigurations", None, None),
    ("watch", "WATCH", f"{CNFC}?watch=true&timeoutSeconds=1&resourceVersion={{version:empty list}}", None, None),
    ("a lease", "POST", LEASES, LEASE, None),
    ("a lease again", "POST", LEASES, LEASE, None),
    ("renew", "PUT", f"{LEASES}/l", {**LEASE, "metadata": {"name": "l", "resourceVersion": "{version:a lease}"}, "spec": {
        **LEASE["spec"], "leaseTransitions": 1}}, None),
    ("renew too late", "PUT", f"{LEASES}/l", {**LEASE, "metadata": {"name": "l", "resourceVersion": "{version:a lease}"}}, None),
    ("no lease", "GET", f"{LEASES}/m", None, None),
    ("an event", "POST", EVENTS, EVENT, None),
    ("no such kind", "GET", "/apis/pantheon.tech/v1/namespaces/default/others", None, None),
    ("nobody knows who asks", "GET", CNFC, None, None, "wrong"),
    ("who has no role", "GET", CNFC, None, None, "agent-token"),
    ("a role", "POST", f"{RBAC}/roles", ROLE, None),
    ("its binding", "POST", f"{RBAC}/rolebindings", BINDING, None),
    ("who has a role", "GET", CNFC, None, None, "agent-token"),
    ("it is for some verbs", "PATCH", f"{CNFC}/u", {"spec": {"microservice": "z"}}, MERGE, "agent-token"),
    ("and some parts", "PATCH", f"{CNFC}/u/status", {"status": {"message": "z"}}, MERGE, "agent-token"),
    ("and some kinds", "GET", f"{LEASES}/l", None, None, "agent-token"),
    ("and a namespace", "GET", CNFC.replace("default", "other"), None, None, "agent-token"),
    ("apply with an old version", "PATCH", f"{CNFC}/s/status?fieldManager=one&force=true",
     {**status("s", message="m"), "metadata": {"name": "s", "resourceVersion": "1"}}, APPLY),
    ("apply with its version", "PATCH", f"{CNFC}/s/status?fieldManager=one&force=true",
     {**status("s", message="v"), "metadata": {"name": "s", "resourceVersion": "{version:status is not taken with the object}"}}, APPLY),
    ("more labels", "PATCH", f"{CNFC}/s", {"metadata": {"labels": {"k": "v"}}}, MERGE),
    ("fewer labels", "PATCH", f"{CNFC}/s", {"metadata": {"labels": {"k": None}}}, MERGE),
    ("watch by label", "WATCH", f"{CNFC}?watch=true&timeoutSeconds=1&labelSelector=k%3Dv&resourceVersion={{version:more labels}}",
     None, None),
]


class Server:
    def __init__(self, url):
        self.url, self.context = url, ssl._create_unverified_context()
        self.versions = {}

    def send(self, method, path, body=None, content_type=None, token="admin-token"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type or "application/json"}
        request = urllib.request.Request(self.url + path, method=method, data=data, headers=headers)
        context = self.context if self.url.startswith("https") else None
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def filled(self, text):
        for name, version in self.versions.items():
            text = text.replace(f"{{version:{name}}}", version)
        return text

    def ask(self, name, method, path, body, content_type, token="admin-token"):
        if body is not None:
            body = json.loads(self.filled(json.dumps(body)))
        code, data = self.send("GET" if method == "WATCH" else method, self.filled(path), body, content_type, token)
        if method == "WATCH":
            events = [json.loads(line) for line in data.splitlines()]
            return {"code": code, "events": [[e["type"], e["object"]["metadata"]["name"]] for e in events]}
        try:
            answer = json.loads(data)
        except json.JSONDecodeError:
            return {"code": code}
        if code >= 400:
            return {"code": code, **({"reason": answer["reason"]} if answer.get("reason") else {})}
        self.versions[name] = answer.get("metadata", {}).get("resourceVersion", "")
        # Of a delete, servers tell more or less.
        return {"code": code} if method == "DELETE" else {"code": code, "answer": plain(answer)}

    def define(self):
        with open(DEFINITION) as file:
            self.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(file))
        for _ in range(300):
            if self.send("GET", CNFC)[0] == 200:
                return
        sys.exit("the definition is not taken")

    def answers(self):
        self.define()
        return {request[0]: self.ask(*request) for request in REQUESTS}


def plain(value):
    if isinstance(value, list):
        return [plain(element) for element in value]
    if not isinstance(value, dict):
        return value
    return {
        name: "some" if name in ("deletionTimestamp",) else plain(inner)
        for name, inner in value.items() if name not in DROPPED and inner not in ("", None)
    }


def main(command, url, argument):
    if command == "record":
        print(json.dumps({"version": argument, "answers": Server(url).answers()}, indent=1, sort_keys=True))
        return
    with open(argument) as file:
        recording = json.load(file)
    answers, failed = Server(url).answers(), 0
    for name, wanted in recording["answers"].items():
        found = answers.get(name)
        if found != wanted:
            failed += 1
            print(f"{name}: the server of {recording['version']} said\n  {json.dumps(wanted, sort_keys=True)}\nthe stand-in\n  "
                  f"{json.dumps(found, sort_keys=True)}")
    print(f"{len(recording['answers']) - failed} of {len(recording['answers'])} answers are those of {recording['version']}")
    sys.exit(failed > 0)


main(*sys.argv[1:])
