/// Several interfaces that are used as one. Source: Documentation/networking/bonding.rst of the kernel.
public struct BondSpec: CheckedLinkSpec {
    private typealias Message = Ligato_Linux_Interfaces_BondLink

    /// `BOND`
    public static let word = "BOND"
    /// Source: `ETH_DATA_LEN`, linux/if_ether.h. Its ports follow it.
    public static let defaultMTU: UInt32? = 1500
    static let block: LinkBlock? = LinkBlock("bond") { if case .bond = $0 { true } else { false } }

    /// Milliseconds; without looks a lost link would go unnoticed, so there are some unless they are switched off.
    public static let defaultMIIMonitoring: UInt32 = 100

    private static let times = FieldFindings.range(of: "miimon", in: "BondLink")
    private static let minimumLinks = FieldFindings.range(of: "min_links", in: "BondLink")

    /// Logical names of the interfaces that are its ports.
    public let ports: [String]
    /// How they are used.
    public let mode: BondMode
    /// Milliseconds between two looks at the links of the ports; 0: none.
    public let miimon: UInt32
    /// Milliseconds until a port whose link is back is used.
    public let updelay: UInt32
    /// Milliseconds until a port whose link is lost is not used any more.
    public let downdelay: UInt32
    /// Whether the other side is to send LACP packets every second.
    public let isLACPFast: Bool
    /// What of a packet decides on its port.
    public let hashPolicy: BondHashPolicy
    /// The logical name of the port that is used whenever its link is up.
    public let primary: String?
    /// How many ports must have a link for the bond to have one.
    public let minLinks: UInt32
    /// Which aggregator is used.
    public let selection: BondSelection

    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let bond = message.bond
        guard let mode = findings.mode(bond.mode), let policy = findings.policy(bond.xmitHashPolicy),
            let selection = findings.selection(bond.adSelect)
        else { return nil }
        if case .UNRECOGNIZED(let number) = bond.lacpRate {
            findings.unknown(number, "ligato.linux.interfaces.BondLink.LacpRate", ["bond", "lacp_rate"])
        }
        ports = bond.ports
        self.mode = mode
        miimon = bond.hasMiimon ? bond.miimon : Self.defaultMIIMonitoring
        updelay = bond.updelay
        downdelay = bond.downdelay
        isLACPFast = bond.lacpRate == .fast
        hashPolicy = policy
        primary = bond.primary.orNil
        minLinks = bond.minLinks
        self.selection = selection
        checkTimes(&findings)
        checkMode(&findings)
    }

    private func checkTimes(_ findings: inout FieldFindings) {
        findings.check(miimon, Self.times, ["bond", "miimon"])
        for (delay, name) in [(updelay, "updelay"), (downdelay, "downdelay")] where delay != 0 {
            let path: [PathPart] = ["bond", .field(name)]
            findings.check(delay, Self.times, path)
            if miimon == 0 {
                findings.mistake(path, value: "\(delay)", "needs miimon, which is 0")
            } else if !delay.isMultiple(of: miimon) {
                findings.mistake(path, value: "\(delay)", "is not a multiple of miimon (\(miimon))")
            }
        }
    }

    private func checkMode(_ findings: inout FieldFindings) {
        if miimon == 0, mode.needsMonitoring {
            findings.mistake(["bond", "miimon"], value: "0", "is not possible in mode \(mode.rawValue)")
        }
        if isLACPFast, mode != .lacp { findings.mistake(["bond", "lacp_rate"], "is only for mode 802.3ad") }
        if selection != .stable, mode != .lacp { findings.mistake(["bond", "ad_select"], "is only for mode 802.3ad") }
        findings.check(minLinks, Self.minimumLinks, ["bond", "min_links"])
        if minLinks != 0, mode != .lacp {
            findings.mistake(["bond", "min_links"], value: "\(minLinks)", "is only for mode 802.3ad")
        }
        if hashPolicy != .layer2, !mode.usesHash {
            findings.mistake(
                ["bond", "xmit_hash_policy"], "is only for the modes balance-xor, 802.3ad and balance-tlb")
        }
        guard let primary else { return }
        if !mode.usesPrimary {
            findings.mistake(
                ["bond", "primary"], value: primary,
                "is only for the modes active-backup, balance-tlb and balance-alb")
        } else if !ports.contains(primary) {
            findings.mistake(["bond", "primary"], value: primary, "is not among the ports")
        }
    }

    func check(_ check: inout InterfaceCheck) {
        let path: [PathPart] = ["bond", "ports"]
        check.checkPorts(
            ports, path,
            refusing: [BondSpec.self, BridgeSpec.self, LoopbackSpec.self, VRFSpec.self, WireGuardSpec.self])
        let mtu = check.interface.mtu ?? 0
        for (index, name) in ports.enumerated() {
            guard let (ref, port) = check.declared(name) else { continue }
            let (path, place) = (path + [.element(index)], check.set.place(ref))
            if !port.addresses.isEmpty {
                check.report(
                    path, name, "has addresses, which a port of a bond can't use; give them to the bond (\(place))",
                    with: ref)
            }
            // What is not set has the default of the kind.
            if let own = port.mtu, own != mtu, own != type(of: port.link).defaultMTU {
                check.report(
                    path, name, "has the MTU \(own), but a port has that of the bond, \(mtu) (\(place))", with: ref)
            }
        }
    }
}

