"""Numbers that are out of every range."""

from assault import attack
from battlefield import HOST

HUGE, LEAST, MOST32 = 1 << 62, -(1 << 63), (1 << 32) - 1
MOMENTS = [f"seconds: {HUGE}", f"seconds: {LEAST}", "seconds: -1 nanos: -2147483648", "seconds: 9223372036 nanos: 2147483647"]


def forged(name, text):
    """A segment that nobody has signed."""
    return {"name": name, "id": f"{name}-0", "token": "stranger", "sub": "spiffe://nsm.local/x", "text": text}


def survives(field, what):
    return [] if field.mesh.runs else [what]


@attack("a path's earlier segment ends at an impossible moment", "user", "pod")
def earlier_segment(field, evil):
    for moment in MOMENTS:
        path = [forged("before", f"expires {{ {moment} }}"), {"name": "evil", "id": "evil-0"}]
        evil.do("request", service="db", path=path, index=1)
        if not field.mesh.runs:
            return [f"with {moment}"]


@attack("a path's later segment ends at an impossible moment", "user", "pod")
def later_segment(field, evil):
    for moment in MOMENTS:
        later = [forged(name, f"expires {{ {moment} }}") for name in (f"{HOST}-nsmgr", "after", "later")]
        evil.do("request", service="db", path=[{"name": "evil", "id": "evil-0"}, *later])
        if not field.mesh.runs:
            return [f"with {moment}"]


@attack("a Close with a path that ends at an impossible moment", "user", "pod")
def close_moment(field, evil):
    for moment in MOMENTS:
        before, after = (forged(name, f"expires {{ {moment} }}") for name in ("before", "after"))
        path = [before, {"name": "evil", "id": "evil-0"}, after]
        evil.do("close", service="db", path=path, index=1)
        if not field.mesh.runs:
            return [f"with {moment}"]


@attack("an endpoint's answer ends at an impossible moment", "user", "pod")
def answer_moment(field, evil):
    for moment in MOMENTS:
        for segment in ("0", "1", "2"):
            evil.do("offer", service="evil", answer={"segments": {segment: f"expires {{ {moment} }}"}})
            evil.do("request", service="evil", timeout=5)
            evil.do("release")
            if not field.mesh.runs:
                return [f"with {moment} in segment {segment}"]


@attack("a registration ends at an impossible moment", "user", "pod")
def registration_moment(field, evil):
    for moment in MOMENTS:
        for what in ("expiration_time", "initial_registration_time"):
            evil.do("offer", registration=f"{what} {{ {moment} }}")
            evil.do("find", text=f"network_service_endpoint {{ expiration_time {{ {moment} }} }}")
            evil.do("request", service="evil", timeout=5)
            evil.do("release")
            if not field.mesh.runs:
                return [f"{what} {moment}"]


@attack("a caller's token ends at an impossible moment", "user", "pod")
def token_moment(field, evil):
    for moment in ("9999-12-31T23:59:59.999999999Z", "0000-01-01T00:00:00Z", "292277026596-12-04T15:30:07Z", "2262-04-12T00:00:00Z",
                   "2026-11-28T00:00:00.99999999999999999999Z", "2026-11-28T00:00:00+99:99", "1677-09-21T00:12:43Z"):  # fmt: skip
        evil.do("request", service="db", expires=moment)
        evil.do("register", url="tcp://127.0.0.1:9", expires=moment)
        if not field.mesh.runs:
            return [f"with {moment}"]
    for end in (HUGE, LEAST, -1, 1 << 63, 9223372036854775807, 1e300):
        evil.do("request", service="db", claim=end)
        evil.do("register", url="tcp://127.0.0.1:9", claim=end)
        if not field.mesh.runs:
            return [f"with exp {end}"]


