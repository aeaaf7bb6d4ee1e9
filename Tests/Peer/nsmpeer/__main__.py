"""The roles of the peer, and their options. Most defaults come from the environment, as those of stock programs do."""

from __future__ import annotations

import argparse
import faulthandler
import os
import signal
import sys
import threading

from . import bad, calls, checks, client, endpoint, evil, faults, finder, manager, nsmgr, pings, probe, settings, workload
from .settings import text

_OWN_NETNS = "/proc/self/ns/net"


def _common(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--name", default=text("NAME", name), help="NSM_NAME")
    parser.add_argument(
        "--workload-api", default=os.environ.get("SPIFFE_ENDPOINT_SOCKET"), help="SPIFFE_ENDPOINT_SOCKET: unix:///path"
    )
    parser.add_argument("--token-lifetime", default=text("MAX_TOKEN_LIFETIME", "10m"), help="NSM_MAX_TOKEN_LIFETIME")


def _connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connect-to", default=text("CONNECT_TO", settings.DEFAULT_MANAGER), help="NSM_CONNECT_TO")
    parser.add_argument("--netns", default=_OWN_NETNS, help="network namespace to offer instead of our own")


def _fault(parser: argparse.ArgumentParser) -> None:
    known = "; ".join(f"{name}: {meaning}" for name, meaning in faults.NAMES.items())
    parser.add_argument("--fault", action="append", default=[], choices=faults.NAMES, metavar="NAME", help=known)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="peer", description=__doc__)
    parser.add_argument("--log-level", default=text("LOG_LEVEL", "INFO"), help="NSM_LOG_LEVEL")
    parser.add_argument("--tolerate", action="append", default=[], metavar="REGEX", help="deviations to let pass")
    parser.add_argument("--no-pings", action="store_true", help="no PING for each message, as grpc-go sends it")
    roles = parser.add_subparsers(dest="role", required=True)

    role = roles.add_parser("workload", help="a SPIFFE Workload API; SIGUSR1 rotates every SVID")
    role.add_argument("--socket", action="append", required=True, metavar="PATH[=NAME]", help="repeatable")
    role.add_argument("--trust-domain", default="example.org")
    role.add_argument("--id", action="append", default=[], metavar="uid:N=NAME|pid:N=NAME", help="who is who")
    role.add_argument("--ca", metavar="FILE", help="keeps the authority: read when it is there, else written")
    role.add_argument("--lifetime", default="1h", help="of an SVID")
    role.add_argument("--rotate", metavar="DURATION", help="a new SVID so often; default: half the lifetime")

    role = roles.add_parser("manager", help="registry, manager and kernel forwarder; SIGUSR1 requests refreshes")
    _common(role, "nsmgr")
    _fault(role)
    role.add_argument("--listen", default=text("LISTEN_ON", settings.DEFAULT_MANAGER), help="NSM_LISTEN_ON")
    role.add_argument("--registration-lifetime", default="1m")
    role.add_argument("--exclude", action="append", default=[], metavar="PREFIX", help="excluded prefixes")
    role.add_argument("--service", action="append", default=[], metavar="JSON", help="a NetworkService with matches")
    role.add_argument(
        "--shared-services", action="store_true", help="a service may be registered by several identities"
    )
    role.add_argument("--control", action="store_true", help="lines on stdin: refresh [ID], down [ID], end-streams")
    role.add_argument("--close-at-end", action="store_true", help="SIGTERM closes every connection")

    role = roles.add_parser("nsmgr", help="registry and manager that puts a forwarder of somebody else in between")
    _common(role, "nsmgr")
    role.add_argument("--listen", default=text("LISTEN_ON", settings.DEFAULT_MANAGER), help="NSM_LISTEN_ON")
    role.add_argument("--listen-remote", default="", metavar="URL", help="where other hosts find it: tcp://host:port")
    role.add_argument("--other", action="append", default=[], metavar="URL", help="the manager of another host")
    role.add_argument("--registration-lifetime", default="1m")
    role.add_argument("--exclude", action="append", default=[], metavar="PREFIX", help="excluded prefixes")
    role.add_argument("--forwarder-service", default=text("FORWARDER_NETWORK_SERVICE_NAME", "forwarder"))

    role = roles.add_parser("endpoint", help="offers services; SIGUSR1 breaks off monitoring")
    _common(role, "icmp-server")
    _connect(role)
    _fault(role)
    role.add_argument("--listen", default="", help="default: unix:// in a new folder in --base-dir")
    role.add_argument("--base-dir", default=text("BASE_DIR", "./"), help="NSM_BASE_DIR")
    services = text("SERVICE_NAMES", "icmp-responder").split(",")
    role.add_argument("--services", nargs="+", default=services, help="NSM_SERVICE_NAMES")
    role.add_argument("--payload", default=text("PAYLOAD", "ETHERNET"), help="NSM_PAYLOAD")
    role.add_argument("--labels", default=text("LABELS"), metavar="K:V,K:V", help="NSM_LABELS")
    role.add_argument(
        "--cidr-prefix", default=text("CIDR_PREFIX", "169.254.0.0/16"), help="NSM_CIDR_PREFIX; - for none"
    )
    role.add_argument("--mtu", type=int, default=0)
    role.add_argument(
        "--fresh-names",
        action="store_true",
        help="as stock endpoints do: who names no interface gets a new one, even for an established connection",
    )
    register = settings.flag("REGISTER_SERVICE", True)
    role.add_argument("--register-service", action=argparse.BooleanOptionalAction, default=register)
    leave = settings.flag("UNREGISTER_ITSELF", False)
    role.add_argument("--unregister-itself", action=argparse.BooleanOptionalAction, default=leave)

    role = roles.add_parser("client", help="connects to services")
    _common(role, "nsc")
    _connect(role)
    services = [url for url in text("NETWORK_SERVICES").split(",") if url]
    role.add_argument("--services", nargs="+", default=services, metavar="URL", help="NSM_NETWORK_SERVICES")
    role.add_argument("--exclude", action="append", default=[], metavar="PREFIX", help="excluded prefixes")
    role.add_argument("--once", action="store_true", help="connect, check, close, end")
    role.add_argument("--note", action="append", default=[], metavar="KEY=VALUE", help="in the request's context")

    role = roles.add_parser("find", help="says which services and endpoints a registry has")
    _common(role, "find")
    _connect(role)

    role = roles.add_parser("calls", help="many quick calls on one connection, each with a PING")
    _common(role, "calls")
    _connect(role)
    role.add_argument("--count", type=int, default=100_000)
    role.add_argument("--method", choices=("health", "find", "find-service"), default="health")

    role = roles.add_parser("evil", help="attacks a mesh: takes orders, JSON lines, from standard input")
    _common(role, "evil")
    _connect(role)

    role = roles.add_parser("probe", help="asks for a connection again and again, and says how long each takes")
    _common(role, "probe")
    _connect(role)
    role.add_argument("--service", default="icmp-responder", help="- for calls of the registry alone")
    role.add_argument("--every", default="300ms")

    role = roles.add_parser("bad", help="misbehaves towards a manager, and says what it answered")
    _common(role, "bad")
    _connect(role)
    role.add_argument("--service", default="icmp-responder", help="a service that exists")
    role.add_argument("--ca", metavar="FILE", help="the authority of the workload role, to make bad SVIDs")
    role.add_argument("--list", action="store_true", help="only names of cases")
    role.add_argument("case", nargs="*", help="default: all")
    return parser


def main() -> int:
    options = _parser().parse_args()
    checks.set_up_logging(options.log_level)
    checks.tolerate(options.tolerate)
    pings.enabled = not options.no_pings
    faulthandler.register(signal.SIGUSR2)
    if options.role != "workload" and not options.workload_api:
        sys.exit("peer: where is the Workload API? Set SPIFFE_ENDPOINT_SOCKET or --workload-api")
    if options.role == "client" and not options.services:
        sys.exit("peer: which services? Set NSM_NETWORK_SERVICES or --services")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: stop.set())
    run = {
        "workload": workload,
        "manager": manager,
        "nsmgr": nsmgr,
        "endpoint": endpoint,
        "client": client,
        "find": finder,
        "calls": calls,
        "evil": evil,
        "probe": probe,
        "bad": bad,
    }[options.role].run
    try:
        code = run(options, stop) or 0
    except settings.SettingError as error:
        sys.exit(f"peer: {error}")
    return max(code, checks.exit_code())


if __name__ == "__main__":
    result = main()
    # Threads of the gRPC library may still wait for calls that nobody will end.
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(result)
