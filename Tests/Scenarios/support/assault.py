"""Attacks by name: each runs at one or several places, and says what it could do."""

import random
import re
import time

from harness import LONG, SEED, check

_attacks = []


def attack(name, *places, state=True, fresh=False):
    """Marks an attack: it is given the battlefield and an attacker for each place, and returns what should not have been
    possible; nothing when all is well. `state` says whether the victims' networks are compared, `fresh` that the mesh is
    started anew before: what another attack has left hides what this one leaves."""

    def mark(function):
        for place in places or ("user",):
            _attacks.append((f"{name} [{place}]" if len(places) > 1 else name, place, state, fresh, function))
        return function

    return mark


def chosen(wanted):
    """All attacks at all places in the long suite, or where some are named; else each at one of its places, by chance."""
    if LONG or wanted:
        return _attacks
    print(f"# each attack at one of its places, seed {SEED}")
    chance = random.Random(SEED)
    places = {}
    for one in _attacks:
        places.setdefault((one[4], one[0].removesuffix(f" [{one[1]}]")), []).append(one)
    return [chance.choice(those) for those in places.values()]


def run_attacks(field, wanted=""):
    for name, place, state, fresh, function in chosen(wanted):
        if wanted and not re.search(wanted, f"{function.__module__} {function.__name__} {name}"):
            continue
        if fresh:
            field.renew()
        since = time.time()
        try:
            found = list(function(field, field.evil(place)) or [])
        except Exception as error:  # noqa: BLE001: the next ones are to run all the same
            found = [f"{type(error).__name__}: {error}"]
        field.leave()
        found += field.harm(since, state)
        if not check(name, not found, "\n".join(found)):
            field.heal()


def refused(outcome, *more):
    """Whether an outcome is a clear refusal."""
    answer = outcome["answer"] if isinstance(outcome, dict) else outcome
    return answer.startswith(("status", "closed", *more))


def unless_refused(what, outcome):
    """A list of what should not have been possible."""
    if refused(outcome):
        return []
    return [f"{what}: {outcome['answer'] if isinstance(outcome, dict) else outcome}"]
