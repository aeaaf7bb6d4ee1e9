internal import Concurrency
internal import Model
internal import Reconciler

/// A value on the page: where it stands, and what the picture needs to know of it.
struct PageValue: Sendable, Equatable {
    /// As much of a text as a reader needs, bytes.
    private static let longest = 4096
    /// As many things that a value waits for, and that it needs, as a reader needs.
    private static let most = 50

    /// What is known of values beside their states.
    struct Context: Sendable {
        /// Values that are declared, by key.
        var declared: [Key: ModelValue] = [:]
        /// Devices of declared interfaces, by logical name.
        var devices: [String: Device] = [:]
        /// Keys of what a value depends on, by its key.
        var needs: [Key: [Key]] = [:]
    }

    /// What the page gets of a device in the kernel.
    struct Device: Sendable, Equatable {
        let name: String
        let index: Int32
        let hardwareAddress: String
        let mtu: UInt32
        let flags: UInt32

        init(_ device: InterfaceDevice) {
            name = device.hostName
            index = device.index
            hardwareAddress = device.hardwareAddress
            mtu = device.mtu
            flags = device.flags
        }

        var json: JSON {
            .fields([
                ("index", .int(Int64(index))), ("mac", filled(hardwareAddress)),
                ("mtu", mtu == 0 ? nil : .uint(UInt64(mtu))),
                // IFF_UP and IFF_RUNNING. Source: netdevice(7).
                ("up", .bool(flags & 0x1 != 0)), ("running", .bool(flags & 0x40 != 0)),
            ])
        }
    }

    private let status: ValueStatus
    private let sources: [String]
    private let needs: [Key]
    private let declared: ModelValue?
    private let device: Device?

    init(_ value: ProvidedStatus, _ context: Context) {
        status = value.status
        sources = [value.source] + value.otherSources
        needs = context.needs[status.key] ?? []
        declared = context.declared[status.key]
        if case .interface(let message) = declared { device = context.devices[message.name] } else { device = nil }
    }

    var json: JSON {
        .fields([
            ("key", .string(status.key)), ("base", status.baseKey.map { .string($0) }),
            ("kind", .string(status.kind)), ("state", .string(status.state.name)),
            ("summary", Self.filled(status.summary)), ("error", Self.filled(status.error)),
            ("details", Self.list(status.details)), ("since", Self.milliseconds(status.since)),
            ("retry", status.nextTry.map(Self.milliseconds)), ("source", Self.filled(sources[0])),
            ("others", Self.list(Array(sources.dropFirst()))), ("needs", Self.list(needs)),
            ("net", declared.flatMap { Self.net($0, device) }),
        ])
    }

    static func milliseconds(_ time: Timestamp) -> JSON { .int(time.nanoseconds / 1_000_000) }

    static func bounded(_ text: String) -> JSON {
        .string(text.utf8.count <= longest ? text : String(decoding: text.utf8.prefix(longest), as: UTF8.self) + "…")
    }

    private static func filled(_ text: String) -> JSON? { text.isEmpty ? nil : bounded(text) }

    private static func list(_ texts: [String]) -> JSON? {
        if texts.isEmpty { return nil }
        let more = texts.count > most ? [JSON.string("and \(texts.count - most) more")] : []
        return .array(texts.prefix(most).map(bounded) + more)
    }

    // MARK: - The picture

    /// What the picture shows of a declared value; nil: nothing.
    private static func net(_ value: ModelValue, _ device: Device?) -> JSON? {
        switch value {
        case .interface(let message): interface(message, device)
        case .client(let message):
            .fields([
                ("is", "client"), ("name", bounded(message.name)), ("service", bounded(message.networkService)),
                ("interface", filled(message.interfaceName)),
            ])
        case .endpoint(let message):
            .fields([
                ("is", "endpoint"), ("service", bounded(message.networkService)),
                ("prefix", filled(message.interfaceNamePrefix)),
            ])
        case .namespace(let message): .fields([("is", "namespace"), ("name", bounded(message.name))])
        case .arp, .route, .ruleChain, .allocation, .rule, .filterTable, .forwarding, .qdisc, .nextHop, .service: nil
        }
    }

    private static func interface(_ message: Ligato_Linux_Interfaces_Interface, _ device: Device?) -> JSON {
        let link = Link(message.link)
        let addresses = message.ipAddresses + message.addresses.map(\.address)
        return .fields([
            ("is", "interface"), ("name", bounded(message.name)), ("type", .string(word(message.type))),
            ("host", filled(device?.name ?? message.hostIfName)),
            ("space", message.hasNamespace ? space(message.namespace) : nil), ("up", .bool(message.enabled)),
            ("addresses", list(addresses)), ("vrf", filled(message.vrfMasterInterface)),
            ("peer", filled(link.peer)), ("ports", ports(link.ports)), ("parent", filled(link.parent)),
            ("local", filled(link.local)), ("remote", filled(link.remote)), ("id", link.id.map { .uint(UInt64($0)) }),
            ("device", device?.json),
        ])
    }

    /// All of them, as the picture is wrong without one.
    private static func ports(_ names: [String]) -> JSON? { names.isEmpty ? nil : .array(names.map(bounded)) }

    private static func space(_ namespace: Ligato_Linux_Namespace_NetNamespace) -> JSON {
        let type =
            switch namespace.type {
            case .nsid: "name"
            case .pid: "process"
            case .fd: "file"
            case .microservice: "microservice"
            case .pod: "pod"
            case .undefined, .UNRECOGNIZED: "unknown"
            }
        return .array([.string(type), bounded(namespace.reference)])
    }

    /// What kinds of links have in common.
    private struct Link {
        var peer = ""
        var ports: [String] = []
        var parent = ""
        var local = ""
        var remote = ""
        /// VLAN identifier, VNI, key or table.
        var id: UInt32?

        init(_ link: Ligato_Linux_Interfaces_Interface.OneOf_Link?) {
            switch link {
            case .veth(let link): peer = link.peerIfName
            case .vrfDev(let link): id = link.routingTable
            case .bridge(let link): ports = link.ports
            case .bond(let link): ports = link.ports
            case .vlan(let link): (parent, id) = (link.parent, link.id)
            case .macvlan(let link), .macvtap(let link): parent = link.parent
            case .ipvlan(let link): parent = link.parent
            case .vxlan(let link):
                (parent, local, id) = (link.parent, link.local, link.vni)
                remote = link.remote.isEmpty ? link.group : link.remote
            case .geneve(let link): (remote, id) = (link.remote, link.vni)
            case .tunnel(let link):
                (parent, local, remote) = (link.parent, link.local, link.remote)
                id = link.hasKey ? link.key : nil
            case .tap, .tuntap, .wireguard, nil: break
            }
        }
    }

    /// As `ip(8)` calls it.
    private static func word(_ type: Ligato_Linux_Interfaces_Interface.TypeEnum) -> String {
        switch type {
        case .undefined, .UNRECOGNIZED: "unknown"
        case .veth: "veth"
        case .tapToVpp, .tap: "tap"
        case .loopback: "loopback"
        case .existing: "existing"
        case .vrfDevice: "vrf"
        case .dummy: "dummy"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        case .bond: "bond"
        case .macvtap: "macvtap"
        case .geneve: "geneve"
        case .gre: "gre"
        case .gretap: "gretap"
        case .ip6Gre: "ip6gre"
        case .ip6Gretap: "ip6gretap"
        case .ipip: "ipip"
        case .sit: "sit"
        case .ip6Tnl: "ip6tnl"
        case .wireguard: "wireguard"
        }
    }
}
