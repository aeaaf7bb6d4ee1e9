import CLinux
import CMnl
import Glibc

/// The VLANs of a bridge's port, or of the bridge itself. Source: `struct bridge_vlan_info` in `IFLA_BRIDGE_VLAN_INFO`,
/// linux/if_bridge.h.
public struct BridgeVLANs: Hashable, Sendable {
    /// VLANs one after the other that are treated alike.
    public struct Range: Hashable, Sendable {
        /// The first one, 1 to 4094.
        public var first: UInt16
        /// The last one.
        public var last: UInt16
        /// `BRIDGE_VLAN_INFO_PVID`: frames without a tag that come by the port belong to it.
        public var isPVID: Bool
        /// `BRIDGE_VLAN_INFO_UNTAGGED`: its frames leave the port without a tag.
        public var isUntagged: Bool

        /// Makes one.
        public init(_ first: UInt16, _ last: UInt16? = nil, isPVID: Bool = false, isUntagged: Bool = false) {
            self.first = first
            self.last = last ?? first
            self.isPVID = isPVID
            self.isUntagged = isUntagged
        }

        fileprivate func isLike(_ other: Range) -> Bool { isPVID == other.isPVID && isUntagged == other.isUntagged }
    }

    /// In the order of their numbers, each as long as can be.
    public let ranges: [Range]

    /// Numbers that a VLAN may have.
    public static let numbers: ClosedRange<UInt16> = 1...4094

    /// None.
    public init() { ranges = [] }

    /// Takes ranges in any order; where they overlap the later one counts. Numbers that no VLAN has are left out.
    public init(_ ranges: [Range]) {
        var table = Table()
        for range in ranges { table.set(range) }
        self.init(table)
    }

    /// What the kernel gives a bridge and each of its ports. Source: `br_vlan_init` and `nbp_vlan_init`, net/bridge/br_vlan.c.
    public static let kernelDefault = BridgeVLANs([Range(1, isPVID: true, isUntagged: true)])

    /// `1 PVID untagged, 10, 100-199`, in the words of bridge(8).
    public var text: String {
        if ranges.isEmpty { return "none" }
        return ranges.map { range in
            (range.first == range.last ? "\(range.first)" : "\(range.first)-\(range.last)")
                + (range.isPVID ? " PVID" : "")
                + (range.isUntagged ? " untagged" : "")
        }.joined(separator: ", ")
    }

    /// What has to go, and what has to be set, where `have` is and this is to be.
    public func change(from have: BridgeVLANs) -> (gone: BridgeVLANs, set: BridgeVLANs) {
        let (old, new) = (Table(have), Table(self))
        var (gone, set) = (Table(), Table())
        for number in Self.numbers where old[number] != new[number] {
            if new[number] == 0 { gone[number] = Table.isThere } else { set[number] = new[number] }
        }
        return (BridgeVLANs(gone), BridgeVLANs(set))
    }

    /// What is there after `other` was set: only one can be that of untagged frames.
    public func adding(_ other: BridgeVLANs) -> BridgeVLANs {
        let takesPVID = other.ranges.contains(where: \.isPVID)
        return BridgeVLANs(
            ranges.map { Range($0.first, $0.last, isPVID: $0.isPVID && !takesPVID, isUntagged: $0.isUntagged) }
                + other.ranges)
    }

    /// What is there after `other` went.
    public func removing(_ other: BridgeVLANs) -> BridgeVLANs {
        var table = Table(self)
        for range in other.ranges { for number in range.first...range.last { table[number] = 0 } }
        return BridgeVLANs(table)
    }

    /// What holds for each number.
    private struct Table {
        static let isThere: UInt8 = 1
        private static let isPVID: UInt8 = 2
        private static let isUntagged: UInt8 = 4
        private var flags = [UInt8](repeating: 0, count: 4096)

        init() {}

        init(_ vlans: BridgeVLANs) { for range in vlans.ranges { set(range) } }

