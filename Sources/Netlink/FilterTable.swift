import CLinux
import CMnl
import Glibc

/// A table of nf_tables, as far as the kernel reports it in one message.
public struct FilterTable: Hashable, Sendable {
    /// Which packets a table sees, in the words of nft(8).
    public enum Family: UInt8, Hashable, Sendable, CaseIterable {
        /// `NFPROTO_INET`: IPv4 and IPv6.
        case inet = 1
        /// `NFPROTO_IPV4`.
        case ip = 2
        /// `NFPROTO_ARP`.
        case arp = 3
        /// `NFPROTO_NETDEV`: of one device, before all others.
        case netdev = 5
        /// `NFPROTO_BRIDGE`.
        case bridge = 7
        /// `NFPROTO_IPV6`.
        case ip6 = 10
    }

    /// What the kernel lets exist once in a namespace.
    public struct ID: Hashable, Sendable, CustomStringConvertible {
        /// Its family.
        public var family: Family
        /// Its name.
        public var name: String

        /// Names a table.
        public init(_ family: Family, _ name: String) {
            self.family = family
            self.name = name
        }

        /// `table inet filter`
        public var description: String { "table \(family) \(name)" }
    }

    /// Family and name.
    public var id: ID
    /// A number that no other table of the namespace ever has.
    public var handle: UInt64
    /// Its comment.
    public var comment: String?

    /// Describes a table.
    public init(id: ID, handle: UInt64, comment: String? = nil) {
        self.id = id
        self.handle = handle
        self.comment = comment
    }

    /// From what follows the header of an `NFT_MSG_NEWTABLE`; nil for a family that we don't know.
    init?(payload: UnsafeRawBufferPointer) {
        guard let id = ID(payload: payload) else { return nil }
        self.init(id: id, handle: 0)
        for attribute in AttributeReader(payload.after(MemoryLayout<nfgenmsg>.size)) {
            switch attribute.type {
            case Int(NFTA_TABLE_HANDLE.rawValue):
                handle = attribute.payload.value(as: UInt64.self).map { UInt64(bigEndian: $0) } ?? 0
            case Int(NFTA_TABLE_USERDATA.rawValue): comment = Self.comment(in: attribute.payload)
            default: break
            }
        }
    }

    /// Attributes of libnftnl (`NFTNL_UDATA_TABLE_COMMENT` is 0), each with a byte for its type and one for its length.
    private static func comment(in bytes: UnsafeRawBufferPointer) -> String? {
        var rest = bytes
        while rest.count >= 2 {
            let length = Int(rest[1])
            guard rest.count >= 2 + length else { return nil }
            if rest[0] == 0 { return UnsafeRawBufferPointer(rebasing: rest[2..<(2 + length)]).text }
            rest = rest.after(2 + length)
        }
        return nil
    }
}

extension FilterTable.ID {
    /// The table that a message of nf_tables is about. The name of the table is the first attribute of them all.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: nfgenmsg.self),
            let family = FilterTable.Family(rawValue: header.nfgen_family),
            let name = AttributeReader(payload.after(MemoryLayout<nfgenmsg>.size)).first(where: {
                $0.type == Int(NFTA_TABLE_NAME.rawValue)
            })
        else { return nil }
        self.init(family, name.payload.text)
    }
}

/// Reads the tables of nf_tables of one namespace. Used by one thread.
public final class FilterSocket {
    private let channel: NetlinkChannel
    private var sequence: UInt32 = 0

    /// Opens a socket in a namespace; nil: that of the calling thread.
    ///
    /// - Throws: `EPROTONOSUPPORT` when the kernel has no nfnetlink; see ``RouteSocket/init(in:)``.
    public init(in namespace: NetworkNamespace?) throws(KernelError) {
        channel = try NetlinkChannel(asking: NETLINK_NETFILTER, in: namespace)
    }

    /// All tables, without what is in them.
    ///
    /// - Throws: `EBUSY` when the dump was interrupted 10 times; what the kernel answers: `EINVAL` or `EOPNOTSUPP` without
    ///   nf_tables.
    public func tables() throws(KernelError) -> [FilterTable] {
        for _ in 0..<RouteSocket.dumpAttempts {
            var tables: [FilterTable] = []
            var isConsistent = true
            try ask(NFT_MSG_GETTABLE, dump: true) { message in
                if message.isInterrupted { isConsistent = false }
                if let table = FilterTable(payload: message.payload) { tables.append(table) }
            }
            if isConsistent { return tables }
        }
        throw KernelError(code: EBUSY, message: "the dump was interrupted \(RouteSocket.dumpAttempts) times")
    }

