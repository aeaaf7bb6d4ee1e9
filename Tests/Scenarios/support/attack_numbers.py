"""Numbers that are out of every range."""

from assault import attack

HUGE = 1 << 62
LEAST = -(1 << 63)
MOMENTS = [f"seconds: {HUGE}", f"seconds: {LEAST}", "seconds: -1 nanos: -2147483648", "seconds: 9223372036 nanos: 2147483647"]


@attack("a path's earlier segment ends at an impossible moment", "user", "pod")
def earlier_segment(field, evil):
    for moment in MOMENTS:
        path = [
            {"name": "before", "id": "before-0", "token": "stranger", "sub": "spiffe://nsm.local/x", "text": f"expires {{ {moment} }}"},
            {"name": "evil", "id": "evil-0"},
        ]
        evil.do("request", service="db", path=path, index=1)
        if not field.mesh.runs:
            return [f"with {moment}"]


@attack("a path's later segment ends at an impossible moment", "user", "pod")
def later_segment(field, evil):
    for moment in MOMENTS:
        path = [{"name": "evil", "id": "evil-0"}] + [
            {"name": name, "id": name, "token": "stranger", "sub": "spiffe://nsm.local/x", "text": f"expires {{ {moment} }}"}
            for name in ("hostile-host-nsmgr", "after", "later")
        ]
        evil.do("request", service="db", path=path)
        if not field.mesh.runs:
            return [f"with {moment}"]


@attack("an endpoint's answer ends at an impossible moment", "user", "pod")
def answer(field, evil):
    for moment in MOMENTS:
        for segment in ("0", "1", "2"):
            answer = {"segments": {segment: f"expires {{ {moment} }}"}}
            evil.do("offer", answer=answer)
            evil.do("request", service="evil", timeout=5)
            evil.do("release")
            if not field.mesh.runs:
                return [f"with {moment} in segment {segment}"]
