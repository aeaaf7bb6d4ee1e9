internal import Model
internal import Netlink
internal import Reconciler

/// Several interfaces that are used as one.
struct BondKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = BondAttributes.self
    static let rulesPorts = true

    /// `BOND_MODE_*`, linux/if_bonding.h.
    static let modes = KernelNumbers<BondMode, UInt8>([
        .roundRobin: 0, .activeBackup: 1, .xor: 2, .broadcast: 3, .lacp: 4, .transmitLoad: 5, .adaptiveLoad: 6,
    ])
    /// `BOND_XMIT_POLICY_*`, linux/if_bonding.h.
    static let policies = KernelNumbers<BondHashPolicy, UInt8>([
        .layer2: 0, .layer34: 1, .layer23: 2, .encap23: 3, .encap34: 4, .vlanSource: 5,
    ])
    /// `BOND_AD_*`, net/bond_3ad.h.
    static let selections = KernelNumbers<BondSelection, UInt8>([.stable: 0, .bandwidth: 1, .count: 2])

    let ports: [String]
    let primary: String?
    private let attributes: BondAttributes

    init(_ bond: BondSpec) {
        ports = bond.ports
        primary = bond.primary
        var attributes = BondAttributes()
        attributes.mode = Self.modes[bond.mode]
        attributes.miimon = bond.miimon
        attributes.updelay = bond.updelay
        attributes.downdelay = bond.downdelay
        if bond.mode.usesHash { attributes.hashPolicy = Self.policies[bond.hashPolicy] }
        if bond.mode == .lacp {
            attributes.minLinks = bond.minLinks
            attributes.lacpRate = bond.isLACPFast ? 1 : 0
            attributes.selection = Self.selections[bond.selection]
        }
        self.attributes = attributes
    }

    var word: String { "bond" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.create(attributes, .bond(self.attributes))
    }

    /// The kernel changes these only while the bond is down, the mode only while it has no ports.
    func mismatch(with have: LinkKind) -> Difference? {
        guard let have = have[BondAttributes.self] else { return nil }
        func difference<Word>(
            _ name: String, _ numbers: KernelNumbers<Word, UInt8>, _ old: UInt8?, _ new: UInt8?
        ) -> Difference? where Word: RawRepresentable<String> {
            guard let new, old != new else { return nil }
            return Difference(name, old: numbers.text(old), new: numbers.text(new))
        }
        if let mode = difference("mode", Self.modes, have.mode, attributes.mode) { return mode }
        if let rate = attributes.lacpRate, rate != have.lacpRate {
            return Difference("lacp_rate", old: have.lacpRate == 1 ? "fast" : "slow", new: rate == 1 ? "fast" : "slow")
        }
        return difference("ad_select", Self.selections, have.selection, attributes.selection)
    }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let have = have[BondAttributes.self] else { return nil }
        var change = BondAttributes()
        func note(_ name: String, _ old: UInt32?, _ new: UInt32?) -> Bool {
            guard let new, old != new else { return false }
            differences.append(Difference(name, old: old.map(String.init) ?? "unknown", new: "\(new)"))
            return true
        }
        let times = [
            note("miimon", have.miimon, attributes.miimon), note("updelay", have.updelay, attributes.updelay),
            note("downdelay", have.downdelay, attributes.downdelay),
        ]
        // The kernel keeps delays as multiples of miimon, so they go together.
        if times.contains(true) {
            (change.miimon, change.updelay) = (attributes.miimon, attributes.updelay)
            change.downdelay = attributes.downdelay
        }
        if note("min_links", have.minLinks, attributes.minLinks) { change.minLinks = attributes.minLinks }
        if let policy = attributes.hashPolicy, policy != have.hashPolicy {
            let (old, new) = (Self.policies.text(have.hashPolicy), Self.policies.text(policy))
            differences.append(Difference("xmit_hash_policy", old: old, new: new))
            change.hashPolicy = policy
        }
        // The port that is to be preferred says so itself, once it is one.
        if primary == nil, let old = have.primary, old != 0 {
            differences.append(Difference("primary", old: "link \(old)", new: "none"))
            change.primary = 0
        }
        return change == BondAttributes() ? nil : .bond(change)
    }

    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? {
        guard var bond = old[BondAttributes.self] else { return nil }
        if bond.mode.flatMap(modes.word)?.usesPrimary == true { bond.primary = bond.primary ?? 0 }
        // With these it was made.
        (bond.mode, bond.lacpRate, bond.selection) = (nil, nil, nil)
        return .bond(bond)
    }

    static func preferring(_ port: Int32) -> LinkKind? {
        var change = BondAttributes()
        change.primary = port
        return .bond(change)
    }

    static func preferred(in kind: LinkKind) -> Int32 { kind[BondAttributes.self]?.primary ?? 0 }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let bond = link.link.kind[BondAttributes.self] else { return }
        message.type = .bond
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        let ports = link.namespace.uppers(of: link.link.index).filter { $0.link.master == link.link.index }
        // Whether it was given its address or took that of its first port can't be told.
        if ports.isEmpty { message.physAddress = link.macText }
        message.bond.ports = ports.map { export.name(of: $0) }
        message.bond.mode = .init(rawValue: Int(bond.mode ?? 0)) ?? .balanceRr
        if let miimon = bond.miimon, miimon != BondSpec.defaultMIIMonitoring { message.bond.miimon = miimon }
        message.bond.updelay = bond.updelay ?? 0
        message.bond.downdelay = bond.downdelay ?? 0
        if let primary = ports.first(where: { $0.link.index == bond.primary }) {
            message.bond.primary = export.name(of: primary)
        }
        let mode = bond.mode.flatMap(modes.word)
        if mode?.usesHash == true {
            message.bond.xmitHashPolicy = .init(rawValue: Int(bond.hashPolicy ?? 0)) ?? .layer2
        }
        guard mode == .lacp else { return }
        message.bond.lacpRate = bond.lacpRate == 1 ? .fast : .slow
        message.bond.minLinks = bond.minLinks ?? 0
        message.bond.adSelect = .init(rawValue: Int(bond.selection ?? 0)) ?? .stable
    }
}

extension KernelNumbers where Word: RawRepresentable<String>, Number == UInt8 {
    /// The word for a number, else the number.
    fileprivate func text(_ number: UInt8?) -> String {
        guard let number else { return "unknown" }
        return word(number)?.rawValue ?? "\(number)"
    }
}
