public import NetworkTypes

/// A network interface: one that is made, or one that is adopted.
public struct InterfaceSpec: Hashable, Sendable {
    /// An address of the interface.
    public struct Address: Hashable, Sendable {
        /// The address with the length of its network.
        public let source: AddressSource
        /// As it was written.
        public let text: String
        /// The other end of a point-to-point address.
        public let peer: IPPrefix?
        /// Whether no other host is asked if it has the address, too.
        public let isNoDAD: Bool
        /// Another name of the interface that goes with it, of IPv4; nil: none.
        public var label: String?
        /// Whether nothing new starts from it.
        public var isDeprecated = false
        /// Whether there is no route to its network.
        public var hasNoPrefixRoute = false
    }

    /// A setting below /proc/sys/net.
    public struct Sysctl: Hashable, Sendable {
        /// Which one.
        public let setting: InterfaceSysctl
        /// A whole number, as it was written.
        public let value: String
    }

    /// The logical name.
    public let name: String
    /// The name in the kernel, or of an existing interface an alternative one; empty: whatever it is.
    public let hostName: String
    /// What it is.
    public let type: Ligato_Linux_Interfaces_Interface.TypeEnum
    private let anyLink: AnyLinkSpec
    /// Where it is.
    public let namespace: NetNamespace
    /// Whether it is up.
    public let isEnabled: Bool
    /// The MAC address; nil: whatever it is.
    public let mac: MACAddress?
    /// Bytes, with the default of its kind; nil: whatever it is.
    public let mtu: UInt32?
    /// Whether all but the link itself is left to others.
    public let isLinkOnly: Bool
    /// Whether an existing interface has the declared addresses and no others.
    public let isExclusive: Bool
    /// The logical name of the VRF it is a member of.
    public let vrf: String?
    /// Its addresses, in the order they were written.
    public let addresses: [Address]
    /// Its settings, sorted by the names they were written with.
    public let sysctls: [Sysctl]
    /// A text for people; nil: none.
    public let alias: String?
    /// More names in the kernel.
    public let altNames: [String]

    /// What is special about that.
    public var link: any LinkSpec { anyLink.base }

    /// The same, with how it is checked.
    var checkedLink: any CheckedLinkSpec { anyLink.base }

    /// The type's name in the .proto file.
    var word: String { Swift.type(of: anyLink.base).word }

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name")
        guard let spec = findings.linkSpec(message.type) else {
            findings.checkTexts(message)
            return nil
        }
        type = message.type
        hostName = message.hostName
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        findings.check(hostName: hostName, of: message)
        mac = findings.mac(message.physAddress, "phys_address")
        guard findings.checkBlock(message, of: spec) else { return nil }
        let link = spec.init(message, &findings)
        mtu = findings.mtu(message, spec)
        vrf = message.vrfMasterInterface.orNil
        addresses = findings.addresses(message)
        sysctls = findings.sysctls(message.sysctls)
        findings.checkIPv6(message)
        alias = findings.alias(message)
        altNames = findings.altNames(message)
        if message.hasMatch, message.type != .existing {
            findings.mistake(["match"], "is possible only for type EXISTING")
        }
        isEnabled = message.enabled
        isLinkOnly = message.linkOnly
        isExclusive = message.exclusive
        if isExclusive {
            if message.type != .existing { findings.mistake(["exclusive"], "is possible only for type EXISTING") }
            if isLinkOnly {
                findings.mistake(["exclusive"], "does not go with link_only, which leaves addresses alone")
            }
        }
        guard let link else { return nil }
        anyLink = AnyLinkSpec(link)
        if mac != nil, let reason = link.noMAC { findings.mistake(["phys_address"], "is not possible: \(reason)") }
    }
}

extension Ligato_Linux_Interfaces_Interface {
    /// The name in the kernel: what `host_if_name` says, else the logical name. A loopback interface is `lo`; one that is known by
    /// what it is may have any: "".
    public var hostName: String {
        type == .loopback ? "lo" : !hostIfName.isEmpty ? hostIfName : type == .existing && hasMatch ? "" : name
    }
}

extension FieldFindings {
    fileprivate mutating func check(hostName: String, of message: Ligato_Linux_Interfaces_Interface) {
        // A loopback interface has its name from the kernel.
        guard message.type != .loopback, !hostName.isEmpty, let problem = InterfaceName.mistake(in: hostName) else {
            return
        }
        let isOwn = message.hostIfName.isEmpty
        // What others made is found by any of its names.
        let isFound = !isOwn && message.type == .existing && !message.hasMatch
        if isFound, InterfaceName.mistake(inAlternative: hostName) == nil { return }
        let hint = isOwn ? "; give it another name in the kernel with host_if_name" : ""
        mistake([isOwn ? "name" : "host_if_name"], value: hostName, "\(problem)\(hint)")
    }

