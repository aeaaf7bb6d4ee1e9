"""What the environment says, in the words of the stock client and endpoint."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import parse_qsl, urlsplit

DEFAULT_MANAGER = "unix:///var/lib/networkservicemesh/nsm.io.sock"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

Network = IPv4Network | IPv6Network


class SettingError(Exception):
    """A variable or option that means nothing."""


def duration(text: str) -> float:
    """Seconds of `1h30m`, `200ms`, `0`."""
    if text == "0":
        return 0
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise SettingError(f"{text!r} is no duration such as 10m or 200ms")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def text(name: str, default: str = "") -> str:
    return os.environ.get(f"NSM_{name}") or default


def seconds(name: str, default: str) -> float:
    return duration(text(name, default))


def flag(name: str, default: bool) -> bool:
    value = text(name, "true" if default else "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise SettingError(f"NSM_{name} is {value!r}, not true or false")
    return value in ("true", "1")


def labels(value: str) -> dict[str, str]:
    """`k:v,k:v`"""
    found = {}
    for item in filter(None, value.split(",")):
        key, colon, content = item.partition(":")
        if not colon:
            raise SettingError(f"{item!r} is no key:value")
        found[key.strip()] = content.strip()
    return found


def standard_labels(given: dict[str, str]) -> dict[str, str]:
    """Adds where we run, when the environment knows and the label is not there."""
    for variable, key in (("NODE_NAME", "nodeName"), ("POD_NAME", "podName"), ("CLUSTER_NAME", "clusterName")):
        if value := os.environ.get(variable):
            given.setdefault(key, value)
    return given


def prefix_groups(value: str) -> list[list[Network]]:
    """`[a,b],c`: one address pair for each group; the pools of a bracket stand in for each other."""
    groups: list[list[Network]] = []
    for bracket, single in re.findall(r"\[([^\]]*)\]|([^,\[\]]+)", value):
        items = [item.strip() for item in (bracket or single).split(",") if item.strip()]
        if items:
            groups.append([ip_network(item, strict=False) for item in items])
    return groups


@dataclass
class ServiceURL:
    """One item of NSM_NETWORK_SERVICES: kernel://service[@domain]/interface?label=value."""

    service: str
    mechanism: str
    interface: str
    labels: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(value: str) -> ServiceURL:
        parts = urlsplit(value.strip())
        if not parts.scheme or not parts.netloc:
            raise SettingError(f"{value!r} is no kernel://service/interface")
        interface = parts.path.rstrip("/").rpartition("/")[2]
        return ServiceURL(parts.netloc, parts.scheme.upper(), interface, dict(parse_qsl(parts.query)))
