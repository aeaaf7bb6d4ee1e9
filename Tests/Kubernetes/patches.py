"""The patches that an API server takes: merge (RFC 7386), JSON (RFC 6902) and server-side apply."""

import copy

# By which member the elements of a list are told apart; other lists are one value.
LIST_KEYS = {("status", "conditions"): "type", ("status", "agents"): "name"}


class Mistake(Exception):
    pass


class Conflict(Exception):
    pass


def merge(old, change):
    if not isinstance(change, dict):
        return change
    new = copy.deepcopy(old) if isinstance(old, dict) else {}
    for name, value in change.items():
        if value is None:
            new.pop(name, None)
        else:
            new[name] = merge(new.get(name), value)
    return new


def steps(old, changes):
    new = copy.deepcopy(old)
    for change in changes:
        path = [p.replace("~1", "/").replace("~0", "~") for p in change["path"].split("/")[1:]]
        parent = new
        try:
            for part in path[:-1]:
                parent = parent[int(part) if isinstance(parent, list) else part]
            last = path[-1]
            if isinstance(parent, list) and last != "-":
                last = int(last)
            if change["op"] == "test":
                if parent[last] != change["value"]:
                    raise Mistake("testing value failed")
            elif change["op"] == "remove":
                del parent[last]
            elif change["op"] == "replace":
                parent[last] = change["value"]
            elif isinstance(parent, list):
                parent.insert(len(parent) if last == "-" else last, change["value"])
            else:
                parent[last] = change["value"]
        except (KeyError, IndexError, ValueError):
            raise Mistake(f"no {change['path']}") from None
    return new


# ---- server-side apply ----


def leaves(value, path=()):
    """The fields of a value, in their order, and the maps around them. Elements of a list that has a key are fields."""
    key = LIST_KEYS.get(path)
    if isinstance(value, dict) and value:
        inner = [leaf for name, part in value.items() for leaf in leaves(part, path + (name,))]
        return ([path] if path else []) + inner
    if isinstance(value, list) and key:
        found = []
        for element in value:
            mark = path + ((key, element[key]),)
            found += [mark] + [leaf for name, part in element.items() for leaf in leaves(part, mark + (name,))]
        return found
    return [path]


def step(value, part, create=False):
    """The inner value of a path's part, or None."""
    if isinstance(part, tuple):
        for element in value if isinstance(value, list) else []:
            if element.get(part[0]) == part[1]:
                return element
        if create:
            value.append({part[0]: part[1]})
            return value[-1]
        return None
    return value.get(part) if isinstance(value, dict) else None


def get(value, path):
    for part in path:
        value = step(value, part)
        if value is None:
            return None
    return value


def put(value, path, new):
    for index, part in enumerate(path[:-1]):
        inner = step(value, part, create=True)
        if inner is None:
            inner = [] if isinstance(path[index + 1], tuple) else {}
            value[part] = inner
        value = inner
    part = path[-1]
    if isinstance(part, tuple):
        step(value, part, create=True)
    else:
        value[part] = copy.deepcopy(new)


def drop(value, path):
    parents = []
    for part in path[:-1]:
        parents.append((value, part))
        value = step(value, part)
        if value is None:
            return
    part = path[-1]
    if isinstance(part, tuple):
        value[:] = [element for element in value if element.get(part[0]) != part[1]]
    elif isinstance(value, dict):
        value.pop(part, None)


def decode(entry):
    return {tuple(tuple(p) if isinstance(p, list) else p for p in path) for path in entry["standinFields"]}


def apply(old, change, manager, part, is_forced, now):
    """What an object becomes when a manager says what it wants of it."""
    wanted = {name: value for name, value in change.items() if name not in ("apiVersion", "kind", "metadata")}
    metadata = {n: v for n, v in change.get("metadata", {}).items() if n in ("labels", "annotations", "finalizers")}
    if part:
        wanted = {name: value for name, value in wanted.items() if name == part}
    elif metadata:
        wanted["metadata"] = metadata
    order = leaves(wanted) if wanted else []
    for path in order:
        # Servers of 1.20 make null of them, which fits no type; not so of lists in elements.
        is_inner = any(isinstance(part, tuple) for part in path)
        if get(wanted, path) == "" or (get(wanted, path) == [] and not is_inner):
            raise Mistake(f"{'.'.join(map(str, path))}: Invalid value: \"null\"")
    mine = set(order)
    new = copy.deepcopy(old)
    new.setdefault("apiVersion", change.get("apiVersion"))
    new.setdefault("kind", change.get("kind"))
    if "name" in change.get("metadata", {}):
        new["metadata"]["name"] = change["metadata"]["name"]
    entries = new["metadata"].pop("managedFields", [])
    is_own = lambda e: e["manager"] == manager and e.get("subresource") == part and e["operation"] == "Apply"
    before = set().union(*(decode(e) for e in entries if is_own(e)))
    others = [e for e in entries if not is_own(e)]
    for entry in others:
        is_value = lambda path: not isinstance(path[-1], tuple) and not isinstance(get(wanted, path), dict)
        taken = {path for path in decode(entry) & mine if is_value(path) and get(old, path) != get(wanted, path)}
        if taken and not is_forced:
            raise Conflict(f"Apply failed with {len(taken)} conflict(s): conflict with \"{entry['manager']}\"")
        entry["standinFields"] = sorted(map(list, decode(entry) - taken), key=str)
    theirs = set().union(*(decode(e) for e in others))
    given_up = before - mine - theirs
    for path in (p for p in given_up if isinstance(p[-1], tuple)):
        drop(new, path)
    for path in sorted((p for p in given_up if not isinstance(p[-1], tuple)), key=len, reverse=True):
        # A map goes when nothing is left in it; what is there has been put there by somebody else.
        if not (isinstance(get(new, path), dict) and get(new, path) and any(p[:len(path)] == path for p in mine | theirs)):
            drop(new, path)
    for path in order:
        if not isinstance(path[-1], tuple) and isinstance(get(wanted, path), dict):
            if get(new, path) is None:
                put(new, path, {})
        else:
            put(new, path, get(wanted, path))
    own = {"manager": manager, "operation": "Apply", "standinFields": sorted(map(list, mine), key=str), "time": now}
    if part:
        own["subresource"] = part
    same = [e for e in entries if is_own(e)]
    if same and decode(same[0]) == mine and {k: v for k, v in new.items() if k != "metadata"} == {
            k: v for k, v in old.items() if k != "metadata"}:
        own["time"] = same[0]["time"]
    new["metadata"]["managedFields"] = [e for e in others if e["standinFields"]] + [own]
    return new
