import CLinux
import CMnl
import Glibc
public import NetworkTypes

/// What to read from the kernel.
public enum Dump: Hashable, Sendable {
    /// All links, without their statistics.
    case links
    /// All addresses of both families.
    case addresses
    /// The addresses of both families on the link with an index; the kernel does not look at others.
    case addressesOfLink(Int32)
    /// Routes, filtered by the kernel as far as it can: of one family, one table, one protocol.
    /// `ignoringKernel` leaves out what the kernel made by itself: `RTPROT_KERNEL`, local, broadcast, anycast and
    /// multicast routes and cached copies.
    case routes(
        family: IPAddress.Family? = nil, table: UInt32? = nil, proto: UInt8? = nil, ignoringKernel: Bool = false)
    /// The routes that the kernel makes with addresses, to what is then on the link: unicast routes with `RTPROT_KERNEL`.
    case prefixRoutes
    /// Routes of both families that leave by the link with an index; the kernel does not report others. With
    /// `ignoringKernel`, without what the kernel made by itself.
    case routesOfLink(Int32, ignoringKernel: Bool = false)
    /// Neighbour entries of one family or of both, or the proxy entries instead. The kernel walks the entries of all
    /// namespaces for each such dump; of IPv4 there are few, while every link has some of IPv6.
    case neighbours(family: IPAddress.Family? = nil, proxy: Bool = false)
    /// Forwarding entries of bridges and VXLANs.
    case forwarding
    /// Qdiscs of all links, the kernel's own included.
    case qdiscs
    /// Filters of what arrives by the link with an index, which has a qdisc for them; all of them, or those with a preference.
    case filters(linkIndex: Int32, preference: UInt16?)
    /// Nexthop objects.
    case nextHops
    /// Bridges and their ports, with their VLANs.
    case bridges
    /// Policy rules of one family; nil: of both.
    case rules(family: IPAddress.Family? = nil)
}

extension RouteSocket {
    /// How often an interrupted dump is begun again.
    static let dumpAttempts = 10

    /// Reads all objects of a kind.
    ///
    /// When something changes during a dump the kernel says so (`NLM_F_DUMP_INTR`), and the dump is begun again: the
    /// result is always one consistent state.
    ///
    /// - Parameter limit: The most objects that are read, those that are left out included. After more of them the socket can't
    ///   be used any more, as the kernel goes on with the dump.
    /// - Throws: `EBUSY` when the dump was interrupted 10 times; `E2BIG` for more than the limit; what the kernel answers.
    public func dump(_ what: Dump, atMost limit: Int = .max) throws(KernelError) -> [Report] {
        try collect(what, atMost: limit) { Report.decode(type: $0.type, payload: $0.payload) }
    }

    /// Reads all links. Throws as ``dump(_:atMost:)`` does, as do those below.
    public func links() throws(KernelError) -> [Link] {
        try collect(.links) { $0.type == Int(RTM_NEWLINK) ? Link(payload: $0.payload) : nil }
    }

    /// Reads all addresses.
    public func addresses() throws(KernelError) -> [Address] {
        try collect(.addresses) { $0.type == Int(RTM_NEWADDR) ? Address(payload: $0.payload) : nil }
    }

    /// Reads the routes with a protocol number.
    public func routes(proto: UInt8) throws(KernelError) -> [Route] {
        try collect(.routes(proto: proto)) { message in
            guard message.type == Int(RTM_NEWROUTE), let route = Route(payload: message.payload) else { return nil }
            return route.proto == proto ? route : nil
        }
    }

