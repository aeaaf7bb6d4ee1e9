#!/usr/bin/env python3
"""A stand-in for the Kubernetes API server: the part of it that cnf-crd and nsm-agent use, checked against recordings of a real one.

    standin.py PORT [--host ADDRESS] [--history N] [--data FILE] [--tokens FILE] [--tls CERTIFICATE KEY]
               [--clients FILE]

Lists with pages, watches with bookmarks and 410, merge, JSON and server-side apply patches, status as a subresource, schemas of
custom resources, finalizers, leases, events; no admission, no other groups. With --data it keeps what it was told, and knows it
again after a kill -9, but tells nobody of what happened before. With --tokens (TOKEN,USER,UID[,GROUPS], read anew when it changes) it
asks who is there, and roles say what he may do. With --clients, authorities, certificates say it as well.

POST /standin/forget makes every version that was handed out too old to be watched from. GET /standin/counts says how often what was
asked for, and how many changes those were told who watch.
"""

import bisect
import collections
import copy
import csv
import json
import os
import re
import socket
import ssl
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import patches
import schemas

lock = threading.Condition()
version = 0
# (group, version, plural) -> its kind, whether it has a status part, and its schema.
kinds = {
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions"): {"kind": "CustomResourceDefinition", "status": False},
    ("coordination.k8s.io", "v1", "leases"): {"kind": "Lease", "status": False},
    ("events.k8s.io", "v1", "events"): {"kind": "Event", "status": False},
    ("", "v1", "pods"): {"kind": "Pod", "status": True},
    ("", "v1", "namespaces"): {"kind": "Namespace", "status": True},
    ("", "v1", "serviceaccounts"): {"kind": "ServiceAccount", "status": False},
    **{("rbac.authorization.k8s.io", "v1", f"{kind.lower()}s"): {"kind": kind, "status": False}
       for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")},
}
objects = {}  # (kind key) -> {(namespace, name): object}; objects are replaced, never changed
history = {}  # (kind key) -> [Change]
forgotten = 0  # up to which version nothing is known any more
dropped = {}  # (kind key) -> the same for this kind alone
most_history = 20000
counts = {}  # "METHOD PLURAL" -> number
journal = None
options = {}


Change = collections.namedtuple("Change", "version kind item before line")


class Refusal(Exception):
    def __init__(self, code, reason, message):
        self.code, self.reason, self.message = code, reason, message


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(kind, item):
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def tell(key, kind, item, before=None):
    """A change: a new version, for those who watch."""
    global version
    version += 1
    item["metadata"]["resourceVersion"] = str(version)
    past = history.setdefault(key, [])
    past.append(Change(version, kind, item, before, event(kind, item)))
    if len(past) > most_history * 2:
        dropped[key] = past[-most_history - 1].version
        del past[:-most_history]
    if journal:
        journal.write(json.dumps([key, kind, item]) + "\n")
        journal.flush()
    lock.notify_all()


def restore(path):
    """Takes in what was told before a kill -9; a line that was cut off was answered to nobody."""
    global version, forgotten, journal
    if os.path.exists(path):
        with open(path) as file:
            text = file.read()
        whole = text[:text.rfind("\n") + 1]
        for line in whole.splitlines():
            key, kind, item = json.loads(line)
            key, place = tuple(key), (item["metadata"].get("namespace"), item["metadata"]["name"])
            version = int(item["metadata"]["resourceVersion"])
            if kind == "DELETED":
                objects[key].pop(place)
                continue
            objects.setdefault(key, {})[place] = item
            if key[2] == "customresourcedefinitions":
                register(item)
        os.truncate(path, len(whole.encode()))
    forgotten = version
    journal = open(path, "a")


# ---- who may do what ----


def user(headers, connection):
    """(name, groups) of who asks; without --tokens, somebody who may do everything."""
    subject = dict(pair[0] for pair in (connection.getpeercert() or {}).get("subject", ())) if "clients" in options else {}
    if subject:
        return subject["commonName"], [subject.get("organizationName", "")]
    if "tokens" not in options:
        return "admin", ["system:masters"]
    with open(options["tokens"]) as file:
        for row in csv.reader(file):
            if row and headers.get("Authorization") == f"Bearer {row[0]}":
                return row[1], row[3].split(",") if len(row) > 3 else []
    raise Refusal(401, "Unauthorized", "Unauthorized")


def is_meant(subject, who):
    name, groups = who
    if subject["kind"] == "ServiceAccount":
        return name == f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
    return subject["name"] == name if subject["kind"] == "User" else subject["name"] in groups


def is_allowed(who, verb, key, namespace, name, part):
    api, resource = "rbac.authorization.k8s.io", key[2] + (f"/{part}" if part else "")
    for plural in ("rolebindings", "clusterrolebindings"):
        for (space, _), binding in objects.get((api, "v1", plural), {}).items():
            if (space and space != namespace) or not any(is_meant(s, who) for s in binding.get("subjects", [])):
                continue
            reference = binding["roleRef"]
            kind, place = (("roles", space) if reference["kind"] == "Role" else ("clusterroles", None))
            role = objects.get((api, "v1", kind), {}).get((place, reference["name"]), {})
            for rule in role.get("rules", []):
                fits = lambda field, value: {value, "*"} & set(rule.get(field, []))
                if rule.get("resourceNames") and name not in rule["resourceNames"]:
                    continue
                if fits("verbs", verb) and fits("apiGroups", key[0]) and fits("resources", resource):
                    return True
    return False


def authorize(who, verb, key, namespace, name, part):
    if "system:masters" in who[1] or is_allowed(who, verb, key, namespace, name, part):
        return
    resource = key[2] + (f"/{part}" if part else "")
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise Refusal(403, "Forbidden", f"{label(key, name or '')} is forbidden: User \"{who[0]}\" cannot {verb} resource "
                  f"\"{resource}\" in API group \"{key[0]}\" {where}")


def the_one(query):
    """The name of the one object that a list or a watch is about, which rights are asked for; None: it is about more."""
    return re.sub("^metadata.name=", "", x) if (x := query.get("fieldSelector", [""])[0]).startswith("metadata.name=") else None


def count(what):
    counts[what] = counts.get(what, 0) + 1


VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def label(key, name):
    group, _, plural = key
    return f"{plural}.{group} \"{name}\"" if group else f"{plural} \"{name}\""


def find(key, namespace, name):
    item = objects.get(key, {}).get((namespace, name))
    if item is None:
        raise Refusal(404, "NotFound", f"{label(key, name)} not found")
    return item


def validate(key, item, name):
    schema = kinds[key].get("schema")
    if not schema:
        return
    schemas.prune(item, schema)
    found = schemas.mistakes(item, schema)
    if found:
        kind = kinds[key]["kind"]
        group = f".{key[0]}" if key[0] else ""
        text = found[0] if len(found) == 1 else "[" + ", ".join(found) + "]"
        raise Refusal(422, "Invalid", f"{kind}{group} \"{name}\" is invalid: {text}")


def register(definition):
    spec = definition["spec"]
    for entry in spec["versions"]:
        schema = copy.deepcopy(entry["schema"]["openAPIV3Schema"])
        schema.setdefault("properties", {})["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        kinds[(spec["group"], entry["name"], spec["names"]["plural"])] = {
            "kind": spec["names"]["kind"], "status": "status" in entry.get("subresources", {}), "schema": schema,
        }


def create(key, namespace, item):
    metadata = item.setdefault("metadata", {})
    if "name" not in metadata:
        if not metadata.get("generateName"):
            raise Refusal(422, "Invalid", "name or generateName is required")
        metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
    name = metadata["name"]
    if (namespace, name) in objects.get(key, {}):
        raise Refusal(409, "AlreadyExists", f"{label(key, name)} already exists")
    if metadata.get("resourceVersion"):
        raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
    if namespace:
        metadata["namespace"] = namespace
    metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now())
    if key[0] not in ("coordination.k8s.io", "events.k8s.io", "rbac.authorization.k8s.io", ""):
        metadata["generation"] = 1
    if kinds[key]["status"]:
        item.pop("status", None)
    validate(key, item, name)
    objects.setdefault(key, {})[(namespace, name)] = item
    if key[2] == "customresourcedefinitions":
        register(item)
    tell(key, "ADDED", item)
    return item


