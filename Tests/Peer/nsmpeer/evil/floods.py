"""Too much of everything, each bounded in count and time."""

from __future__ import annotations

from .messages import Order


class Floods:
    """Part of an attacker; see hand.py for the other one."""
