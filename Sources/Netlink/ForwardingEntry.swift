import CLinux
import CMnl
import Glibc
public import NetworkTypes

/// A forwarding entry: of a bridge, by which port a MAC address is reached, or of a VXLAN, by which other ends. Source:
/// `struct ndmsg` of `AF_BRIDGE` and `NDA_*`, linux/neighbour.h.
public struct ForwardingEntry: Hashable, Sendable {
    /// `ndm_ifindex`: the port or the VXLAN.
    public var linkIndex: Int32
    /// `NDA_LLADDR`; all zeros in a VXLAN: whatever has no entry of its own.
    public var mac: MACAddress
    /// `NTF_MASTER`: the entry is the bridge's; otherwise it is that of the device itself (`NTF_SELF`).
    public var isOfBridge: Bool
    /// `NDA_VLAN` of a bridge that tells VLANs apart; 0: none.
    public var vlan: UInt16
    /// `NDA_DST`: the other end, of a VXLAN's entry.
    public var destination: IPAddress?
    /// `NDA_PORT`: the other end's UDP port, host byte order; nil: that of the VXLAN.
    public var port: UInt16?
    /// `NDA_VNI`: the network at the other end; nil: that of the VXLAN.
    public var vni: UInt32?
    /// `ndm_state`: `NUD_*`. Entries that nobody learned are `NUD_NOARP`, those of a VXLAN `NUD_PERMANENT`.
    public var state: UInt16
    /// `ndm_flags` beside those that say whose it is: `NTF_STICKY`, `NTF_EXT_LEARNED`.
    public var flags: UInt8

    /// Makes an entry that stays until it is removed.
    public init(
        linkIndex: Int32, mac: MACAddress, isOfBridge: Bool, vlan: UInt16 = 0, destination: IPAddress? = nil,
        port: UInt16? = nil, vni: UInt32? = nil, flags: UInt8 = 0
    ) {
        self.linkIndex = linkIndex
        self.mac = mac
        self.isOfBridge = isOfBridge
        self.vlan = vlan
        self.destination = destination
        self.port = port
        self.vni = vni
        state = isOfBridge ? Self.static | Self.reachable : Self.static | Self.permanent
        self.flags = flags
    }

    /// `NUD_NOARP`: nothing learned moves it to another port for good, and it does not age.
    public static let `static`: UInt16 = 0x40
    /// `NUD_REACHABLE`, which bridge(8) sets beside.
    static let reachable: UInt16 = 0x02
    /// `NUD_PERMANENT`: in a bridge, an address of the host itself.
    public static let permanent: UInt16 = 0x80
    /// `NTF_STICKY`: what is learned doesn't move it. A VXLAN keeps it with the entry and does nothing with it.
    public static let sticky: UInt8 = 0x40
    /// `NTF_EXT_LEARNED`: a routing daemon takes care of it.
    public static let externallyLearned: UInt8 = 0x10

    /// Whether the kernel may have several for the MAC address, each with another destination.
    public var isOneOfSeveral: Bool { !isOfBridge && (mac.isZero || mac.isMulticast) }

    /// Whether it was learned from frames, and ages.
    public var isLearned: Bool { state & (Self.static | Self.permanent) == 0 }

    /// Whether the kernel takes both for the same entry, of which the later one replaces the earlier.
    public func isSameEntry(as other: ForwardingEntry) -> Bool {
        guard mac == other.mac, isOfBridge == other.isOfBridge, vlan == other.vlan else { return false }
        return !isOneOfSeveral
            || (destination == other.destination && port == other.port && vni == other.vni)
    }
}

extension ForwardingEntry {
    private static let ownFlags = UInt8(NTF_SELF) | UInt8(NTF_MASTER)

    /// Decodes `struct ndmsg` and attributes; nil for other families, and for what has no MAC address.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: ndmsg.self), header.ndm_family == UInt8(AF_BRIDGE) else { return nil }
        var mac: MACAddress?
        var master: Int32 = 0
        var (vlan, destination, port, vni): (UInt16, IPAddress?, UInt16?, UInt32?) = (0, nil, nil, nil)
        for attribute in AttributeReader(payload.after(MemoryLayout<ndmsg>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case NDA_LLADDR: mac = MACAddress(value)
            case NDA_VLAN: vlan = value.u16
            case NDA_DST: destination = IPAddress(networkOrder: value)
            case NDA_PORT: port = UInt16(bigEndian: value.u16)
            case NDA_VNI: vni = value.u32
            case NDA_MASTER: master = value.i32
            default: break
            }
        }
        guard let mac else { return nil }
        // Reports name the bridge, requests the flag.
        let isOfBridge =
            header.ndm_flags & UInt8(NTF_SELF) == 0 && (master != 0 || header.ndm_flags & UInt8(NTF_MASTER) != 0)
        self.init(
            linkIndex: header.ndm_ifindex, mac: mac, isOfBridge: isOfBridge, vlan: vlan, destination: destination,
            port: port, vni: vni, flags: header.ndm_flags & ~Self.ownFlags)
        state = header.ndm_state
    }

    /// Appends `struct ndmsg` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(ndmsg.self) { header in
            header.ndm_family = UInt8(AF_BRIDGE)
            header.ndm_ifindex = linkIndex
            header.ndm_state = state
            header.ndm_flags = flags | UInt8(isOfBridge ? NTF_MASTER : NTF_SELF)
        }
        writer.put(NDA_LLADDR, mac)
        if vlan != 0 { writer.put(NDA_VLAN, u16: vlan) }
        if let destination { writer.put(NDA_DST, destination) }
        if let port { writer.put(NDA_PORT, u16: port.bigEndian) }
        if let vni { writer.put(NDA_VNI, u32: vni) }
        return writer
    }

    /// What a new entry is to the one that has its place.
    var creation: Int32 { NLM_F_CREATE | (isOneOfSeveral ? NLM_F_APPEND : NLM_F_REPLACE) }
}
