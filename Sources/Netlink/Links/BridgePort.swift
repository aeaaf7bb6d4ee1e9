import CLinux
import CMnl
import Glibc

/// What a bridge keeps for one of its ports. `IFLA_BRPORT_*`, linux/if_link.h.
///
/// In a request, what is nil stays as it is; a report has all that the kernel knows.
public struct BridgePort: Hashable, Sendable {
    /// A setting that is on or off.
    public struct Flags: OptionSet, Hashable, Sendable {
        /// A set of bits, of which only this file knows the order.
        public let rawValue: UInt16

        /// Makes a set.
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// `IFLA_BRPORT_MODE`: frames may leave by the port they came by.
        public static let hairpin = Flags(rawValue: 1)
        /// `IFLA_BRPORT_GUARD`: a message of the spanning tree disables the port.
        public static let guarded = Flags(rawValue: 1 << 1)
        /// `IFLA_BRPORT_PROTECT`: the port never leads to the root.
        public static let rootBlock = Flags(rawValue: 1 << 2)
        /// `IFLA_BRPORT_FAST_LEAVE`: multicast stops at the first leave message.
        public static let fastLeave = Flags(rawValue: 1 << 3)
        /// `IFLA_BRPORT_LEARNING`.
        public static let learning = Flags(rawValue: 1 << 4)
        /// `IFLA_BRPORT_UNICAST_FLOOD`.
        public static let flood = Flags(rawValue: 1 << 5)
        /// `IFLA_BRPORT_MCAST_FLOOD`.
        public static let multicastFlood = Flags(rawValue: 1 << 6)
        /// `IFLA_BRPORT_BCAST_FLOOD`.
        public static let broadcastFlood = Flags(rawValue: 1 << 7)
        /// `IFLA_BRPORT_NEIGH_SUPPRESS`.
        public static let neighbourSuppression = Flags(rawValue: 1 << 8)
        /// `IFLA_BRPORT_ISOLATED`.
        public static let isolated = Flags(rawValue: 1 << 9)

        /// Each with its attribute and its name in bridge(8).
        static let all: [(flag: Flags, type: Int, word: String)] = [
            (.hairpin, IFLA_BRPORT_MODE, "hairpin"), (.guarded, IFLA_BRPORT_GUARD, "guard"),
            (.rootBlock, IFLA_BRPORT_PROTECT, "root_block"), (.fastLeave, IFLA_BRPORT_FAST_LEAVE, "fastleave"),
            (.learning, IFLA_BRPORT_LEARNING, "learning"), (.flood, IFLA_BRPORT_UNICAST_FLOOD, "flood"),
            (.multicastFlood, IFLA_BRPORT_MCAST_FLOOD, "mcast_flood"),
            (.broadcastFlood, IFLA_BRPORT_BCAST_FLOOD, "bcast_flood"),
            (.neighbourSuppression, IFLA_BRPORT_NEIGH_SUPPRESS, "neigh_suppress"),
            (.isolated, IFLA_BRPORT_ISOLATED, "isolated"),
        ]
    }

    /// `IFLA_BRPORT_COST`, 1 to 65535.
    public var cost: UInt32?
    /// `IFLA_BRPORT_PRIORITY`, 0 to 63.
    public var priority: UInt16?
    /// Of which flags something is said.
    public private(set) var known: Flags = []
    /// Those of them that are on.
    public private(set) var on: Flags = []

    /// Says nothing.
    public init() {}

    /// Whether a flag is on; nil: nothing is said of it.
    public subscript(flag: Flags) -> Bool? {
        get { known.contains(flag) ? on.contains(flag) : nil }
        set {
            if newValue == nil { known.subtract(flag) } else { known.insert(flag) }
            if newValue == true { on.insert(flag) } else { on.subtract(flag) }
        }
    }

    /// What a new port has, but for the cost, which comes from its speed. Source: `new_nbp`, net/bridge/br_if.c.
    public static let kernelDefault: BridgePort = {
        var port = BridgePort()
        port.priority = 32
        for (flag, _, _) in Flags.all { port[flag] = defaultFlags.contains(flag) }
        return port
    }()

    private static let defaultFlags: Flags = [.learning, .flood, .multicastFlood, .broadcastFlood]

    // MARK: - Comparison

