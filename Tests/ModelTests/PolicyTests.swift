import Model
import Testing

@Suite("policies of built-in chains") struct PolicyTests {
    @Test("two chains can't give one chain of the kernel's different policies")
    func contradiction() {
        func chains(_ second: String) -> [String] {
            mistakes(
                linux("RuleChain", "{name: a, chainType: INPUT, defaultPolicy: DROP}", "{name: b, \(second)}"))
        }
        #expect(
            chains("chainType: INPUT, defaultPolicy: ACCEPT") == [
                "f.yaml:4:50: linux.iptables.rulechain 'b': default_policy 'ACCEPT' contradicts rule chain 'a', which wants "
                    + "DROP for INPUT (f.yaml:3:7); a chain of the kernel's has one policy"
            ])
        for other in [
            "chainType: INPUT, defaultPolicy: DROP", "chainType: INPUT", "chainType: FORWARD, defaultPolicy: ACCEPT",
            "chainType: INPUT, defaultPolicy: ACCEPT, protocol: IPV6",
            "chainType: INPUT, defaultPolicy: ACCEPT, namespace: {type: NSID, reference: x}",
        ] { #expect(chains(other) == [], "\(other)") }
    }
}