    /// Whether a text is somewhere in the rules of a table, such as in the comment of a rule of iptables.
    public func rules(of table: FilterTable.ID, hold text: String) throws(KernelError) -> Bool {
        let wanted = Array(text.utf8)
        var isFound = false
        try ask(NFT_MSG_GETRULE, dump: true, table: table) { message in
            isFound = isFound || message.payload.holds(wanted)
        }
        return isFound
    }

    /// The number of the state: another one after each change of any table (`NFTA_GEN_ID`).
    public func generation() throws(KernelError) -> UInt32 {
        var number: UInt32 = 0
        try ask(NFT_MSG_GETGEN, dump: false) { message in
            for attribute in AttributeReader(message.payload.after(MemoryLayout<nfgenmsg>.size))
            where attribute.type == Int(NFTA_GEN_ID.rawValue) { number = UInt32(bigEndian: attribute.payload.u32) }
        }
        return number
    }

    private func ask(
        _ type: nf_tables_msg_types, dump: Bool, table: FilterTable.ID? = nil, _ each: (Message) -> Void
    ) throws(KernelError) {
        sequence &+= 1
        let number = sequence
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 64 + (table?.name.utf8.count ?? 0), alignment: 8)
        defer { memory.deallocate() }
        let writer = MessageWriter(
            at: memory, type: Int(NFNL_SUBSYS_NFTABLES) << 8 | Int(type.rawValue), flags: dump ? NLM_F_DUMP : NLM_F_ACK)
        writer.putStruct(nfgenmsg.self) { $0.nfgen_family = table?.family.rawValue ?? 0 }
        if let table { writer.put(NFTA_RULE_TABLE.rawValue, name: table.name) }
        writer.header.pointee.nlmsg_seq = number
        try channel.send(UnsafeRawBufferPointer(start: writer.header, count: writer.count))
        try NetlinkChannel.withBuffer { buffer throws(KernelError) in
            while true {
                let count = try channel.receive(into: buffer, timeout: RouteSocket.answerTimeout)
                let datagram = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                for message in MessageReader(datagram) where message.header.nlmsg_seq == number {
                    if message.isStatus {
                        if let error = message.error { throw error }
                        return
                    }
                    each(message)
                }
            }
        }
    }
}

/// Hears of changes of the tables of one namespace. Used by one thread.
public final class FilterEvents {
    private let channel: NetlinkChannel
    private var isOverrun = false

    /// Opens a socket in a namespace, nil: the calling thread's, and joins `NFNLGRP_NFTABLES`.
    public init(in namespace: NetworkNamespace?) throws(KernelError) {
        channel = try NetlinkChannel(
            in: namespace, bus: NETLINK_NETFILTER, groups: 1 << (NFNLGRP_NFTABLES.rawValue - 1),
            receiveBuffer: 512 << 10)
    }

    /// For epoll(7): readable when notifications wait. Non-blocking; owned by this object.
    public var descriptor: Int32 { channel.descriptor }

    /// Delivers the notifications that wait. Never blocks.
    ///
    /// - Parameter each: gets the table that changed, and the netlink port of the sender: usually its process number.
    public func drain(_ each: (FilterTable.ID, _ port: UInt32) -> Void) -> EventSocket.Drained {
        NetlinkChannel.withBuffer { buffer in
            // A bound, so that a flood here doesn't starve other sockets.
            for _ in 0..<4096 {
                let count = channel.receive(into: buffer)
                if count == -Int(EAGAIN) {
                    defer { isOverrun = false }
                    return isOverrun ? .overrun : .complete
                }
                guard count >= 0 else {
                    isOverrun = true
                    continue
                }
                for message in MessageReader(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                    guard message.type >> 8 == Int(NFNL_SUBSYS_NFTABLES),
                        message.type & 0xff != Int(NFT_MSG_NEWGEN.rawValue),
                        let id = FilterTable.ID(payload: message.payload)
                    else { continue }
                    each(id, message.header.nlmsg_pid)
                }
            }
            return isOverrun ? .overrun : .complete
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether bytes are somewhere in it.
    fileprivate func holds(_ bytes: [UInt8]) -> Bool {
        guard let first = bytes.first, count >= bytes.count else { return false }
        for start in 0...(count - bytes.count) where self[start] == first {
            if UnsafeRawBufferPointer(rebasing: self[start..<(start + bytes.count)]).elementsEqual(bytes) {
                return true
            }
        }
        return false
    }
}
