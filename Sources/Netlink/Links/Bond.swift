import CLinux

/// A `bond`. `IFLA_BOND_*`, linux/if_link.h; the numbers of modes and policies: `BOND_*`, linux/if_bonding.h. Times are
/// in milliseconds.
public struct BondAttributes: LinkKindAttributes, LinkKindCodec {
    /// `bond`
    public static let kindName = "bond"
    /// `bonding`
    public static let moduleName = "bonding"
    /// `BOND_MODE_8023AD`: the mode in which there is LACP.
    public static let lacpMode: UInt8 = 4

    /// `IFLA_BOND_MODE`. Only for a bond that is down and has no ports.
    public var mode: UInt8?
    /// `IFLA_BOND_MIIMON`; 0: off.
    public var miimon: UInt32?
    /// `IFLA_BOND_UPDELAY`, a multiple of `miimon`.
    public var updelay: UInt32?
    /// `IFLA_BOND_DOWNDELAY`, a multiple of `miimon`.
    public var downdelay: UInt32?
    /// `IFLA_BOND_PRIMARY`: index of a port; 0: none. The kernel reports one that is a port.
    public var primary: Int32?
    /// `IFLA_BOND_XMIT_HASH_POLICY`.
    public var hashPolicy: UInt8?
    /// `IFLA_BOND_MIN_LINKS`.
    public var minLinks: UInt32?
    /// `IFLA_BOND_AD_LACP_RATE`: 0 slow, 1 fast. Only for a bond that is down; nil without LACP.
    public var lacpRate: UInt8?
    /// `IFLA_BOND_AD_SELECT`. Only for a bond that is down; nil without LACP.
    public var selection: UInt8?

    /// Makes attributes of which none is set; nil leaves the kernel's default.
    public init() {}

    var isEmpty: Bool { self == BondAttributes() }

    init(data: UnsafeRawBufferPointer) {
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_BOND_MODE: mode = value.u8
            case IFLA_BOND_MIIMON: miimon = value.u32
            case IFLA_BOND_UPDELAY: updelay = value.u32
            case IFLA_BOND_DOWNDELAY: downdelay = value.u32
            case IFLA_BOND_PRIMARY: primary = value.i32
            case IFLA_BOND_XMIT_HASH_POLICY: hashPolicy = value.u8
            case IFLA_BOND_MIN_LINKS: minLinks = value.u32
            case IFLA_BOND_AD_LACP_RATE: lacpRate = value.u8
            case IFLA_BOND_AD_SELECT: selection = value.u8
            default: break
            }
        }
        // The kernel reports them in every mode, and takes them in this one only.
        if mode != Self.lacpMode { (lacpRate, selection) = (nil, nil) }
    }

    func write(_ writer: MessageWriter) {
        if let mode { writer.put(IFLA_BOND_MODE, u8: mode) }
        if let miimon { writer.put(IFLA_BOND_MIIMON, u32: miimon) }
        // There are no delays without looks, not even of 0 (`EPERM`).
        if let updelay, miimon != 0 { writer.put(IFLA_BOND_UPDELAY, u32: updelay) }
        if let downdelay, miimon != 0 { writer.put(IFLA_BOND_DOWNDELAY, u32: downdelay) }
        if let primary { writer.put(IFLA_BOND_PRIMARY, i32: primary) }
        if let hashPolicy { writer.put(IFLA_BOND_XMIT_HASH_POLICY, u8: hashPolicy) }
        if let minLinks { writer.put(IFLA_BOND_MIN_LINKS, u32: minLinks) }
        if let lacpRate { writer.put(IFLA_BOND_AD_LACP_RATE, u8: lacpRate) }
        if let selection { writer.put(IFLA_BOND_AD_SELECT, u8: selection) }
    }

    /// What is not set in the change stays as it is.
    public func merged(with change: BondAttributes) -> BondAttributes {
        var new = self
        if let mode = change.mode { new.mode = mode }
        if let miimon = change.miimon { new.miimon = miimon }
        if let updelay = change.updelay { new.updelay = updelay }
        if let downdelay = change.downdelay { new.downdelay = downdelay }
        if let primary = change.primary { new.primary = primary }
        if let hashPolicy = change.hashPolicy { new.hashPolicy = hashPolicy }
        if let minLinks = change.minLinks { new.minLinks = minLinks }
        if let lacpRate = change.lacpRate { new.lacpRate = lacpRate }
        if let selection = change.selection { new.selection = selection }
        return new
    }

    /// Replaces the preferred port.
    public mutating func resolve(_ index: (Int32) -> Int32?) -> Bool {
        guard let port = primary, port < 0 else { return true }
        guard let number = index(port) else { return false }
        primary = number
        return true
    }
}

extension LinkKind {
    /// `bond`.
    public static func bond(_ attributes: BondAttributes) -> LinkKind { LinkKind(attributes) }
}