# Parts of a connection, in protobuf's text format.
CONNECTIONS = [
    f"path {{ index: {MOST32} }}",
    "path { index: 2147483648 }",
    "state: 77",
    f"context {{ MTU: {MOST32} }}",
    "context { MTU: 1 }",
    "context { ethernet_context { vlan_tag: -2147483648 } }",
    "context { ethernet_context { vlan_tag: 2147483647 } }",
    f"context {{ ip_context {{ extra_prefix_request {{ prefix_len: {MOST32} required_number: {MOST32} }} }} }}",
    f"context {{ ip_context {{ extra_prefix_request {{ prefix_len: 24 requested_number: {MOST32} }} }} }}",
    "context { ip_context { src_ip_addrs: '10.60.0.2/4294967296' src_ip_addrs: '10.60.0.2/-1' src_ip_addrs: '::/129' } }",
    "context { ip_context { policies { proto: '4294967296' dst_port: '0-4294967295' src_port: '-1' } } }",
    "context { ip_context { policies { proto: '255' dst_port: '65535-1' } policies { src_port: '18446744073709551616' } } }",
    "context { ip_context { policies { from: '10.0.0.0/99' dst_port: '--' src_port: '1-2-3' } } }",
    "context { ip_context { src_routes { prefix: '0.0.0.0/-9223372036854775808' nextHop: '999.1.1.1' } } }",
    "context { extra_context { key: 'nsm-agent/tunnel-mtu' value: '18446744073709551616' } }",
]
MECHANISMS = [
    "parameters { key: 'vlan' value: '18446744073709551616' }",
    "parameters { key: 'vlan' value: '-1' } parameters { key: 'MTU' value: '99999999999999999999' }",
    "parameters { key: 'vni' value: '4294967296' } parameters { key: 'src_port' value: '65536' }",
]


@attack("a request with impossible numbers", "user", "pod")
def request_numbers(field, evil):
    for text in CONNECTIONS:
        evil.do("request", service="db", text=f"connection {{ {text} }}")
        evil.do("close", text=text, path=[{"name": "evil", "id": "evil-0"}])
        if not field.mesh.runs:
            return [text]
    for text in MECHANISMS:
        evil.do("request", service="db", text=f"mechanism_preferences {{ cls: 'LOCAL' type: 'KERNEL' {text} }}")
        evil.do("request", service="db", text=f"connection {{ mechanism {{ cls: 'REMOTE' type: 'VXLAN' {text} }} }}")
        if not field.mesh.runs:
            return [text]


@attack("an answer with impossible numbers", "user", "pod")
def answer_numbers(field, evil):
    texts = [*CONNECTIONS, *(f"mechanism {{ {text} }}" for text in MECHANISMS), "path { index: 5 }", "clear"]
    for text in texts:
        answer = {"clear": ["path"]} if text == "clear" else {"text": text}
        evil.do("offer", service="evil", answer=answer)
        evil.do("request", service="evil", timeout=5)
        evil.do("release")
        if not field.mesh.runs:
            return [text]


@attack("registrations with impossible numbers", "user", "pod")
def registry_numbers(field, evil):
    evil.do("service", name="evil", text=f"matches {{ routes {{ weight: {MOST32} }} routes {{ weight: {MOST32} }} }}")
    evil.do("offer")
    evil.do("request", service="evil", timeout=5)
    for index in ("9223372036854775807", "-9223372036854775808", "18446744073709551615", "1e400", "-1"):
        for segments in ("null", '[{"token":"x"}]'):
            path = f'{{"Index":{index},"PathSegments":{segments}}}'
            evil.do("register", url="tcp://127.0.0.1:9", path_header=path)
        if not field.mesh.runs:
            return [f"Index {index}"]
    evil.do("service", name="evil", away=True)


@attack("an agent's client is answered with impossible moments and numbers", "user", state=False)
def answer_to_an_agent(field, evil):
    """The mesh passes on what an endpoint says; the victim here is an agent that wants the attacker's service."""
    found = []
    for text in [f"context {{ MTU: {MOST32} }}", *(text for text in CONNECTIONS if "'10.60.0.2/4294967296'" in text)]:
        for moment in (None, *MOMENTS[:2]):
            answer = {"text": text, **({"segments": {"2": f"expires {{ {moment} }}"}} if moment else {})}
            evil.do("offer", service="evil", answer=answer)
            field.tempt("evil", 1.5)
            evil.do("release")
            if not field.tempted.runs:
                found.append(f"the agent ended: {text} {moment}")
            if not field.mesh.runs:
                return [*found, f"the mesh ended: {text} {moment}"]
            if found:
                return found
    return found
