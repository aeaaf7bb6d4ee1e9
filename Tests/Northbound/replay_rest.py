"""Asks what an agent of the ancestor was asked by HTTP and compares the answers field by field.

    replay_rest.py SOCKET RECORDING

rest.txt is of release 3.5; rest-text.txt of 3.1, which tells values as text in a string: for agents with --http-value-text.
What differs on purpose is listed below with its reason; one that does not differ any more is a failure too.
"""

import http.client
import json
import os
import re
import socket
import sys

_PLACE = "a mistake has its line and column, and what would be right"
_PREFIX_ROUTES = "routes that the kernel makes by itself, with addresses, are nobody's"
_NAMED = "what a value waits for is named, not only of which kind it is"

_NEWER = "answered as the newest release does"
_REFUSED = "a value that is refused is declared by nobody"

# By recording and title of the question: why our answer is another one.
ON_PURPOSE = {
    "rest.txt": {
        "configuration-put-bad": _PLACE,
        "configuration-put-empty": "it is said how to withdraw everything, if that is meant",
        "configuration-put-invalid-value": _PLACE,
        "configuration-put-notyaml": _PLACE,
        "configuration-validate-bad": _PLACE,
        "configuration-validate-invalid": _PLACE,
        "scheduler-status": _PREFIX_ROUTES + "; " + _NAMED,
        "scheduler-status-descriptor": _PREFIX_ROUTES + "; " + _NAMED,
        "scheduler-status-key-pending": _NAMED,
        "scheduler-dump-index": "there are more kinds of values",
        "scheduler-dump-interfaces-SB": "the uplink is another one each time, and has the kernel's choice of an address",
        "scheduler-dump-route-SB": _PREFIX_ROUTES,
        "scheduler-dump-route-cached": _PREFIX_ROUTES,
        "dump-linux-routes": _PREFIX_ROUTES + "; the scope is told",
        "configuration-get": "lists that are short stand on one line, and values in the order of their keys",
    },
    "rest-text.txt": {
        "scheduler-dump-bad-prefix": _NEWER,
        "scheduler-dump-interfaces-NB": _NEWER + "; " + _REFUSED,
        "scheduler-dump-interfaces-SB": _NEWER,
        "scheduler-dump-interfaces-cached": _NEWER,
        "scheduler-dump-route-SB": _PREFIX_ROUTES,
        "scheduler-status": _PREFIX_ROUTES + "; " + _NAMED,
        "scheduler-status-empty": _PREFIX_ROUTES + "; " + _NAMED,
    },
}

# What only the kernel or the clock decides, or what is nobody's business but the agent's.
IGNORED = {
    "LinuxIfIndex", "linux_if_index", "parent_index", "interface_index", "num_rx_queue", "num_tx_queue", "tx_queue_len",
    "oper_state", "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped", "start_time",
    "last_change", "last_update", "build_version", "build_date", "commit_hash", "plugins", "PluginStatus", "App",
    "Version", "GitCommit", "GitBranch", "BuildUser", "BuildHost", "BuildTime", "GoVersion", "Arch", "last_operation", "lastOperation",
}


class Connection(http.client.HTTPConnection):
    """HTTP through a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(path, method, target, body=None):
    connection = Connection(path)
    connection.request(method, target, body)
    response = connection.getresponse()
    return response.status, response.getheader("Content-Type") or "", response.read().decode()


def questions(path):
    """The questions of a recording: title, method, target, body, status, type, answer."""
    for part in re.split(r"^### ", open(path).read(), flags=re.M)[1:]:
        title, rest = part.split("\n", 1)
        head, answer = re.split(r"^HTTP/1\.1 ", rest, maxsplit=1, flags=re.M)
        request, _, body = head.partition("\n")
        method, target = request.split(" ", 1)
        status, _, answer = answer.partition("\n")
        kind = re.match(r"Content-Type: (.*)\n", answer)
        answer = answer.partition("\n\n")[2] if kind else answer
        yield (title, method, target, body.removeprefix("body: ") if body.strip() else None, int(status.split()[0]),
               kind.group(1) if kind else "", answer.strip())


def normal(value):
    """An answer without what is different each time, and in one order."""
    if isinstance(value, dict):
        return {k: normal(v) for k, v in value.items() if k not in IGNORED}
    if isinstance(value, list):
        return sorted((normal(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def content(text):
    try:
        return normal(json.loads(text))
    except json.JSONDecodeError:
        return text


def main():
    path, recording = sys.argv[1:]
    wrong, same, seen = 0, 0, set()
    on_purpose = ON_PURPOSE[os.path.basename(recording)]
    for title, method, target, body, status, kind, answer in questions(recording):
        seen.add(title)
        ours = ask(path, method, target, body)
        expected = (status, kind.lower(), content(answer))
        got = (ours[0], ours[1].lower(), content(ours[2].strip()))
        if got == expected:
            same += 1
            if title in on_purpose:
                print(f"DIFFERS NO MORE {title}")
                wrong += 1
        elif title not in on_purpose:
            print(f"DIFFERS {title}\n  ours   {got}\n  theirs {expected}"[:3000])
            wrong += 1
    for title in on_purpose.keys() - seen:
        print(f"NOT ASKED {title}")
        wrong += 1
    print(f"{len(seen)} questions: {same} answered as recorded, {len(seen) - same} otherwise")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
