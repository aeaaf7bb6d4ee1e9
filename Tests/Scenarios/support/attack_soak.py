"""Hostile users at random beside honest clients, for a while."""

import random
import time

from battlefield import PATIENCE
from harness import SEED, check

# What an attacker does, and for how many seconds at most.
_ORDERS = [
    lambda r: ("request", {"service": r.choice(["db", "echo", "evil", "nothing"]), "timeout": 3}),
    lambda r: ("request", {"service": "db", "masses": {r.choice(_MASSES): r.randrange(5000)}, "timeout": 3}),
    lambda r: ("request", {"service": "echo", "namespace": r.choice(_SPACES), "timeout": 3}),
    lambda r: ("request", {"service": "echo", "text": f"connection {{ path {{ index: {r.randrange(1 << 32)} }} }}", "timeout": 3}),
    lambda r: ("register", {"name": f"soak-{r.randrange(1000)}", "url": "tcp://127.0.0.1:9"}),
    lambda r: ("offer", {"name": f"soak-offer-{r.randrange(3)}", "answer": {"wait": r.randrange(3)}}),
    lambda r: ("find", {}),
    lambda r: ("monitor", {}),
    lambda r: ("close", {"path": [{"name": "victim", "id": "victim-db"}]}),
    lambda r: ("workload", {"metadata": []}),
    lambda r: ("unfinished", {"to": _where(r), "count": r.randrange(1, 40), "seconds": r.random() * 2}),
    lambda r: ("streams", {"to": _where(r), "count": r.randrange(2000)}),
    lambda r: ("broken", {"to": _where(r), "count": r.randrange(50), "seconds": 2}),
    lambda r: ("idle", {"to": _where(r), "count": r.randrange(1000), "seconds": 2}),
    lambda r: ("loris", {"to": _where(r), "count": r.randrange(100), "seconds": 1}),
    lambda r: ("descriptors", {"to": _where(r), "count": r.randrange(20)}),
    lambda r: ("frames", {"to": _where(r), "kind": r.choice(_KINDS), "seconds": r.random() * 2}),
    lambda r: ("deaf", {"connections": 1, "count": r.randrange(50)}),
    lambda r: ("names", {"count": r.randrange(500), "away": r.random() < 0.5, "seconds": 2}),
    lambda r: ("hang", {"service": "evil", "count": r.randrange(100), "seconds": 0.5}),
    lambda r: ("release", {}),
    lambda r: ("release", {}),
]
_KINDS = ["ping", "settings", "empty-data", "reset", "priority", "continuation", "window"]
_MASSES = ["labels", "src_routes", "excluded_prefixes", "ip_neighbors", "segments"]
_SPACES = ["/dev/null", "/run/netns/victim", "/run/netns/meshs-own", "/run/netns/nowhere"]
_PLACES = ["user", "another user", "pod", "pod user", "pod 2"]


def _where(r):
    return r.choice(["workload", "manager"])


def soak(field, seconds):
    """Until the time is over or the mesh has ended."""
    print(f"# hostile users at random for {seconds} s; seed {SEED}", flush=True)
    r = random.Random(SEED)
    attackers = {place: field.evil(place) for place in _PLACES}
    # What one lap costs stays: pools, caches. What the following laps add must not.
    # So the first one has each kind at its worst, of all attackers at once, and then what comes.
    worst(field, attackers)
    lap(field, attackers, r, max(10, seconds / 4), set())
    rest(field, attackers)
    memory, files = field.mesh.memory(), field.mesh.open_files()
    since, done = time.time(), set()
    lap(field, attackers, r, seconds * 3 / 4, done)
    found = field.harm(since)
    check("honest clients were served at all times", not found, "\n".join(found))
    if not check("the mesh lives", field.mesh.runs):
        return
    rest(field, attackers)
    grown, more = field.mesh.memory() - memory, field.mesh.open_files() - files
    check("its memory is flat", grown < 24, f"{grown:.0f} MB more than {memory:.0f}")
    check("so are its descriptors", more < 64, f"{more} more than {files}")
    rounds = [x["seconds"] for probe in field.probes for x in probe.rounds(since) if not x["error"]]
    if rounds:
        print(f"# {len(rounds)} honest requests, the slowest in {max(rounds):.2f} s of {PATIENCE:g}; {sorted(done)}", flush=True)


class Most:
    """A generator whose numbers are the greatest that there can be, and whose choices come in turn."""

    def __init__(self, turn):
        self.turn = turn

    def choice(self, options):
        return options[self.turn % len(options)]

    def randrange(self, *bounds):
        return bounds[-1] - 1

    def random(self):
        return 0.99


def worst(field, attackers):
    for turn in range(2):
        for order in _ORDERS:
            what, details = order(Most(turn))
            for evil in attackers.values():
                if not evil.runs:
                    evil.start()
                evil.order(what, **details)
            for evil in attackers.values():
                if evil.outcome(10)["answer"].startswith("nothing"):
                    evil.kill()


def lap(field, attackers, r, seconds, done):
    end = time.monotonic() + seconds
    busy = {}
    while time.monotonic() < end and field.mesh.runs:
        for place, evil in attackers.items():
            if not evil.runs:
                evil.start()
                busy.pop(place, None)
            if place in busy and evil.outcome(0)["answer"].startswith("nothing"):
                if time.monotonic() - busy[place] > 60:
                    evil.kill()
                continue
            what, order = r.choice(_ORDERS)(r)
            done.add(what)
            evil.order(what, **order)
            busy[place] = time.monotonic()
        time.sleep(0.02)
    for place, evil in attackers.items():
        if place in busy and evil.outcome(20)["answer"].startswith("nothing"):
            evil.kill()


def rest(field, attackers):
    """All attackers have gone; so should be what they cost."""
    for evil in attackers.values():
        evil.kill()
    time.sleep(5)