    /// Reads the routes with a protocol number and, in the same dump of all routes, those that the kernel makes with addresses:
    /// where there are few routes that takes less than two dumps of which the kernel leaves out the others.
    ///
    /// - Parameters:
    ///   - connected: Becomes what the kernel makes with addresses.
    ///   - other: Hears of all routes that neither are ours nor made by the kernel. When the dump is begun again it hears of them
    ///     again; nil: nobody does.
    /// - Throws: `E2BIG` when there are more than the limit; the socket can't be used any more then.
    public func routes(
        proto: UInt8, connected: inout [ConnectedRoute], other: ((Route) -> Void)? = nil, atMost limit: Int
    ) throws(KernelError) -> [Route] {
        try collect(.routes(), atMost: limit, begin: { connected.removeAll(keepingCapacity: true) }) { message in
            guard message.type == Int(RTM_NEWROUTE), let header = message.payload.value(as: rtmsg.self) else {
                return nil
            }
            if header.rtm_protocol == proto { return Route(payload: message.payload) }
            if !Route.isKernels(message.payload) {
                if let other, let route = Route(payload: message.payload) { other(route) }
            } else if let route = ConnectedRoute(payload: message.payload) {
                connected.append(route)
            }
            return nil
        }
    }

    /// Reads the routes that the kernel makes with addresses.
    public func connectedRoutes() throws(KernelError) -> [ConnectedRoute] {
        try collect(.prefixRoutes) {
            $0.type == Int(RTM_NEWROUTE) ? ConnectedRoute(payload: $0.payload) : nil
        }
    }

    /// Reads the policy rules, but for those that the kernel made: five in each namespace.
    public func rules() throws(KernelError) -> [Rule] {
        try collect(.rules()) { message in
            guard message.type == Int(RTM_NEWRULE), !Rule.isKernels(message.payload) else { return nil }
            return Rule(payload: message.payload)
        }
    }

    /// Reads objects so that they can be put back: those for which `isWanted` says so.
    ///
    /// - Parameter proto: Routes of this protocol are passed over without being decoded: where all but a few are, that is most
    ///   of the work.
    /// - Throws: `EBUSY` when the dump was interrupted 10 times; what the kernel answers.
    public func save(
        _ what: Dump, exceptRoutesOf proto: UInt8? = nil, where isWanted: (Report) -> Bool
    ) throws(KernelError) -> [SavedObject] {
        try collect(what) { message in
            if let proto, message.type == Int(RTM_NEWROUTE),
                message.payload.value(as: rtmsg.self)?.rtm_protocol == proto
            {
                return nil
            }
            return SavedObject(message).flatMap { isWanted($0.report) ? $0 : nil }
        }
    }

    /// Reads all objects of a kind, and makes something of each message.
    ///
    /// - Parameter begin: Called before each attempt.
    private func collect<Object>(
        _ what: Dump, atMost limit: Int = .max, begin: () -> Void = {}, _ make: (Message) -> Object?
    ) throws(KernelError) -> [Object] {
        var result: [Object] = []
        for _ in 0..<Self.dumpAttempts {
            let isConsistent = try askAgainIfLong { () throws(KernelError) in
                result.removeAll(keepingCapacity: true)
                begin()
                return try collect(what, into: &result, limit, make)
            }
            if isConsistent { return result }
        }
        throw KernelError(code: EBUSY, message: "the dump was interrupted \(Self.dumpAttempts) times")
    }

    /// One attempt; whether it was consistent.
    private func collect<Object>(
        _ what: Dump, into result: inout [Object], _ limit: Int, _ make: (Message) -> Object?
    ) throws(KernelError) -> Bool {
        try withRequest { start throws(KernelError) in
            var isConsistent = true
            var count = 0
            try exchange(what.write(at: start)) { message throws(KernelError) in
                if message.isInterrupted { isConsistent = false }
                guard !message.isStatus else {
                    // Asked for by number, a table without routes does not exist.
                    if let error = message.error, !(what.selectsTable && error.code == ENOENT) { throw error }
                    return true
                }
                count += 1
                if count > limit {
                    throw KernelError(code: E2BIG, message: "there are more than \(limit) objects")
                }
                guard isConsistent, !what.ignores(message), let object = make(message) else { return false }
                result.append(object)
                return false
            }
            return isConsistent
        }
    }