        subscript(number: UInt16) -> UInt8 {
            get { flags[Int(number & 0xFFF)] }
            set { flags[Int(number & 0xFFF)] = newValue }
        }

        mutating func set(_ range: Range) {
            let numbers = BridgeVLANs.numbers
            let (first, last) = (max(range.first, numbers.lowerBound), min(range.last, numbers.upperBound))
            if first > last { return }
            let value = Self.isThere | (range.isPVID ? Self.isPVID : 0) | (range.isUntagged ? Self.isUntagged : 0)
            for number in first...last { self[number] = value }
        }

        func range(_ number: UInt16) -> Range? {
            let value = self[number]
            if value == 0 { return nil }
            return Range(number, isPVID: value & Self.isPVID != 0, isUntagged: value & Self.isUntagged != 0)
        }
    }

    private init(_ table: Table) {
        var ranges: [Range] = []
        for number in Self.numbers {
            guard let next = table.range(number) else { continue }
            if let last = ranges.last, last.last == number - 1, last.isLike(next) {
                ranges[ranges.count - 1].last = number
            } else {
                ranges.append(next)
            }
        }
        self.ranges = ranges
    }
}

extension BridgeVLANs {
    // linux/if_bridge.h, which the other headers don't go with.
    private static let bridgeFlags = 0
    private static let bridgeMode = 1
    private static let vlanInfo = 2
    private static let flagSelf: UInt16 = 2
    private static let infoPVID: UInt16 = 1 << 1
    private static let infoUntagged: UInt16 = 1 << 2
    private static let infoBegin: UInt16 = 1 << 3
    private static let infoEnd: UInt16 = 1 << 4

    /// Reads `IFLA_AF_SPEC`; nil: it is about something else than VLANs.
    init?(specification: UnsafeRawBufferPointer) {
        var ranges: [Range] = []
        var begin: UInt16?
        for attribute in AttributeReader(specification) {
            switch attribute.type {
            // A network card's report of its own bridge.
            case Self.bridgeFlags, Self.bridgeMode: return nil
            case Self.vlanInfo:
                guard let flags = attribute.payload.value(as: UInt16.self),
                    let number = attribute.payload.after(2).value(as: UInt16.self)
                else { continue }
                if flags & Self.infoBegin != 0 {
                    begin = number
                    continue
                }
                ranges.append(
                    Range(
                        flags & Self.infoEnd != 0 ? begin ?? number : number, number,
                        isPVID: flags & Self.infoPVID != 0, isUntagged: flags & Self.infoUntagged != 0))
                begin = nil
            default: break
            }
        }
        self.init(ranges)
    }

    /// Appends `struct ifinfomsg` of `AF_BRIDGE` and `IFLA_AF_SPEC`.
    func write(_ writer: MessageWriter, of link: Int32, isPort: Bool) -> MessageWriter {
        writer.putStruct(ifinfomsg.self) { header in
            header.ifi_family = UInt8(AF_BRIDGE)
            header.ifi_index = link
        }
        writer.nest(IFLA_AF_SPEC, flagged: false) {
            if !isPort { writer.put(Self.bridgeFlags, u16: Self.flagSelf) }
            for range in ranges {
                let flags = (range.isPVID ? Self.infoPVID : 0) | (range.isUntagged ? Self.infoUntagged : 0)
                if range.first == range.last {
                    Self.put(range.first, flags, writer)
                } else {
                    Self.put(range.first, flags | Self.infoBegin, writer)
                    Self.put(range.last, flags | Self.infoEnd, writer)
                }
            }
        }
        return writer
    }

    private static func put(_ number: UInt16, _ flags: UInt16, _ writer: MessageWriter) {
        withUnsafeBytes(of: (flags, number)) { writer.put(vlanInfo, $0) }
    }

    /// Memory that surely holds a request with them.
    var capacity: Int { 1024 + ranges.count * 16 }
}