    fileprivate mutating func alias(_ message: Ligato_Linux_Interfaces_Interface) -> String? {
        guard let alias = message.alias.orNil else { return nil }
        if message.type == .existing {
            mistake(["alias"], value: alias, "is not possible for type EXISTING: the alias is that of its maker")
        } else if alias.utf8.count > 128 {
            mistake(["alias"], value: alias, "is longer than 128 bytes")
        } else if alias.hasControlCharacter {
            mistake(["alias"], value: alias, "holds a control character")
        }
        return alias
    }

    /// More names than anybody gives one interface.
    private static let mostAltNames = 16

    fileprivate mutating func altNames(_ message: Ligato_Linux_Interfaces_Interface) -> [String] {
        var seen: Set<String> = [message.hostName]
        for (index, name) in message.altNames.enumerated() {
            let path: [PathPart] = ["alt_names", .element(index)]
            if index == Self.mostAltNames {
                mistake(path, value: name, "is one more than the \(index) an interface can have here")
            }
            if let problem = InterfaceName.mistake(inAlternative: name) {
                mistake(path, value: name, problem)
            } else if !seen.insert(name).inserted {
                mistake(path, value: name, name == message.hostName ? "is its name already" : "is there twice")
            }
        }
        return message.altNames
    }

    private static let mtuRange = Schema.plain.range(of: "mtu", in: "ligato.linux.interfaces.Interface")

    fileprivate mutating func mtu(
        _ message: Ligato_Linux_Interfaces_Interface, _ spec: any CheckedLinkSpec.Type
    ) -> UInt32? {
        let mtu = message.mtu
        if mtu == 0 { return spec.defaultMTU }
        check(mtu, Self.mtuRange, ["mtu"])
        guard let range = spec.mtuRange, Self.mtuRange.contains(mtu) else { return mtu }
        guard range.contains(mtu) else {
            mistake(
                ["mtu"], value: String(mtu),
                "is out of range for \(spec.word) (\(range.lowerBound)–\(range.upperBound))")
            return mtu
        }
        // The kernel switches IPv6 off on such an interface (RFC 8200, section 5).
        if mtu < 1280, message.hasIPv6Address {
            mistake(
                ["mtu"], value: String(mtu),
                "is below 1280, which IPv6 needs, but the interface has IPv6 addresses")
        }
        return mtu
    }

    /// What has IPv6 addresses must not switch IPv6 off.
    fileprivate mutating func checkIPv6(_ message: Ligato_Linux_Interfaces_Interface) {
        if message.sysctls.isEmpty { return }
        let key = ["disable_ipv6", "ipv6.disable_ipv6"].first { (Int(message.sysctls[$0] ?? "") ?? 0) != 0 }
        guard let key else { return }
        let isV6 = { (text: String) in text.utf8.contains(58) && !text.isReference }
        let place: [PathPart]
        let text: String
        if let index = message.ipAddresses.firstIndex(where: isV6) {
            (place, text) = (["ip_addresses", .element(index)], message.ipAddresses[index])
        } else if let index = message.addresses.firstIndex(where: { isV6($0.address) }) {
            (place, text) = (["addresses", .element(index)], message.addresses[index].address)
        } else {
            return
        }
        mistake(
            ["sysctls", .key(key)], value: message.sysctls[key],
            "switches IPv6 off, but \(Finding.text(of: place)) has \(text.inQuotes)")
    }

    fileprivate mutating func sysctls(_ settings: [String: String]) -> [InterfaceSpec.Sysctl] {
        settings.isEmpty
            ? [] : settings.sorted { $0.key < $1.key }.compactMap { sysctl($0.key, $0.value) }
    }

    /// Reads the name and value of a kernel setting.
    private mutating func sysctl(_ key: String, _ value: String) -> InterfaceSpec.Sysctl? {
        // What the number may be is for the kernel to say.
        if Int64(value) == nil || value.hasPrefix("+") {
            mistake(["sysctls", .key(key)], value: value, "is not a whole number")
        }
        if let setting = InterfaceSysctl(key) { return InterfaceSpec.Sysctl(setting: setting, value: value) }
        if InterfaceSysctl.isAmbiguous(key) {
            mistake(
                ["sysctls", .key(key)], "is a setting of IPv4 and of IPv6; write ipv4.\(key) or ipv6.\(key)")
        } else {
            let hint = hint(for: key, among: InterfaceSysctl.known.keys.sorted())
            mistake(["sysctls", .key(key)], "is not a setting of an interface\(hint)")
        }
        return nil
    }
}

extension FieldFindings {
    /// What is there twice.
    private struct Seen {
        private var first: [IPPrefix] = []
        /// Fewer than eight are compared one by one; more go through a set.
        private var others = Set<IPPrefix>()
        /// IPv6 addresses with what was written, and where.
        private var texts: [IPAddress: (text: String, path: [PathPart])] = [:]

        /// Where the address stands already, if it is an IPv6 one; else it is noted.
        mutating func earlier(
            _ address: IPAddress, _ text: String, _ path: () -> [PathPart]
        ) -> (text: String, path: [PathPart])? {
            if address.family == .v4 { return nil }
            if let earlier = texts[address] { return earlier }
            texts[address] = (text, path())
            return nil
        }