    /// Lends memory for one short request.
    func withRequest<T>(_ body: (UnsafeMutableRawPointer) throws(KernelError) -> T) throws(KernelError) -> T {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 8)
        defer { memory.deallocate() }
        return try body(memory)
    }

    /// The link with an index; nil when there is none.
    public func link(index: Int32) throws(KernelError) -> Link? {
        guard index > 0 else { return nil }
        return try link { writer in
            writer.putStruct(ifinfomsg.self) { $0.ifi_index = index }
            writer.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
        }
    }

    /// The link with a name, or with that alternative name; nil when there is none.
    public func link(name: String) throws(KernelError) -> Link? {
        guard InterfaceName.mistake(in: name) == nil else { return nil }
        return try link { writer in
            writer.putStruct(ifinfomsg.self) { _ in }
            writer.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
            writer.put(IFLA_IFNAME, name: name)
        }
    }

    private func link(_ fill: (MessageWriter) -> Void) throws(KernelError) -> Link? {
        try object(RTM_GETLINK, unless: ENODEV, fill: fill) { Link(payload: $0) }
    }

    /// The neighbour entry, or the proxy entry, for an address on the link with an index. A dump would walk through the
    /// entries of all namespaces. Source: `neigh_get`, net/core/neighbour.c.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: what the kernel answers; before Linux 5.0 it knows no such request.
    public func neighbour(
        _ destination: IPAddress, on index: Int32, isProxy: Bool = false
    ) throws(KernelError) -> Neighbour? {
        try object(RTM_GETNEIGH, unless: ENOENT) { writer in
            writer.putStruct(ndmsg.self) { header in
                header.ndm_family = destination.family.rawValue
                header.ndm_ifindex = index
                header.ndm_flags = isProxy ? Neighbour.proxy : 0
            }
            writer.put(NDA_DST, destination)
        } decode: {
            Neighbour(payload: $0)
        }
    }

    /// The forwarding entry for an address in the bridge, or of the VXLAN, with an index; of several that of the first other end.
    /// Source: `rtnl_fdb_get`, net/core/rtnetlink.c.
    ///
    /// - Returns: nil when there is none.
    /// - Throws: what the kernel answers; before Linux 5.0 it knows no such request.
    public func forwarding(
        _ mac: MACAddress, vlan: UInt16, of index: Int32
    ) throws(KernelError) -> ForwardingEntry? {
        try object(RTM_GETNEIGH, unless: ENOENT) { writer in
            writer.putStruct(ndmsg.self) { header in
                header.ndm_family = UInt8(AF_BRIDGE)
                header.ndm_ifindex = index
                header.ndm_flags = UInt8(NTF_SELF)
            }
            writer.put(NDA_LLADDR, mac)
            if vlan != 0 { writer.put(NDA_VLAN, u16: vlan) }
        } decode: {
            ForwardingEntry(payload: $0)
        }
    }

    /// Asks for one object; nil: the kernel has none, as an error with that code says.
    func object<T>(
        _ type: some BinaryInteger, unless absent: Int32, fill: (MessageWriter) -> Void,
        decode: (UnsafeRawBufferPointer) -> T?
    ) throws(KernelError) -> T? {
        try withRequest { start throws(KernelError) in
            let writer = MessageWriter(at: start, type: type)
            fill(writer)
            return try askAgainIfLong { () throws(KernelError) in
                var result: T?
                try exchange(writer) { message throws(KernelError) in
                    if let error = message.error, message.isStatus, error.code != absent { throw error }
                    if !message.isStatus { result = decode(message.payload) }
                    return true
                }
                return result
            }
        }
    }
}

extension Dump {
    fileprivate var selectsTable: Bool {
        if case .routes(_, .some, _, _) = self { true } else { false }
    }

    /// Whether a message is not wanted, decided before anything is built from it.
    @inline(__always)
    fileprivate func ignores(_ message: Message) -> Bool {
        switch self {
        case .routes(_, _, _, ignoringKernel: true), .routesOfLink(_, ignoringKernel: true):
            Route.isKernels(message.payload)
        case .routes, .prefixRoutes, .routesOfLink, .links, .addresses, .addressesOfLink, .neighbours, .forwarding,
            .bridges, .rules, .qdiscs, .filters, .nextHops:
            false
        }
    }