def replace(key, namespace, name, old, new, part):
    """An object becomes another one; what its part is not, stays."""
    metadata = new.setdefault("metadata", {})
    given = metadata.get("resourceVersion")
    if given and given != old["metadata"]["resourceVersion"]:
        raise Refusal(
            409, "Conflict", f"Operation cannot be fulfilled on {label(key, name)}: the object has been modified; "
            "please apply your changes to the latest version and try again")
    if metadata.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        raise Refusal(409, "Conflict", f"Operation cannot be fulfilled on {label(key, name)}: Precondition failed: UID")
    if part == "status":
        kept = copy.deepcopy(old)
        kept.pop("status", None)
        if "status" in new:
            kept["status"] = new["status"]
        kept["metadata"]["managedFields"] = metadata.get("managedFields", [])
        new = kept
    elif kinds[key]["status"]:
        new.pop("status", None)
        if "status" in old:
            new["status"] = copy.deepcopy(old["status"])
    metadata = new["metadata"]
    for field in ("uid", "creationTimestamp", "generation", "name", "namespace", "deletionTimestamp", "resourceVersion"):
        metadata.pop(field, None)
        if field in old["metadata"]:
            metadata[field] = old["metadata"][field]
    new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
    validate(key, new, name)
    if not metadata.get("managedFields"):
        metadata.pop("managedFields", None)
    strip = lambda item: {k: v for k, v in item.items() if k not in ("metadata", "status")}
    for field in ("finalizers", "labels", "annotations"):
        if not metadata.get(field):
            metadata.pop(field, None)
    if strip(new) != strip(old) and "generation" in old["metadata"]:
        metadata["generation"] = old["metadata"].get("generation", 0) + 1
    if new == old:
        return old
    if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
        return remove(key, namespace, name, new)
    objects[key][(namespace, name)] = new
    tell(key, "MODIFIED", new, old)
    return new


