internal import Model
internal import NetworkTypes

/// What the ancestor of this agent reports beside a value.
enum ValueMetadata {
    static func json(_ value: ModelValue, _ devices: [String: InterfaceDevice]) -> JSON {
        switch value {
        case .interface(let message):
            guard let device = devices[message.name] else { return .null }
            return .object([
                ("LinuxIfIndex", .int(Int64(device.index))), ("VPPTapName", .string(message.tap.vppTapIfName)),
                ("Namespace", namespace(message)), ("HostIfName", .string(device.hostName)),
                ("VrfMasterIf", .string(message.vrfMasterInterface)),
                ("VrfDevRT", .uint(UInt64(message.vrfDev.routingTable))),
            ])
        case .allocation(let message):
            return .fields([
                ("IfaceAddr", network(message.address)), ("GwAddr", message.gw.isEmpty ? .null : gateway(message)),
            ])
        case .arp, .route, .ruleChain, .client, .endpoint, .service, .namespace, .rule, .filterTable, .forwarding,
            .qdisc, .nextHop:
            return .null
        }
    }

    private static func namespace(_ message: Ligato_Linux_Interfaces_Interface) -> JSON {
        guard message.hasNamespace else { return .null }
        return .fields([
            ("type", message.namespace.type.rawValue == 0 ? nil : .int(Int64(message.namespace.type.rawValue))),
            ("reference", message.namespace.reference.isEmpty ? nil : .string(message.namespace.reference)),
        ])
    }

    private static func gateway(_ message: Ligato_Netalloc_IPAllocation) -> JSON {
        if message.gw.contains("/") { return network(message.gw) }
        let length = message.address.split(separator: "/").last.map(String.init) ?? ""
        return network("\(message.gw)/\(length)")
    }

    /// An address and its mask as Go writes them.
    private static func network(_ text: String) -> JSON {
        let words = text.split(separator: "/")
        guard let address = words.first else { return .null }
        let size = address.contains(":") ? 128 : 32
        // What is declared may be nonsense, and is shown nevertheless.
        let length = min(max(words.count > 1 ? Int(words[1]) ?? size : size, 0), size)
        let mask = (0..<(size / 8)).map { index -> UInt8 in
            let bits = min(max(length - 8 * index, 0), 8)
            return UInt8(truncatingIfNeeded: 0xff00 >> bits)
        }
        return .object([("IP", .string(String(address))), ("Mask", .string(Base64.encode(mask)))])
    }
}
