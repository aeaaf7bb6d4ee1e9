"""What a run has seen: deviations from the protocol, and events for the test that started the process."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from . import tokens

log = logging.getLogger("nsmpeer")

_lock = threading.Lock()
_deviations: list[str] = []
_tolerated: list[re.Pattern[str]] = []


class Refused(Exception):
    """A call that cannot be served. Carries the name of a gRPC status code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def deviation(text: str, **details: Any) -> None:
    """The other side did what the protocol does not allow. The process goes on, and fails at its end."""
    if any(pattern.search(text) for pattern in _tolerated):
        log.info("tolerated: %s", text)
        return
    with _lock:
        _deviations.append(text)
        print(f"DEVIATION: {text}", file=sys.stderr, flush=True)
    event("deviation", text=text, **details)


def tolerate(patterns: list[str]) -> None:
    """Deviations that a test causes on purpose: regular expressions for their texts."""
    _tolerated.extend(re.compile(pattern) for pattern in patterns)


def require(holds: object, text: str) -> bool:
    """Notes a deviation unless `holds`."""
    if not holds:
        deviation(text)
    return bool(holds)


def event(kind: str, /, **fields: Any) -> None:
    """One JSON line on standard output."""
    line = json.dumps({"event": kind, "time": round(time.time(), 3), **{k: plain(v) for k, v in fields.items()}})
    with _lock:
        try:
            print(line, flush=True)
        except OSError:
            pass  # the reader has gone; the exit code still tells


def plain(value: Any) -> Any:
    """Messages as dictionaries, with tokens replaced by what they say: a log is no place for a credential."""
    if isinstance(value, Message):
        value = json_format.MessageToDict(value, preserving_proto_field_name=True)
    if isinstance(value, dict):
        return {k: tokens.describe(v) if k == "token" and isinstance(v, str) else plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def exit_code() -> int:
    """Says what was wrong, all at once, and how the process is to end."""
    with _lock:
        if not _deviations:
            return 0
        print(f"nsmpeer: {len(_deviations)} deviations", file=sys.stderr)
        for text in _deviations:
            print(f"DEVIATION: {text}", file=sys.stderr)
        sys.stderr.flush()
        return 1


def set_up_logging(level: str) -> None:
    logging.basicConfig(
        stream=sys.stderr, level=level.upper(), format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s", datefmt="%T"
    )
