internal import NetworkTypes

/// A table of nf_tables.
public struct FilterTableSpec: Hashable, Sendable {
    /// Which packets it sees, in the words of nft(8).
    public enum Family: String, Hashable, Sendable, CaseIterable {
        /// IPv4 and IPv6.
        case inet
        /// IPv4.
        case ip
        /// IPv6.
        case ip6
        /// ARP.
        case arp
        /// Frames that a bridge forwards.
        case bridge
        /// What comes by a device.
        case netdev

        /// Names of the tables that iptables-nft, arptables-nft and ebtables-nft take for their own.
        fileprivate var namesOfOthers: Set<String> {
            switch self {
            case .ip, .ip6: ["filter", "nat", "mangle", "raw", "security"]
            case .arp: ["filter"]
            case .bridge: ["filter", "nat", "broute"]
            case .inet, .netdev: []
            }
        }
    }

    /// The name.
    public let name: String
    /// Where it is.
    public let namespace: NetNamespace
    /// Which packets it sees.
    public let family: Family
    /// Its name in the kernel.
    public let table: String
    /// What is between its braces, in the language of nft(8); a line end after each line. The user's text comes first.
    public let text: String
    /// Names in the kernel of links that must be there before it is.
    public let devices: Set<String>
    /// Where the user's text stands in a file.
    public internal(set) var places: SourcePlaces?

    init?(_ message: Nsmagent_Linux_FilterTable, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(tableName: name, "name")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        table = message.table.isEmpty ? message.name : message.table
        if !message.table.isEmpty { findings.check(tableName: table, "table") }
        guard let family = findings.family(message.family) else { return nil }
        self.family = family
        if family.namesOfOthers.contains(table) {
            findings.mistake(
                [.field(message.table.isEmpty ? "name" : "table")], value: table,
                "is a table of \(family == .arp ? "arptables" : family == .bridge ? "ebtables" : "iptables") in family "
                    + "\(family), whose rules would go; choose another name")
        }
        let ruleset = RulesetText(message.ruleset)
        for mistake in ruleset.mistakes {
            findings.mistake(
                ["ruleset", .place(line: mistake.line, column: mistake.column)],
                "line \(mistake.line), column \(mistake.column): \(mistake.text)")
        }
        devices = ruleset.devices
        if message.ruleset.isEmpty, message.masquerade.isEmpty, message.forward.isEmpty {
            findings.mistake([], "has nothing in it; give it a ruleset, masquerade or forward")
        }
        var text = ruleset.text
        if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        let sources = message.masquerade.enumerated().map { findings.rule($1, family, at: $0) }
        if !sources.isEmpty { text += Self.chain("postrouting-nat", hook: "postrouting priority srcnat", sources) }
        let targets = message.forward.enumerated().map { findings.rule($1, family, at: $0) }
        if !targets.isEmpty { text += Self.chain("prerouting-nat", hook: "prerouting priority dstnat", targets) }
        self.text = text
    }

    private static func chain(_ name: String, hook: String, _ rules: [String]) -> String {
        "chain \(name) {\ntype nat hook \(hook); policy accept;\n" + rules.map { "\($0)\n" }.joined() + "}\n"
    }
}

extension FilterTableSpec.Family {
    /// Whether addresses can be translated in it.
    fileprivate var hasAddresses: Bool {
        switch self {
        case .inet, .ip, .ip6: true
        case .arp, .bridge, .netdev: false
        }
    }

    /// Whether packets with addresses of a family are in it.
    fileprivate func holds(_ family: IPAddress.Family) -> Bool {
        switch self {
        case .inet: true
        case .ip: family == .v4
        case .ip6: family == .v6
        case .arp, .bridge, .netdev: false
        }
    }
}

extension IPAddress.Family {
    /// `ip` or `ip6`.
    fileprivate var nftWord: String { self == .v4 ? "ip" : "ip6" }
}

extension FieldFindings {
    fileprivate mutating func family(_ family: Nsmagent_Linux_FilterTable.Family) -> FilterTableSpec.Family? {
        switch family {
        case .inet: return .inet
        case .ip: return .ip
        case .ip6: return .ip6
        case .arp: return .arp
        case .bridge: return .bridge
        case .netdev: return .netdev
        case .UNRECOGNIZED(let number):
            unknown(number, "nsmagent.linux.FilterTable.Family", ["family"])
            return nil
        }
    }

