"""Who keeps to the rules is served, or the attacks would show nothing."""

from assault import attack, refused


@attack("an attacker that keeps to the rules is served", "pod", "pod 2")
def rules(field, evil):
    found = []
    order = {"hold": True, "interface": "own0"}
    outcome = evil.do("request", service="echo", keep="a", **order)
    found += [f"a request: {outcome['answer']}"] if refused(outcome) else []
    outcome = evil.do("request", again="a", hold=True)
    found += [f"a refresh: {outcome['answer']}"] if refused(outcome) else []
    outcome = evil.do("close", again="a")
    found += [f"a close: {outcome['answer']}"] if refused(outcome) else []
    outcome = evil.do("offer", service="evil")
    found += [f"an offer: {outcome['answer']}"] if refused(outcome) else []
    outcome = evil.do("request", service="evil", id="second", hold=True, interface="own1")
    return found + ([f"a request of its own service: {outcome['answer']}"] if refused(outcome) else [])
