"""An attacker: speaks the protocol, but not by its rules. It takes orders, one JSON object a line, from standard input.

`{"do": "request", "service": "db", "text": "connection { context { MTU: 4294967295 } }"}` is answered by one event
`done` with what came of it: `accepted`, `status CODE …` or `closed …`.
"""

from __future__ import annotations

import json
import resource
import sys
import threading
from argparse import Namespace

from .. import checks
from ..checks import event
from ..rpc import FAILURES, reason
from .floods import Floods
from .hand import Hand


class Evil(Floods, Hand):
    """All that it can do."""


def run(options: Namespace, stop: threading.Event) -> int:
    checks.tolerate([""])  # who breaks every rule can't complain
    evil = Evil(options.name, options.connect_to, options.workload_api, options.netns)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    event("ready")
    for line in sys.stdin:
        if stop.is_set():
            break
        order = json.loads(line)
        try:
            outcome = getattr(evil, order["do"])(order)
        except FAILURES as error:
            outcome = {"answer": f"closed {reason(error)}"}
        except Exception as error:  # an attack that this process does not survive is no attack
            outcome = {"answer": f"broken {type(error).__name__}: {error}"}
        event("done", do=order["do"], **outcome)
    evil.release({})
    return 0