    /// What is there after a request with `change`.
    public func merged(with change: BridgePort) -> BridgePort {
        var merged = self
        merged.cost = change.cost ?? cost
        merged.priority = change.priority ?? priority
        for (flag, _, _) in Flags.all { if let isOn = change[flag] { merged[flag] = isOn } }
        return merged
    }

    /// What of this is to be set where `have` is; nil: nothing. What `have` says nothing of is set, too.
    public func change(from have: BridgePort) -> BridgePort? {
        var change = self
        if cost == have.cost { change.cost = nil }
        if priority == have.priority { change.priority = nil }
        for (flag, _, _) in Flags.all {
            // A kernel that doesn't know a flag has its default.
            let isOn = have[flag] ?? Self.defaultFlags.contains(flag)
            if self[flag] == isOn { change[flag] = nil }
        }
        return change == BridgePort() ? nil : change
    }

    /// Whether what both say something of is the same.
    public func agrees(with other: BridgePort) -> Bool {
        let both = known.intersection(other.known)
        return (cost == other.cost || cost == nil || other.cost == nil)
            && (priority == other.priority || priority == nil || other.priority == nil)
            && on.intersection(both) == other.on.intersection(both)
    }

    /// All that is said, by the words of bridge(8).
    public var words: [(name: String, value: String)] {
        var words: [(name: String, value: String)] = []
        if let cost { words.append(("cost", "\(cost)")) }
        if let priority { words.append(("priority", "\(priority)")) }
        for (flag, _, word) in Flags.all { if let isOn = self[flag] { words.append((word, isOn ? "on" : "off")) } }
        return words
    }
}

extension BridgePort {
    private static let masterKind = "bridge"

    /// Reads `IFLA_LINKINFO`; nil: the link is not a port of a bridge.
    init?(info: UnsafeRawBufferPointer) {
        var isPort = false
        var data = UnsafeRawBufferPointer(start: nil, count: 0)
        for attribute in AttributeReader(info) {
            if attribute.type == IFLA_INFO_SLAVE_KIND { isPort = attribute.payload.isText(Self.masterKind) }
            if attribute.type == IFLA_INFO_SLAVE_DATA { data = attribute.payload }
        }
        if !isPort { return nil }
        self.init(data: data)
    }

    private init(data: UnsafeRawBufferPointer) {
        self.init()
        for attribute in AttributeReader(data) {
            switch attribute.type {
            case IFLA_BRPORT_COST: cost = attribute.payload.u32
            case IFLA_BRPORT_PRIORITY: priority = attribute.payload.u16
            default:
                for (flag, type, _) in Flags.all where type == attribute.type { self[flag] = attribute.payload.u8 != 0 }
            }
        }
    }

    /// Appends what makes up `IFLA_LINKINFO` for it.
    func write(asPort writer: MessageWriter) {
        writer.put(IFLA_INFO_SLAVE_KIND, text: Self.masterKind)
        writer.nest(IFLA_INFO_SLAVE_DATA) {
            if let cost { writer.put(IFLA_BRPORT_COST, u32: cost) }
            if let priority { writer.put(IFLA_BRPORT_PRIORITY, u16: priority) }
            for (flag, type, _) in Flags.all {
                if let isOn = self[flag] { writer.put(type, u8: isOn ? 1 : 0) }
            }
        }
    }

    /// The content of `RTM_NEWLINK` of `AF_BRIDGE`: bridge(8) changes ports in a way that is reported only there.
    static func report(_ payload: UnsafeRawBufferPointer) -> Report? {
        guard let header = payload.value(as: ifinfomsg.self), header.ifi_family == UInt8(AF_BRIDGE) else { return nil }
        var port: BridgePort?
        var master: Int32 = 0
        // A bridge or port without VLANs has nothing to tell of them.
        var vlans: BridgeVLANs? = BridgeVLANs()
        for attribute in AttributeReader(payload.after(MemoryLayout<ifinfomsg>.size)) {
            switch attribute.type {
            case IFLA_PROTINFO: port = BridgePort(data: attribute.payload)
            case IFLA_MASTER: master = attribute.payload.i32
            case IFLA_AF_SPEC: vlans = BridgeVLANs(specification: attribute.payload)
            default: break
            }
        }
        // A bridge names itself as its master.
        if port == nil, master != header.ifi_index { return nil }
        return .port(linkIndex: header.ifi_index, port, vlans: vlans)
    }
}
