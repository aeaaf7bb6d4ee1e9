import CLinux
import CMnl
import Glibc
public import NetworkTypes

/// A nexthop object, which many routes may share. Source: `struct nhmsg` and `NHA_*`, linux/nexthop.h.
public struct NextHopObject: Hashable, Sendable {
    /// One nexthop of a group.
    public struct Member: Hashable, Sendable {
        /// Its `NHA_ID`.
        public var id: UInt32
        /// Share of the traffic, 1 to 256.
        public var weight: UInt16

        /// Makes one.
        public init(id: UInt32, weight: UInt16) { (self.id, self.weight) = (id, weight) }
    }

    /// `NHA_ID`.
    public var id: UInt32
    /// `nh_protocol`: who made it.
    public var proto: UInt8
    /// `nh_family`; nil for groups.
    public var family: IPAddress.Family?
    /// `NHA_GATEWAY`.
    public var gateway: IPAddress?
    /// `NHA_OIF`; 0: none.
    public var linkIndex: Int32
    /// `RTNH_F_ONLINK`.
    public var onlink: Bool
    /// `NHA_BLACKHOLE`: packets are dropped.
    public var isBlackhole: Bool
    /// `NHA_GROUP`: those that share the traffic; empty for a single one.
    public var members: [Member]
    /// More that the kernel says of it, such as `NHA_ENCAP` or a resilient group. Read only.
    public internal(set) var others = UnknownAttributes()

    /// Makes a single one.
    public init(
        id: UInt32, proto: UInt8 = 0, family: IPAddress.Family, gateway: IPAddress? = nil, linkIndex: Int32 = 0,
        onlink: Bool = false, isBlackhole: Bool = false
    ) {
        (self.id, self.proto, self.family) = (id, proto, family)
        (self.gateway, self.linkIndex, self.onlink) = (gateway, linkIndex, onlink)
        (self.isBlackhole, members) = (isBlackhole, [])
    }

    /// Makes a group.
    public init(id: UInt32, proto: UInt8 = 0, members: [Member]) {
        (self.id, self.proto, family) = (id, proto, nil)
        (gateway, linkIndex, onlink, isBlackhole) = (nil, 0, false, false)
        self.members = members
    }

    /// Whether it is a group.
    public var isGroup: Bool { !members.isEmpty }

    /// Whether a request can make this of another one that is there: the kernel makes no group of a single one, nor one family
    /// of the other. Source: `replace_nexthop`, net/ipv4/nexthop.c.
    public func canFollow(_ other: NextHopObject) -> Bool {
        id == other.id && isGroup == other.isGroup && family == other.family && other.others.isEmpty
    }
}

extension NextHopObject {
    /// Decodes `struct nhmsg` and attributes; nil without an id.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: nhmsg.self) else { return nil }
        self.init(id: 0, proto: header.nh_protocol, members: [])
        family = IPAddress.Family(rawValue: header.nh_family)
        onlink = header.nh_flags & UInt32(RTNH_F_ONLINK) != 0
        for attribute in AttributeReader(payload.after(MemoryLayout<nhmsg>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case NHA_ID: id = value.u32
            case NHA_OIF: linkIndex = value.i32
            case NHA_GATEWAY: gateway = family.flatMap { IPAddress(value, $0) }
            case NHA_BLACKHOLE: isBlackhole = true
            case NHA_GROUP: members = Self.members(value)
            case NHA_GROUP_TYPE:
                if value.u16 != UInt16(NEXTHOP_GRP_TYPE_MPATH) { others.append(attribute) }
            case Self.statistics: break
            default: others.append(attribute)
            }
        }
        if id == 0 { return nil }
        if isGroup { family = nil }
    }

    /// `NHA_OP_FLAGS` to `NHA_HW_STATS_USED`, of newer kernels: what is counted.
    private static let statistics = 14...17

    private static func members(_ bytes: UnsafeRawBufferPointer) -> [Member] {
        var members: [Member] = []
        var rest = bytes
        while let entry = rest.value(as: nexthop_grp.self) {
            // Newer kernels have the upper half of a weight in the next byte.
            let weight = UInt16(entry.weight) | UInt16(entry.resvd1) << 8
            members.append(Member(id: entry.id, weight: weight == .max ? .max : weight + 1))
            rest = rest.after(MemoryLayout<nexthop_grp>.size)
        }
        return members
    }

    /// Appends `struct nhmsg` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(nhmsg.self) { header in
            header.nh_family = family?.rawValue ?? 0
            header.nh_protocol = proto
            header.nh_flags = onlink ? UInt32(RTNH_F_ONLINK) : 0
        }
        writer.put(NHA_ID, u32: id)
        if isGroup {
            withUnsafeTemporaryAllocation(of: nexthop_grp.self, capacity: members.count) { entries in
                for (index, member) in members.enumerated() {
                    var entry = nexthop_grp()
                    (entry.id, entry.weight) = (member.id, UInt8(clamping: Int(member.weight) - 1))
                    entries.initializeElement(at: index, to: entry)
                }
                writer.put(NHA_GROUP, UnsafeRawBufferPointer(entries))
            }
            return writer
        }
        if let gateway { writer.put(NHA_GATEWAY, gateway) }
        if linkIndex != 0 { writer.put(NHA_OIF, i32: linkIndex) }
        if isBlackhole { writer.put(NHA_BLACKHOLE) }
        return writer
    }

    /// Appends what names it.
    func writeSelector(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(nhmsg.self) { _ in }
        writer.put(NHA_ID, u32: id)
        return writer
    }
}