        mutating func isNew(_ prefix: IPPrefix) -> Bool {
            if first.contains(prefix) { return false }
            if first.count < 8 {
                first.append(prefix)
                return true
            }
            return others.insert(prefix).inserted
        }
    }

    /// Looks at texts that mean the same in an interface of any type.
    fileprivate mutating func checkTexts(_ message: Ligato_Linux_Interfaces_Interface) {
        _ = mac(message.physAddress, "phys_address")
        _ = addresses(message)
    }

    fileprivate mutating func addresses(_ message: Ligato_Linux_Interfaces_Interface) -> [InterfaceSpec.Address] {
        var seen = Seen()
        var result: [InterfaceSpec.Address] = []
        result.reserveCapacity(message.ipAddresses.count + message.addresses.count)
        for (index, text) in message.ipAddresses.enumerated() {
            let path: () -> [PathPart] = { ["ip_addresses", .element(index)] }
            guard let source = addressSource(text, message, path, &seen) else { continue }
            result.append(InterfaceSpec.Address(source: source, text: text, peer: nil, isNoDAD: false))
        }
        for (index, entry) in message.addresses.enumerated() {
            let path: [PathPart] = ["addresses", .element(index)]
            let peer = prefix(entry.peer, path + ["peer"])
            guard !entry.address.isEmpty else {
                mistake(path + ["address"], "is missing")
                continue
            }
            guard let prefix = prefix(entry.address, path + ["address"]) else { continue }
            check(prefix, entry.address, { path + ["address"] }, &seen)
            if let peer, peer.family != prefix.family {
                mistake(path + ["peer"], value: entry.peer, "is not of the same family as \(entry.address)")
            }
            if entry.nodad, prefix.family == .v4 {
                mistake(path + ["nodad"], "is only for IPv6 addresses; \(entry.address) is IPv4")
            }
            checkLabel(entry, prefix.family, message, path + ["label"])
            result.append(
                InterfaceSpec.Address(
                    source: .literal(prefix), text: entry.address, peer: peer, isNoDAD: entry.nodad,
                    label: entry.label.isEmpty ? nil : entry.label, isDeprecated: entry.deprecated,
                    hasNoPrefixRoute: entry.noprefixroute))
        }
        return result
    }

    private mutating func checkLabel(
        _ entry: Ligato_Linux_Interfaces_InterfaceAddress, _ family: IPAddress.Family,
        _ message: Ligato_Linux_Interfaces_Interface, _ path: [PathPart]
    ) {
        let label = entry.label
        if label.isEmpty { return }
        let start = (message.hostIfName.isEmpty ? message.name : message.hostIfName) + ":"
        if family == .v6 {
            mistake(path, value: label, "is only for IPv4 addresses; \(entry.address) is IPv6")
        } else if !label.hasPrefix(start) || label.utf8.count == start.utf8.count || label.utf8.count > 15
            || label.hasControlCharacter
        {
            mistake(path, value: label, "has to be \(start) and more, at most 15 bytes")
        }
    }

    private mutating func addressSource(
        _ text: String, _ message: Ligato_Linux_Interfaces_Interface, _ path: () -> [PathPart], _ seen: inout Seen
    ) -> AddressSource? {
        guard !text.isEmpty else {
            malformed(path(), value: text, "is empty")
            return nil
        }
        if text.isReference {
            if message.type == .existing, message.linkOnly {
                mistake(path(), value: text, "is not possible on an EXISTING interface with link_only")
            }
            return reference(text, path(), owner: message.name, gateway: .refused).map { .allocated($0) }
        }
        guard let prefix = prefix(text, path()) else { return nil }
        check(prefix, text, path, &seen)
        if !text.utf8.contains(UInt8(ascii: "/")) {
            warning(path(), "has no prefix length: \(prefix) is meant, a network of one address")
        }
        return .literal(prefix)
    }

    private mutating func check(
        _ prefix: IPPrefix, _ text: String, _ path: () -> [PathPart], _ seen: inout Seen
    ) {
        if !seen.isNew(prefix) {
            mistake(path(), value: text, "is there twice")
        } else if prefix.address.isMulticast {
            mistake(path(), value: text, "is a multicast address")
        } else if prefix.address.isUnspecified {
            mistake(path(), value: text, "is the unspecified address")
        } else if let earlier = seen.earlier(prefix.address, text, path) {
            mistake(
                path(), value: text,
                "is the same address as \(earlier.text.inQuotes) of \(Finding.text(of: earlier.path)): an interface "
                    + "has an IPv6 address once, with one prefix length")
        }
    }
}

extension Ligato_Linux_Interfaces_Interface {
    /// Whether an IPv6 address is written down.
    fileprivate var hasIPv6Address: Bool {
        (ipAddresses + addresses.map(\.address)).contains { $0.utf8.contains(58) && !$0.isReference }
    }
}