def remove(key, namespace, name, item):
    del objects[key][(namespace, name)]
    tell(key, "DELETED", item)
    return item


def delete(key, namespace, name, options):
    item = find(key, namespace, name)
    wanted = options.get("preconditions") or {}
    for field in ("uid", "resourceVersion"):
        if wanted.get(field, item["metadata"][field]) != item["metadata"][field]:
            raise Refusal(409, "Conflict", f"Operation cannot be fulfilled on {label(key, name)}: the {field} in the "
                          "precondition does not match")
    if not item["metadata"].get("finalizers"):
        remove(key, namespace, name, copy.deepcopy(item))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if not item["metadata"].get("deletionTimestamp"):
        item = copy.deepcopy(item)
        item["metadata"].update(deletionTimestamp=now(), deletionGracePeriodSeconds=0)
        item["metadata"]["generation"] = item["metadata"].get("generation", 0) + 1
        before, objects[key][(namespace, name)] = objects[key][(namespace, name)], item
        tell(key, "MODIFIED", item, before)
    return item


def patch(key, namespace, name, part, content_type, change, query):
    old = objects.get(key, {}).get((namespace, name))
    if content_type == "application/apply-patch+yaml":
        manager = query.get("fieldManager", [""])[0]
        if not manager:
            raise Refusal(422, "Invalid", "fieldManager is required for apply patch")
        if old is None and not part:
            item = patches.apply({"metadata": {}}, change, manager, part, True, now())
            return create(key, namespace, item)
        if old is None:
            raise Refusal(404, "NotFound", f"{label(key, name)} not found")
        given = change.get("metadata", {}).get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Refusal(409, "Conflict", f"Operation cannot be fulfilled on {label(key, name)}: the object has been modified")
        try:
            new = patches.apply(old, change, manager, part, query.get("force") == ["true"], now())
        except patches.Conflict as conflict:
            raise Refusal(409, "Conflict", str(conflict)) from None
        except patches.Mistake as mistake:
            raise Refusal(422, "Invalid", f"{label(key, name)} is invalid: {mistake}") from None
    elif old is None:
        raise Refusal(404, "NotFound", f"{label(key, name)} not found")
    elif content_type == "application/merge-patch+json":
        new = patches.merge(old, change)
    elif content_type == "application/json-patch+json":
        try:
            new = patches.steps(old, change)
        except patches.Mistake as mistake:
            raise Refusal(422, "Invalid", f"the server rejected our request due to an error in our request: {mistake}") from None
    else:
        raise Refusal(415, "UnsupportedMediaType", f"{content_type} is not taken")
    return replace(key, namespace, name, old, new, part)


