public import NetworkTypes

/// An interface that something else makes.
public struct ExistingSpec: CheckedLinkSpec {
    /// `EXISTING`
    public static let word = "EXISTING"
    static let block: LinkBlock? = nil
    static let mtuRange: ClosedRange<UInt32>? = nil

    /// What it is; nil: it is known by its name.
    public let match: LinkMatch?

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        match = message.hasMatch ? LinkMatch(message.match, &findings) : nil
        if match != nil, !message.hasNamespace, !message.hostIfName.isEmpty {
            findings.mistake(
                ["host_if_name"], value: message.hostIfName,
                "goes with match only where the interface is moved to another namespace, and is its name there")
        }
    }

    func share(in namespace: NetNamespace) -> LinkShare? { match.map { .device($0) } }

    func check(_ check: inout InterfaceCheck) {
        guard let (name, ref) = check.holder() else { return }
        check.report(["match"], nil, "is the same as that of \(name) (\(check.set.place(ref)))", with: ref)
    }
}

/// What an interface is, instead of its name: all that is given holds.
public struct LinkMatch: Hashable, Sendable {
    /// Its MAC address: the permanent one, if it has such.
    public let mac: MACAddress?
    /// Its driver.
    public let driver: String?
    /// Its bus address, in which `*` stands for any text and `?` for any letter.
    public let path: String?
    /// One of its alternative names.
    public let altName: String?

    fileprivate init(_ message: Ligato_Linux_Interfaces_InterfaceMatch, _ findings: inout FieldFindings) {
        mac = findings.macToMatch(message.mac)
        driver = message.driver.orNil
        path = message.path.orNil
        altName = message.altname.orNil
        if message == Ligato_Linux_Interfaces_InterfaceMatch() {
            findings.mistake(["match"], "says nothing; give it mac, driver, path or altname")
        }
        // Source: ETHTOOL_BUSINFO_LEN, linux/ethtool.h, which counts a zero.
        for (text, field) in [(driver, "driver"), (path, "path")] {
            guard let text, text.utf8.count > 31 || text.hasControlCharacter else { continue }
            findings.mistake(
                ["match", .field(field)], value: text, "has to be at most 31 bytes without control characters")
        }
        if let altName, let problem = InterfaceName.mistake(inAlternative: altName) {
            findings.mistake(["match", "altname"], value: altName, problem)
        }
    }
}

extension FieldFindings {
    fileprivate mutating func macToMatch(_ text: String) -> MACAddress? {
        if text.isEmpty { return nil }
        if let address = MACAddress(text) { return address }
        malformed(["match", "mac"], value: text, "is not a MAC address, such as 02:00:00:00:00:01")
        return nil
    }
}

/// The loopback interface of a namespace.
public struct LoopbackSpec: CheckedLinkSpec {
    /// `LOOPBACK`
    public static let word = "LOOPBACK"
    /// Source: `loopback_setup`, drivers/net/loopback.c.
    public static let defaultMTU: UInt32? = 65536
    static let block: LinkBlock? = nil
    static let mtuRange: ClosedRange<UInt32>? = 68...65575

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {}
}
