/// A message taken apart by a second, slow and independent reader, to compare two messages that may differ in the
/// order of attributes and in nothing else.
struct AttributeTree: Hashable, CustomStringConvertible {
    /// Position of the type among its enclosing types, and flag bits apart from `NLA_F_NESTED`.
    var type: UInt16
    /// Bytes in front of the children: a fixed header, or the whole payload of a leaf.
    var bytes: [UInt8]
    var children: [AttributeTree]

    var description: String {
        let hex = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        return "\(type)[\(hex)]" + (children.isEmpty ? "" : "{\(children.map(\.description).joined(separator: " "))}")
    }

    /// Reads a whole message. The tree's own type is the message's; its bytes are the flags without `NLM_F_ACK`
    /// and the family header.
    init(message: [UInt8]) {
        type = Self.u16(message, 4)
        let header =
            [
                16: 16, 17: 16, 20: 8, 21: 8, 24: 12, 25: 12, 28: 12, 29: 12, 32: 12, 33: 12, 36: 20, 37: 20,
                44: 20, 45: 20, 104: 8,
                105: 8,
            ][Int(type)] ?? 0
        bytes = [message[6] & ~4, message[7]] + message[16..<16 + header]
        children = Self.attributes(Array(message[(16 + header)...]), path: [type & ~1])
    }

    private init(type: UInt16, payload: [UInt8], path: [UInt16]) {
        self.type = type
        switch path {
        // IFLA_LINKINFO, its IFLA_INFO_DATA and IFLA_INFO_SLAVE_DATA, RTA_METRICS; TCA_OPTIONS of a filter, its actions, and
        // TCA_ACT_OPTIONS of one
        case [16, 18], [16, 18, 2], [16, 18, 5], [24, 8], [44, 2], [44, 2, 2], [44, 2, 2, 1], [44, 2, 2, 1, 2]:
            bytes = []
            children = Self.attributes(payload, path: path)
        // VETH_INFO_PEER in a message with the kind `veth`: struct ifinfomsg and attributes
        case [16, 18, 2, 1] where payload.count > 20:
            bytes = Array(payload[..<16])
            children = Self.attributes(Array(payload[16...]), path: [0])
        // RTA_MULTIPATH: struct rtnexthop and attributes, many times
        case [24, 9]:
            bytes = []
            children = Self.hops(payload)
        default:
            bytes = payload
            children = []
        }
    }

    private static func attributes(_ bytes: [UInt8], path: [UInt16]) -> [AttributeTree] {
        var result: [AttributeTree] = []
        var offset = 0
        while offset + 4 <= bytes.count {
            let length = Int(u16(bytes, offset))
            precondition(length >= 4 && offset + length <= bytes.count, "broken fixture")
            let type = u16(bytes, offset + 2) & 0x7fff
            let payload = Array(bytes[(offset + 4)..<(offset + length)])
            result.append(AttributeTree(type: type, payload: payload, path: path + [type]))
            offset += (length + 3) / 4 * 4
        }
        return result.sorted { ($0.type, $0.description) < ($1.type, $1.description) }
    }

    /// Next hops keep their order: it is part of the route.
    private static func hops(_ bytes: [UInt8]) -> [AttributeTree] {
        var result: [AttributeTree] = []
        var offset = 0
        while offset + 8 <= bytes.count {
            let length = Int(u16(bytes, offset))
            var hop = AttributeTree(type: 0, payload: Array(bytes[(offset + 2)..<(offset + 8)]), path: [])
            hop.children = attributes(Array(bytes[(offset + 8)..<(offset + length)]), path: [])
            result.append(hop)
            offset += (length + 3) / 4 * 4
        }
        return result
    }

    private static func u16(_ bytes: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
    }
}
