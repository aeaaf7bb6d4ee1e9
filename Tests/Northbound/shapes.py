"""What answers are made of: where they have fields, and of which type, for those whose content is another each time."""

import json
import re
import sys
from fnmatch import fnmatchcase

from replay_rest import ask, questions

# Objects whose names are data.
_TABLES = {"PerValueCount", "Descriptors", "OperationCount", "ValueStateCount"}


def _walk(value, at, found):
    if isinstance(value, dict):
        found.setdefault(at, "object")
        is_table = at.rpartition(".")[2] in _TABLES
        for name, content in value.items():
            _walk(content, f"{at}.{'*' if is_table else name}", found)
    elif isinstance(value, list):
        found.setdefault(at, "array")
        for content in value:
            _walk(content, at + "[]", found)
    elif value is not None:
        found[at] = {bool: "bool", str: "string"}.get(type(value), "number")


def paths(value):
    """`PATH: TYPE` for every field that has a value. What is inside of recorded messages is compared elsewhere."""
    found = {}
    _walk(value, "", found)
    return sorted(f"{at or '.'}: {kind}" for at, kind in found.items() if "ProtoMsgData." not in at)


def figures(text):
    """`NAME: TYPE` for every metric. Those of the runtime and of its libraries are its own business."""
    return sorted(f"{name}: {kind}" for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.M)
                  if name.startswith("ligato_"))


_WORDS = "transactions tell in words what was done, and of values the keys"
_UNHAPPENED = "it has not happened here: no failures, retries or undone steps come of these questions"
_CLOSED = "an answer instead of a broken connection"
_PLAIN = "no pictures are drawn: graphviz draws what is told as dot"
_NO_VPP = "only agents with VPP have that"
_NO_TIMING = "parts are not timed, only transactions are, and their batches in /metrics"
_OUTSIDE = "interfaces of others are looked at when a value waits for one, and have no values of their own"

# By title: why fields are missing (-), more (+), or something else is answered (=).
ON_PURPOSE = {
    "downstream-resync": [("nothing has to be done again that is in place", ["- .Executed: array"])],
    "downstream-resync-verbose": [("nothing has to be done again that is in place", ["- .Executed: array"])],
    "dump-vpp-routes": [(_NO_VPP, ["= 404"])],
    "metrics-govppmux": [(_NO_VPP, ["= 404"])],
    "metrics": [(_NO_VPP, ["- ligato_govppmux_*"])],
    "flag-stats-error": [(_UNHAPPENED, ["- .PerValueCount.[*]: number"])],
    "flag-stats-nope": [(_CLOSED, ["= 500"])],
    "graph-badformat": [(_PLAIN, ["= 500"])],
    "graph-svg": [(_PLAIN, ["= 500"])],
    "key-timeline": [(_UNHAPPENED, ["- *.Flags.unavailable: string"])],
    "key-timeline-now": [("at that time there was nothing here", ["- *"])],
    "scheduler-dump-watcher-SB": [(_OUTSIDE, ["- .: array", "- [[][]]: object"])],
    "scheduler-dump-watcher-cached": [(_OUTSIDE, ["- .: array", "- [[][]]: object"])],
    "scheduler-stats": [(_NO_TIMING, [
        "- .AllDescriptors[[][]]: object", "- .Descriptors.[*]: array", "- .GraphMethods[[][]]: object"]),
        ("even the shortest takes some time", ["+ .TxnStats.Methods[[][]].min: number"])],
    "stats-configurator": [("no calls of gRPC were made before", ["- .AllOperations.*: number", "- .Operations[[][]]*"])],
    "txn-history": [
        (_WORDS, ["+ *.Description: string", "+ *.Summary: string", "- *.NewValue: object", "- *.PrevValue: object",
                  "- *.Value: object"]),
        ("a plan that fails is made anew, and not told", ["- *.Planned: array", "- *.WithSimulation: bool", "- *.NOOP: bool"]),
        (_UNHAPPENED, ["- *.Is*: bool", "- *.NewErrMsg: string", "- *.PrevErrMsg: string", "- *.Retry*: number"])],
    "txn-history-one": [
        (_WORDS, ["+ *.Description: string", "+ *.Summary: string", "- *.NewValue: object", "- *.Value: object"]),
        ("the second one is another one here", [
            "+ *.PrevState: string", "- *.Is*: bool", "- *.NOOP: bool", "- *.NewErrMsg: string"])],
    "txn-history-since": [("there was nothing after that time there", ["+ [[][]]: object"])],
}


def compare(path, title, method, target, body, status, kind, answer):
    """What differs, a line each."""
    got = ask(path, method, target, body)
    theirs = set(answer.splitlines())
    if status == 0 or got[0] != status:
        return {f"= {got[0]}"}
    if got[1].lower() != kind.lower():
        return {f"= {got[1]}"}
    if got[1].startswith("application/json"):
        ours = set(paths(json.loads(got[2])))
    else:
        ours = set(figures(got[2]))
    if not theirs:
        return set()
    return {f"- {line}" for line in tops(theirs - ours)} | {f"+ {line}" for line in tops(ours - theirs)}


def tops(lines):
    """Without what is inside of something that differs as a whole."""
    known = {line.partition(": ")[0] for line in lines}
    return {line for line in lines if not any(line.startswith((f"{at}.", f"{at}[]")) for at in known - {"."})}


def main():
    path, recording = sys.argv[1:]
    wrong, seen = 0, set()
    for question in questions(recording):
        title = question[0]
        seen.add(title)
        expected = {pattern for _, patterns in ON_PURPOSE.get(title, ()) for pattern in patterns}
        differences = compare(path, *question)
        for line in sorted(differences):
            if not any(fnmatchcase(line, pattern) for pattern in expected):
                print(f"DIFFERS {title}: {line}")
                wrong += 1
        for pattern in sorted(expected):
            if not any(fnmatchcase(line, pattern) for line in differences):
                print(f"DIFFERS NO MORE {title}: {pattern}")
                wrong += 1
    for title in ON_PURPOSE.keys() - seen:
        print(f"NOT ASKED {title}")
        wrong += 1
    print(f"{len(seen)} questions, {wrong} answered with other fields than expected")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
