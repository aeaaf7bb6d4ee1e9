internal import Hummingbird
internal import Model
internal import SwiftProtobuf

/// `/dump/linux/…` and `/stats/…`: what the kernel has.
struct LinuxRoutes: Sendable {
    let backend: any RESTBackend

    private static let formats: JSONEncodingOptions = {
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        options.alwaysPrintEnumsAsInts = true
        return options
    }()

    func interfaces(_ call: RESTCall) async throws -> Response {
        let devices = await backend.devices(withTraffic: false)
        var inPlace: [String: Ligato_Linux_Interfaces_Interface] = [:]
        for value in try await backend.valuesInPlace() {
            if case .interface(let message) = value { inPlace[message.name] = message }
        }
        let found = devices.filter { $0.message.type != .existing }
        if found.isEmpty { return .json(.null) }
        return call.array(found) { [inPlace] device in
            .object([
                ("interface", Self.interface(inPlace[device.message.name] ?? device.message, device)),
                (
                    "interface_meta",
                    .object([
                        ("linux_if_index", .int(Int64(device.index))), ("parent_index", .int(Int64(device.parent))),
                        ("master_index", .int(Int64(device.master))),
                        ("oper_state", .int(Int64(device.operationalState))), ("flags", .uint(UInt64(device.flags))),
                        ("encapsulation", "ether"),
                    ])
                ),
            ])
        }
    }

    /// As Go writes the message: names as in the .proto file, enumerations as numbers, the kind in an object of its own.
    private static func interface(_ message: Ligato_Linux_Interfaces_Interface, _ device: InterfaceDevice) -> JSON {
        var link: JSON?
        switch message.link {
        case .veth(let veth): link = .object([("Veth", .fields([("peer_if_name", filled(veth.peerIfName))]))])
        case .tap(let tap): link = .object([("Tap", .fields([("vpp_tap_if_name", filled(tap.vppTapIfName))]))])
        case .vrfDev(let vrf):
            link = .object([("VrfDev", .fields([("routing_table", .uint(UInt64(vrf.routingTable)))]))])
        case .tuntap, .bridge, .vlan, .vxlan, .macvlan, .ipvlan, .bond, .macvtap, .geneve, .tunnel, .wireguard,
            nil:
            link = nil
        }
        return .fields([
            ("name", filled(message.name)),
            ("type", message.type.rawValue == 0 ? nil : .int(Int64(message.type.rawValue))),
            (
                "namespace",
                message.hasNamespace
                    ? .fields([
                        ("type", .int(Int64(message.namespace.type.rawValue))),
                        ("reference", filled(message.namespace.reference)),
                    ]) : nil
            ), ("host_if_name", filled(device.hostName)), ("enabled", device.flags & 1 != 0 ? true : nil),
            ("ip_addresses", message.ipAddresses.isEmpty ? nil : .array(message.ipAddresses.map { .string($0) })),
            ("phys_address", filled(device.hardwareAddress)),
            ("mtu", device.mtu == 0 ? nil : .uint(UInt64(device.mtu))),
            ("vrf_master_interface", filled(message.vrfMasterInterface)), ("Link", link),
        ])
    }

    private static func filled(_ text: String) -> JSON? { text.isEmpty ? nil : .string(text) }

    func routes(_ call: RESTCall) async throws -> Response {
        let devices = await indices()
        let ours = await backend.routeProtocol()
        let values = try await backend.valuesInPlace().filter { $0.kind == .route }
        if values.isEmpty { return .json(.null) }
        return call.array(values) { value in
            guard case .route(let route) = value else { return nil }
            // Source: RT_SCOPE_*, rtnetlink(7).
            let scopes: [Ligato_Linux_L3_Route.Scope: Int64] = [.site: 200, .link: 253, .host: 254]
            return .object([
                ("Route", .raw(try route.jsonString(options: Self.formats))),
                (
                    "Meta",
                    .object([
                        ("interface_index", .int(devices[route.outgoingInterface] ?? 0)),
                        ("link_scope", .int(scopes[route.scope] ?? 0)),
                        ("protocol", .uint(UInt64(ours))), ("mtu", .uint(UInt64(route.mtu))),
                        // RT_TABLE_MAIN.
                        ("table", .uint(route.table == 0 ? 254 : UInt64(route.table))),
                    ])
                ),
            ])
        }
    }

    func neighbours(_ call: RESTCall) async throws -> Response {
        let devices = await indices()
        let values = try await backend.valuesInPlace().filter { $0.kind == .arp }
        if values.isEmpty { return .json(.null) }
        return call.array(values) { value in
            guard case .arp(let entry) = value else { return nil }
            return .object([
                ("linux_arp", .raw(try entry.jsonString(options: Self.formats))),
                (
                    "linux_arp_meta",
                    .object([
                        ("interface_index", .int(devices[entry.interface] ?? 0)),
                        // AF_INET, AF_INET6.
                        ("ip_family", entry.ipAddress.contains(":") ? 10 : 2), ("vni", 0),
                    ])
                ),
            ])
        }
    }

    private func indices() async -> [String: Int64] {
        var result: [String: Int64] = [:]
        for device in await backend.devices(withTraffic: false) { result[device.message.name] = Int64(device.index) }
        return result
    }

    func interfaceStatistics(_ call: RESTCall) async throws -> Response {
        let devices = await backend.devices(withTraffic: true).filter { $0.message.type != .existing }
        if devices.isEmpty { return .json(.null) }
        return call.array(devices) { device in
            let traffic = device.traffic ?? .init()
            return .object([
                ("interface_name", .string(device.message.name)),
                ("interface_type", .int(Int64(device.message.type.rawValue))),
                ("linux_if_index", .int(Int64(device.index))), ("rx_packets", .uint(traffic.receivedPackets)),
                ("tx_packets", .uint(traffic.sentPackets)), ("rx_bytes", .uint(traffic.receivedBytes)),
                ("tx_bytes", .uint(traffic.sentBytes)), ("rx_errors", .uint(traffic.receiveErrors)),
                ("tx_errors", .uint(traffic.sendErrors)), ("rx_dropped", .uint(traffic.receiveDrops)),
                ("tx_dropped", .uint(traffic.sendDrops)),
            ])
        }
    }
}