/// How the ports of a bond are used, as ip(8) calls it.
public enum BondMode: String, Hashable, Sendable, CaseIterable {
    /// One after the other.
    case roundRobin = "balance-rr"
    /// One at a time.
    case activeBackup = "active-backup"
    /// By a hash of the packet.
    case xor = "balance-xor"
    /// All for each packet.
    case broadcast
    /// Link aggregation by LACP.
    case lacp = "802.3ad"
    /// By load, for what is sent.
    case transmitLoad = "balance-tlb"
    /// By load, for what is received as well.
    case adaptiveLoad = "balance-alb"

    /// Whether the kernel wants the links of the ports to be looked at.
    var needsMonitoring: Bool { self == .lacp || self == .transmitLoad || self == .adaptiveLoad }
    /// Whether a hash distributes the packets.
    public var usesHash: Bool { self == .xor || self == .lacp || self == .transmitLoad }
    /// Whether one port can be preferred.
    public var usesPrimary: Bool { self == .activeBackup || self == .transmitLoad || self == .adaptiveLoad }
}

/// What of a packet decides on its port, as ip(8) calls it.
public enum BondHashPolicy: String, Hashable, Sendable, CaseIterable {
    /// MAC addresses.
    case layer2
    /// IP addresses and ports.
    case layer34 = "layer3+4"
    /// MAC and IP addresses.
    case layer23 = "layer2+3"
    /// MAC and IP addresses inside a tunnel.
    case encap23 = "encap2+3"
    /// IP addresses and ports inside a tunnel.
    case encap34 = "encap3+4"
    /// The VLAN and the sender's MAC address.
    case vlanSource = "vlan+srcmac"
}

/// Which aggregator of an LACP bond is used, as ip(8) calls it.
public enum BondSelection: String, Hashable, Sendable, CaseIterable {
    /// The one in use.
    case stable
    /// The one with the largest bandwidth.
    case bandwidth
    /// The one with the most ports.
    case count
}

extension FieldFindings {
    fileprivate mutating func mode(_ mode: Ligato_Linux_Interfaces_BondLink.Mode) -> BondMode? {
        switch mode {
        case .balanceRr: return .roundRobin
        case .activeBackup: return .activeBackup
        case .balanceXor: return .xor
        case .broadcast: return .broadcast
        case .ieee8023Ad: return .lacp
        case .balanceTlb: return .transmitLoad
        case .balanceAlb: return .adaptiveLoad
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.BondLink.Mode", ["bond", "mode"])
            return nil
        }
    }

    fileprivate mutating func policy(_ policy: Ligato_Linux_Interfaces_BondLink.HashPolicy) -> BondHashPolicy? {
        switch policy {
        case .layer2: return .layer2
        case .layer34: return .layer34
        case .layer23: return .layer23
        case .encap23: return .encap23
        case .encap34: return .encap34
        case .vlanSrcmac: return .vlanSource
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.BondLink.HashPolicy", ["bond", "xmit_hash_policy"])
            return nil
        }
    }

    fileprivate mutating func selection(
        _ selection: Ligato_Linux_Interfaces_BondLink.AggregatorSelection
    ) -> BondSelection? {
        switch selection {
        case .stable: return .stable
        case .bandwidth: return .bandwidth
        case .count: return .count
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.BondLink.AggregatorSelection", ["bond", "ad_select"])
            return nil
        }
    }
}
