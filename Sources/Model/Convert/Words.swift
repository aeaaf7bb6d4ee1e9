internal import NetworkTypes

/// Words that files of several programs have in common, and what they are in ours.
enum Words {
    typealias Bond = Ligato_Linux_Interfaces_BondLink

    static let bondModes: [String: Bond.Mode] = numbered([
        ("balance-rr", .balanceRr), ("active-backup", .activeBackup), ("balance-xor", .balanceXor),
        ("broadcast", .broadcast),
        ("802.3ad", .ieee8023Ad), ("balance-tlb", .balanceTlb), ("balance-alb", .balanceAlb),
    ])

    static let hashPolicies: [String: Bond.HashPolicy] = numbered([
        ("layer2", .layer2), ("layer3+4", .layer34), ("layer2+3", .layer23), ("encap2+3", .encap23),
        ("encap3+4", .encap34),
        ("vlan+srcmac", .vlanSrcmac),
    ])

    static let lacpRates: [String: Bond.LacpRate] = numbered([("slow", .slow), ("fast", .fast)])

    static let selections: [String: Bond.AggregatorSelection] = numbered([
        ("stable", .stable), ("bandwidth", .bandwidth), ("count", .count),
    ])

    static let macvlanModes: [String: Ligato_Linux_Interfaces_MacvlanLink.Mode] = [
        "bridge": .bridge, "private": .private, "vepa": .vepa, "passthru": .passthru,
        // As the kernel has them in `MACVLAN_MODE_*`.
        "1": .private, "2": .vepa, "4": .bridge, "8": .passthru,
    ]

    static let ipvlanModes: [String: Ligato_Linux_Interfaces_IpvlanLink.Mode] = numbered([
        ("l2", .l2), ("l3", .l3), ("l3s", .l3S),
    ])

    static let vlanProtocols: [String: Ligato_Linux_Interfaces_VlanLink.ProtocolEnum] = [
        "802.1q": .dot1Q, "802.1ad": .dot1Ad, "0x8100": .dot1Q, "0x88a8": .dot1Ad,
    ]

    static let routeTypes: [String: RouteMessage.TypeEnum] = [
        "unicast": .unicast, "blackhole": .blackhole, "unreachable": .unreachable, "prohibit": .prohibit,
    ]

    static let scopes: [String: RouteMessage.Scope] = [
        "global": .global, "site": .site, "link": .link, "host": .host,
    ]

    static let ruleActions: [String: RuleMessage.Action] = [
        "table": .lookup, "to_tbl": .lookup, "blackhole": .blackhole, "unreachable": .unreachable,
        "prohibit": .prohibit,
    ]

    static let tunnels: [String: InterfaceMessage.TypeEnum] = [
        "gre": .gre, "gretap": .gretap, "ip6gre": .ip6Gre, "ip6gretap": .ip6Gretap, "ipip": .ipip, "sit": .sit,
        "ip6tnl": .ip6Tnl, "ip6ip6": .ip6Tnl, "ipip6": .ip6Tnl,
    ]

    /// The tables that every host has.
    static let tables: [String: UInt32] = ["default": 253, "main": 254, "local": 255]

    /// The words of an option of the kernel, which may stand as numbers, too.
    private static func numbered<Value>(_ words: [(String, Value)]) -> [String: Value] {
        var table: [String: Value] = [:]
        for (index, (word, value)) in words.enumerated() { (table[word], table["\(index)"]) = (value, value) }
        return table
    }

    /// A truth value in any of the words that these files have for it.
    static func flag(_ word: String) -> Bool? {
        switch word.lowercased() {
        case "true", "yes", "on", "1", "y", "t": true
        case "false", "no", "off", "0", "n", "f": false
        default: nil
        }
    }

    /// A whole number: decimal, or `0x` and hexadecimal.
    static func number(_ word: String) -> UInt32? {
        if word.hasPrefix("0x") || word.hasPrefix("0X") { return UInt32(word.dropFirst(2), radix: 16) }
        // The initializer takes a sign.
        return word.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(word) : nil
    }

    /// A span of time in milliseconds: `100ms`, `0.2s`, `1min`, or a number in `unit`, itself in milliseconds.
    static func milliseconds(_ word: String, unit: UInt32) -> UInt32? {
        let units: [(String, UInt32)] = [
            ("ms", 1), ("min", 60_000), ("sec", 1000), ("s", 1000), ("h", 3_600_000), ("", unit),
        ]
        guard let (name, factor) = units.first(where: { word.hasSuffix($0.0) }) else { return nil }
        let number = word.dropLast(name.utf8.count).trimmed
        // The initializer takes signs, exponents and names of numbers, too.
        guard number.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2e }), let value = Double(number) else {
            return nil
        }
        return UInt32(exactly: (value * Double(factor)).rounded())
    }

    /// Whether a text names many interfaces: a pattern of a shell, or the opposite of one.
    static func isPattern(_ name: String) -> Bool { name.contains { "*?[!".contains($0) } }
}

extension StringProtocol {
    /// Without blanks at both ends.
    var trimmed: String {
        let isBlank = { (character: Character) in character == " " || character == "\t" || character == "\r" }
        guard let first = firstIndex(where: { !isBlank($0) }), let last = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