def selected(item, query):
    """Labels that must be equal, or must not be; fields that must be equal."""
    for term in filter(None, query.get("labelSelector", [""])[0].split(",")):
        name, unequal, value = re.fullmatch(r"([^=!]+)(!)?==?(.*)", term).groups()
        if (item["metadata"].get("labels", {}).get(name) == value) == bool(unequal):
            return False
    for term in filter(None, query.get("fieldSelector", [""])[0].split(",")):
        path, value = term.split("=", 1)
        for field in path.split("."):
            item = item.get(field, {})
        if item != value:
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_request(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        try:
            code, answer = self.route(url.path, query, json.loads(body) if body else {}, user(self.headers, self.connection))
        except Refusal as refusal:
            code, answer = refusal.code, {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": refusal.message,
                "reason": refusal.reason, "code": refusal.code,
            }
        except json.JSONDecodeError:
            code, answer = 400, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 400,
                                 "reason": "BadRequest", "message": "the body is no JSON"}
        if answer is not None:
            self.answer(code, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def route(self, path, query, body, who):
        global forgotten
        parts = [unquote(p) for p in path.split("/") if p]
        if path == "/version":
            return 200, {"major": "1", "minor": "20", "gitVersion": "v1.20.2-standin"}
        if path in ("/readyz", "/healthz"):
            return 200, {}
        if path == "/standin/counts":
            with lock:
                return 200, dict(counts)
        if path == "/standin/forget":
            with lock:
                forgotten = version
                history.clear()
                lock.notify_all()
            return 200, {}
        if parts[:1] == ["api"]:
            group, rest = "", parts[1:]
        elif parts[:1] == ["apis"] and len(parts) > 2:
            group, rest = parts[1], parts[2:]
        else:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        api, rest = rest[0], rest[1:]
        namespace = None
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        key = (group, api, rest[0])
        name, part = (rest + [None, None])[1:3]
        verb = VERBS.get(self.command) or ("get" if name else "watch" if "watch" in query else "list")
        with lock:
            count(f"{verb} {key[2]}" + (f"/{part}" if part else ""))
            authorize(who, verb, key, namespace, name or the_one(query), part)
        if key not in kinds or (part and (part != "status" or not kinds[key]["status"])):
            raise Refusal(404, "", "the server could not find the requested resource")
        with lock:
            if self.command == "GET" and name:
                return 200, find(key, namespace, name)
            if self.command == "POST":
                body.setdefault("apiVersion", f"{group}/{api}" if group else api)
                body.setdefault("kind", kinds[key]["kind"])
                return 201, create(key, namespace, body)
            if self.command == "PUT":
                return 200, replace(key, namespace, name, find(key, namespace, name), body, part)
            if self.command == "PATCH":
                was = (namespace, name) in objects.get(key, {})
                item = patch(key, namespace, name, part, self.headers["Content-Type"], body, query)
                return 200 if was else 201, item
            if self.command == "DELETE":
                return 200, delete(key, namespace, name, body)
            if query.get("watch", [""])[0] not in ("true", "1"):
                return 200, self.list(key, namespace, query)
        self.watch(key, namespace, query)
        return 200, None

    def list(self, key, namespace, query):
        items = [
            item for (space, _), item in sorted(objects.get(key, {}).items(), key=lambda i: (i[0][0] or "", i[0][1]))
            if namespace in (None, space) and selected(item, query)
        ]
        metadata = {"resourceVersion": str(version)}
        start, limit = 0, int(query.get("limit", ["0"])[0])
        if "continue" in query:
            start, since = map(int, query["continue"][0].split("-"))
            if since < forgotten:
                raise Refusal(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
            metadata["resourceVersion"] = str(since)
        if limit and start + limit < len(items):
            metadata["continue"] = f"{start + limit}-{metadata['resourceVersion']}"
            metadata["remainingItemCount"] = len(items) - start - limit
            items = items[start:start + limit]
        else:
            items = items[start:]
        group, api, _ = key
        return {
            "apiVersion": f"{group}/{api}" if group else api, "kind": kinds[key]["kind"] + "List", "metadata": metadata,
            "items": items,
        }

    def send_line(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def send(self, kind, item):
        self.send_line(event(kind, item))

    def tell_selected(self, key, change, query):
        """What is selected no more is gone for who watches, and what is now is new."""
        is_now = selected(change.item, query)
        was = is_now if change.before is None else selected(change.before, query)
        if is_now or was:
            with lock:
                count(f"tell {key[2]}")
        if is_now and was:
            self.send_line(change.line)
        elif is_now or was:
            self.send("ADDED" if is_now else "DELETED", change.item)

    def watch(self, key, namespace, query):
        since = int(query.get("resourceVersion", ["0"])[0] or 0)
        end = time.monotonic() + float(query.get("timeoutSeconds", ["1800"])[0])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        wants_bookmarks = query.get("allowWatchBookmarks") == ["true"]
        try:
            while True:
                with lock:
                    past = history.get(key, [])
                    if since < max(forgotten, dropped.get(key, 0)):
                        self.send("ERROR", {
                            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired",
                            "message": f"too old resource version: {since} ({version})", "code": 410,
                        })
                        break
                    news = past[bisect.bisect_right(past, since, key=lambda change: change.version):]
                    latest = version
                    if not news and time.monotonic() < end:
                        if not lock.wait(min(1, max(0, end - time.monotonic()))) and wants_bookmarks and latest > since:
                            since = latest
                            self.bookmark(key, latest)
                        continue
                for change in news:
                    since = change.version
                    if namespace in (None, change.item["metadata"].get("namespace")):
                        self.tell_selected(key, change, query)
                if time.monotonic() >= end:
                    if wants_bookmarks:
                        self.bookmark(key, since)
                    break
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        self.close_connection = True

    def bookmark(self, key, number):
        group, api, _ = key
        self.send("BOOKMARK", {
            "apiVersion": f"{group}/{api}" if group else api, "kind": kinds[key]["kind"],
            "metadata": {"resourceVersion": str(number), "creationTimestamp": None},
        })


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    rest = sys.argv[2:]
    while rest:
        name = rest.pop(0).removeprefix("--")
        options[name] = [rest.pop(0), rest.pop(0)] if name == "tls" else rest.pop(0)
    most_history = int(options.get("history", most_history))
    if "data" in options:
        restore(options["data"])
    host = options.get("host", "127.0.0.1")
    Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = Server((host, int(sys.argv[1])), Handler)
    if "tls" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options["tls"])
        if "clients" in options:
            context.load_verify_locations(options["clients"])
            context.verify_mode = ssl.CERT_OPTIONAL
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