    func write(at start: UnsafeMutableRawPointer) -> MessageWriter {
        switch self {
        case .links:
            let writer = MessageWriter(at: start, type: RTM_GETLINK, flags: NLM_F_DUMP)
            writer.putStruct(ifinfomsg.self) { _ in }
            writer.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_SKIP_STATS))
            return writer
        case .addresses:
            let writer = MessageWriter(at: start, type: RTM_GETADDR, flags: NLM_F_DUMP)
            writer.putStruct(ifaddrmsg.self) { _ in }
            return writer
        case .addressesOfLink(let index):
            let writer = MessageWriter(at: start, type: RTM_GETADDR, flags: NLM_F_DUMP)
            writer.putStruct(ifaddrmsg.self) { $0.ifa_index = UInt32(bitPattern: index) }
            return writer
        case .routes(let family, let table, let proto, _):
            let writer = MessageWriter(at: start, type: RTM_GETROUTE, flags: NLM_F_DUMP)
            writer.putStruct(rtmsg.self) { header in
                header.rtm_family = family?.rawValue ?? 0
                header.rtm_protocol = proto ?? 0
            }
            if let table { writer.put(RTA_TABLE.rawValue, u32: table) }
            return writer
        case .prefixRoutes:
            let writer = MessageWriter(at: start, type: RTM_GETROUTE, flags: NLM_F_DUMP)
            writer.putStruct(rtmsg.self) { header in
                header.rtm_protocol = UInt8(RTPROT_KERNEL)
                header.rtm_type = UInt8(RTN_UNICAST)
            }
            return writer
        case .routesOfLink(let index, _):
            let writer = MessageWriter(at: start, type: RTM_GETROUTE, flags: NLM_F_DUMP)
            writer.putStruct(rtmsg.self) { _ in }
            writer.put(RTA_OIF.rawValue, i32: index)
            return writer
        case .neighbours(let family, let proxy):
            let writer = MessageWriter(at: start, type: RTM_GETNEIGH, flags: NLM_F_DUMP)
            writer.putStruct(ndmsg.self) { header in
                header.ndm_family = family?.rawValue ?? 0
                header.ndm_flags = proxy ? Neighbour.proxy : 0
            }
            return writer
        case .forwarding:
            let writer = MessageWriter(at: start, type: RTM_GETNEIGH, flags: NLM_F_DUMP)
            writer.putStruct(ndmsg.self) { $0.ndm_family = UInt8(AF_BRIDGE) }
            return writer
        case .qdiscs:
            let writer = MessageWriter(at: start, type: RTM_GETQDISC, flags: NLM_F_DUMP)
            writer.putStruct(tcmsg.self) { _ in }
            return writer
        case .filters(let index, let preference):
            let writer = MessageWriter(at: start, type: RTM_GETTFILTER, flags: NLM_F_DUMP)
            writer.putStruct(tcmsg.self) { header in
                header.tcm_ifindex = index
                header.tcm_parent = TrafficFilter.parent
                header.tcm_info = UInt32(preference ?? 0) << 16
            }
            return writer
        case .nextHops:
            let writer = MessageWriter(at: start, type: RTM_GETNEXTHOP, flags: NLM_F_DUMP)
            writer.putStruct(nhmsg.self) { _ in }
            return writer
        case .bridges:
            let writer = MessageWriter(at: start, type: RTM_GETLINK, flags: NLM_F_DUMP)
            writer.putStruct(ifinfomsg.self) { $0.ifi_family = UInt8(AF_BRIDGE) }
            writer.put(IFLA_EXT_MASK, u32: UInt32(RTEXT_FILTER_BRVLAN_COMPRESSED))
            return writer
        case .rules(let family):
            let writer = MessageWriter(at: start, type: RTM_GETRULE, flags: NLM_F_DUMP)
            writer.putStruct(fib_rule_hdr.self) { $0.family = family?.rawValue ?? 0 }
            return writer
        }
    }
}
