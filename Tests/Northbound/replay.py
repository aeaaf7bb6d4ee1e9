"""Makes the recorded calls of an agent of the ancestor against ours and compares the answers field by field.

    replay.py TARGET RECORDING…

What differs on purpose is listed below with its reason; one that does not differ any more is a failure too.
"""

import json
import re
import sys

from client import Agent

_NAMED = "what a value waits for is named, not only of which kind it is"
_UNNAMED = "a value without a name can't be told from others: it is INVALID, not UNIMPLEMENTED"
_CHECKED = "the list has values that are refused here, or taken here, for the reasons above"

# By recording and title of the call: why our answer is another one.
ON_PURPOSE = {
    "manager.txt: pending": _NAMED,
    "manager.txt: gateway that no address reaches": _NAMED,
    "manager.txt: microservice that is not there": _NAMED,
    "manager.txt: existing, absent": _NAMED,
    "manager.txt: existing, present but down": _NAMED,
    "manager.txt: invalid: no name": _UNNAMED,
    "manager.txt: get config, by model only": _UNNAMED,
    "configurator.txt: update with an empty name": _UNNAMED,
    "manager.txt: mtu out of range": "an MTU that no interface can have is refused before it is tried",
    "manager.txt: EXISTING in a namespace": "interfaces of other programs are found in any namespace",
    "manager.txt: route without scope": "the scope follows from the gateway, as ip(8) has it",
    "manager.txt: get config, all": _CHECKED,
    "manager.txt: dump state, all": _CHECKED,
    "manager.txt: dump state, by id": "the ids are heeded",
    "manager.txt: get config after overwrite with nothing":
        "what another data source declares stays when one withdraws its own",
    "extra.txt: loopback": "such an address is taken by the kernel, and by us",
    "extra.txt: state of it after 3 s": "what failed is tried again, whoever declared it",
    "configurator.txt: dump": "routes say their scope, and those that the kernel makes by itself are nobody's",
}


def calls(path):
    """The calls of a recording: title, method, metadata, request, status, answer."""
    for part in re.split(r"^### ", open(path).read(), flags=re.M)[1:]:
        title, rest = part.split("\n", 1)
        match = re.match(r"/(\S+) \[(.*?)\]\n> (.*?)\n< (.*?)(?:\n|$)(.*)", rest, flags=re.S)
        if match is None:
            continue
        method, metadata, request, outcome, body = match.groups()
        words = metadata.split()
        status = re.match(r'status (\w+) "', outcome)
        code = "OK" if outcome.startswith("OK") else status.group(1) if status else None
        if code is None:
            continue
        answer = json.loads(body) if code == "OK" and body.strip() else {}
        try:
            yield title, method, list(zip(words[::2], words[1::2])), json.loads(request), code, answer
        except json.JSONDecodeError:
            # A request that was made of bytes.
            continue


def code_name(name):
    return name if name == "OK" else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()


def without_empty(value):
    """Empty messages are as good as none."""
    if isinstance(value, dict):
        return {k: v for k, v in ((k, without_empty(v)) for k, v in value.items()) if v not in ({}, [], None)}
    if isinstance(value, list):
        return [without_empty(v) for v in value]
    return value


def normal(method, answer):
    """An answer without what is different each time: numbers of transactions, order, models of our own."""
    answer = without_empty(answer)
    for key in ("results", "items", "known_models"):
        if key in answer:
            answer[key].sort(key=lambda entry: json.dumps(entry.get("key") or entry.get("item", {}).get("id")
                                                          or entry.get("spec"), sort_keys=True))
    for result in answer.get("results", []):
        if result["key"] == "seqnum":
            result["status"].pop("message", None)
    models = []
    for model in answer.get("known_models", []):
        if model["spec"]["module"].startswith("nsmagent."):
            continue
        # The recorder built these two elsewhere.
        if model["spec"]["module"] == "cnf.nsm":
            model["options"] = [option for option in model["options"] if option["key"] != "pkgPath"]
        models.append(model)
    if "known_models" in answer:
        answer["known_models"] = models
    if method.endswith("ConfiguratorService/Get") or method.endswith("ConfiguratorService/Dump"):
        for config in answer.values():
            for values in config.get("linux_config", {}).values():
                values.sort(key=lambda value: json.dumps(value, sort_keys=True))
    return answer


def replay(agent, path, differences):
    for title, method, metadata, request, code, expected in calls(path):
        timeout = 3 if "wait_done (8 s)" in title else 20
        if method.endswith(("/Subscribe", "/Notify", "/PollStats")):
            continue
        try:
            got, text, _, ours = agent.attempt(method, request, metadata, timeout)
        except Exception as error:
            # What this client can't even send, as it does not know the message.
            print(f"     {title}: not sent ({error})"[:150])
            continue
        detail = ""
        if got != code_name(code):
            detail = f" {got} instead of {code_name(code)}: {text}"
        elif got == "OK":
            ours, theirs = normal(method, ours), normal(method, expected)
            if ours != theirs:
                detail = f"\n  ours   {json.dumps(ours)}\n  theirs {json.dumps(theirs)}"
        differences.append((f"{path.rsplit('/', 1)[-1]}: {title}", bool(detail), detail))


def main():
    agent = Agent(sys.argv[1])
    differences = []
    for path in sys.argv[2:]:
        replay(agent, path, differences)
    wrong = 0
    for title, differs, detail in differences:
        if differs and title not in ON_PURPOSE:
            print(f"DIFFERS {title}{detail[:2000]}")
            wrong += 1
        elif not differs and title in ON_PURPOSE:
            print(f"DIFFERS NO MORE {title}")
            wrong += 1
    for title in ON_PURPOSE.keys() - {title for title, _, _ in differences}:
        print(f"NOT MADE {title}")
        wrong += 1
    same = sum(not differs for _, differs, _ in differences)
    print(f"{len(differences)} calls: {same} answered as recorded, {len(differences) - same} on purpose otherwise")
    sys.exit(wrong > 0)


main()