    /// A name that nft reads without quotes.
    fileprivate mutating func check(tableName name: String, _ field: String) {
        check(name: name, field)
        if name.isEmpty || name.hasControlCharacter { return }
        let isName = name.utf8.enumerated().allSatisfy { index, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
                true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."): index > 0
            default: false
            }
        }
        if !isName {
            mistake([.field(field)], value: name, "is not a name of a table: letters, digits, '_', '-' and '.'")
        } else if name.utf8.count > 64 {
            mistake([.field(field)], value: name, "is longer than 64 bytes")
        }
    }

    fileprivate mutating func rule(
        _ message: Nsmagent_Linux_FilterTable.Masquerade, _ family: FilterTableSpec.Family, at index: Int
    ) -> String {
        let path: [PathPart] = ["masquerade", .element(index)]
        checkFamily(family, path)
        var words: [String] = []
        if let name = deviceName(message.out, path + ["out"]) { words.append("oifname \"\(name)\"") }
        if let from = prefix(message.from, path + ["from"]) {
            check(from.family, in: family, message.from, path + ["from"])
            if from.length > 0 {
                words.append("\(from.family.nftWord) saddr \(from.network)")
            } else if family == .inet {
                words.append("meta nfproto \(from.family == .v4 ? "ipv4" : "ipv6")")
            }
        }
        if message.out.isEmpty, message.from.isEmpty {
            mistake(path, "is for all packets of all interfaces; give it out or from")
        }
        return (words + ["masquerade"]).joined(separator: " ")
    }

    fileprivate mutating func rule(
        _ message: Nsmagent_Linux_FilterTable.Forward, _ family: FilterTableSpec.Family, at index: Int
    ) -> String {
        let path: [PathPart] = ["forward", .element(index)]
        checkFamily(family, path)
        var words: [String] = []
        if let name = deviceName(message.in, path + ["in"]) { words.append("iifname \"\(name)\"") }
        let host = address(message.address, path + ["address"])
        guard let target = target(message.to, path + ["to"]) else { return "" }
        check(target.address.family, in: family, message.to, path + ["to"])
        if let host {
            if host.family != target.address.family {
                mistake(path + ["address"], value: message.address, "is \(host.family.word), but to is not")
            }
            words.append("\(host.family.nftWord) daddr \(host)")
        } else if family == .inet {
            words.append("meta nfproto \(target.address.family == .v4 ? "ipv4" : "ipv6")")
        }
        if !(1...65535).contains(message.port) {
            mistake(path + ["port"], value: String(message.port), "is not a port: 1 to 65535")
        }
        guard let word = word(of: message.protocol, path + ["protocol"]) else { return "" }
        words.append("\(word) dport \(message.port)")
        words.append("dnat\(family == .inet ? " " + target.address.family.nftWord : "") to")
        words.append(target.port.map { target.address.withPort($0) } ?? "\(target.address)")
        return words.joined(separator: " ")
    }

    private mutating func word(
        of number: Nsmagent_Linux_FilterTable.Forward.ProtocolEnum, _ path: [PathPart]
    ) -> String? {
        switch number {
        case .tcp: return "tcp"
        case .udp: return "udp"
        case .sctp: return "sctp"
        case .UNRECOGNIZED(let number):
            unknown(number, "nsmagent.linux.FilterTable.Forward.Protocol", path)
            return nil
        }
    }

    private mutating func checkFamily(_ family: FilterTableSpec.Family, _ path: [PathPart]) {
        if family.hasAddresses { return }
        mistake(path, "needs a table of family inet, ip or ip6, not \(family.rawValue)")
    }

    private mutating func check(
        _ address: IPAddress.Family, in family: FilterTableSpec.Family, _ value: String, _ path: [PathPart]
    ) {
        if !family.hasAddresses || family.holds(address) { return }
        mistake(path, value: value, "is \(address.word), which a table of family \(family.rawValue) does not see")
    }

    /// A name of a link for a quoted text of nft.
    private mutating func deviceName(_ name: String, _ path: [PathPart]) -> String? {
        if name.isEmpty { return nil }
        if let problem = InterfaceName.mistake(in: name) {
            mistake(path, value: name, problem)
        } else if name.utf8.contains(where: {
            [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "*")].contains($0)
        }) {
            mistake(path, value: name, "holds a quotation mark, '\\' or '*'")
        }
        return name
    }

    /// An address with a port or without one.
    private mutating func target(_ text: String, _ path: [PathPart]) -> (address: IPAddress, port: UInt16?)? {
        if let address = IPAddress(text) { return (address, nil) }
        if let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 {
            var host = text[..<colon]
            let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
            if isBracketed { host = host.dropFirst().dropLast() }
            if let address = IPAddress(String(host)), isBracketed == (address.family == .v6) { return (address, port) }
        }
        let problem = text.isEmpty ? "is missing" : "is not an address with or without a port"
        mistake(path, value: text.orNil, "\(problem), such as 10.0.0.2:80 or [fd00::2]:80")
        return nil
    }
}

extension IPAddress {
    fileprivate func withPort(_ port: UInt16) -> String { family == .v4 ? "\(self):\(port)" : "[\(self)]:\(port)" }
}
