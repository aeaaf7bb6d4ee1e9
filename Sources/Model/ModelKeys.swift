internal import NetworkTypes

extension ModelValue {
    /// The key the value is known by, such as `config/linux/interfaces/v2/interface/veth1`.
    public var key: String { model.keyPrefix + name }

    /// The part of the key that tells values of one model apart, such as `veth1` or `10.0.0.0/24/veth1`.
    public var name: String {
        switch self {
        case .interface(let message): Key.clean(message.name)
        case .arp(let message): message.keyName
        case .route(let message): message.keyName
        case .ruleChain(let message): Key.clean(message.name)
        case .allocation(let message): Key.allocation(message.networkName, message.interfaceName)
        case .client(let message): Key.clean(message.name)
        case .endpoint(let message): Key.clean(message.networkService)
        case .namespace(let message): Key.clean(message.name)
        case .rule(let message): Key.clean(message.name)
        case .filterTable(let message): Key.clean(message.name)
        case .forwarding(let message): message.keyName
        case .qdisc(let message): message.keyName
        case .nextHop(let message): Key.clean(message.name)
        case .service(let message): Key.clean(message.name)
        }
    }
}

/// Keys of values that others depend on, made from names instead of messages.
public enum ModelKey {
    /// The key of an interface, by its logical name.
    public static func interface(_ name: String) -> String {
        ModelRegistry.model(.interface).keyPrefix + Key.clean(name)
    }

    /// The key of an allocation.
    public static func allocation(network: String, interface: String) -> String {
        ModelRegistry.model(.allocation).keyPrefix + Key.allocation(network, interface)
    }

    /// The key of a nexthop object.
    public static func nextHop(_ name: String) -> String {
        ModelRegistry.model(.nextHop).keyPrefix + Key.clean(name)
    }

    /// The key of a named namespace.
    public static func namespace(_ name: String) -> String {
        ModelRegistry.model(.namespace).keyPrefix + Key.clean(name)
    }

    /// The key of a table of packet filter rules.
    public static func filterTable(_ name: String) -> String {
        ModelRegistry.model(.filterTable).keyPrefix + Key.clean(name)
    }

    /// What the key of a route has behind that of a route with the same destination and a lower metric.
    static func route(_ key: String, metric: UInt32) -> String { "\(key)/metric/\(metric)" }
}

extension Ligato_Linux_L3_ARPEntry {
    /// `interface/address`, both as written; with the namespace of an interface that is not managed.
    var keyName: String {
        var name = "\(interface)/\(ipAddress)"
        if hasNamespace { name += namespace.keySuffix }
        return Key.clean(name)
    }
}

extension Ligato_Linux_L3_Route {
    /// `network/length/interface`, then what else tells routes apart. The metric is not part of it: see `ModelKey`.
    var keyName: String {
        var name = Key.network(dstNetwork)
        name += "/"
        if !outgoingInterface.isEmpty {
            name += outgoingInterface
        } else if !nextHops.isEmpty {
            name += "ecmp"
        } else if !nexthop.isEmpty {
            name += "nexthop/\(nexthop)"
        } else {
            switch type {
            case .blackhole: name += "blackhole"
            case .unreachable: name += "unreachable"
            case .prohibit: name += "prohibit"
            case .unicast, .UNRECOGNIZED: break
            }
        }
        if table != 0 { name += "/table/\(table)" }
        if hasNamespace { name += namespace.keySuffix }
        return Key.clean(name)
    }
}

extension Ligato_Linux_Namespace_NetNamespace {
    /// `/namespace/type/reference`, the type in lower case.
    var keySuffix: String {
        let word =
            switch type {
            case .undefined: "undefined"
            case .nsid: "nsid"
            case .pid: "pid"
            case .fd: "fd"
            case .microservice: "microservice"
            case .pod: "pod"
            case .UNRECOGNIZED(let number): String(number)
            }
        return "/namespace/\(word)/\(reference)"
    }
}

/// Rules for the text of keys.
enum Key {
    /// `network/NETWORK/interface/INTERFACE`
    static func allocation(_ network: String, _ interface: String) -> String {
        clean("network/\(network)/interface/\(interface)")
    }

    /// A route's destination as it stands in a key: the network without host bits; references as they are.
    static func network(_ destination: String) -> String {
        if destination.isReference { return destination }
        guard let prefix = IPText(destination).prefix else { return "<invalid>/0" }
        return prefix.network.description
    }

    /// Removes empty, `.` and `..` components and slashes at both ends, as clients do when they join a key.
    static func clean(_ name: String) -> String {
        var isClean = true
        var previous = UInt8(ascii: "/")
        for byte in name.utf8 {
            if previous == UInt8(ascii: "/"), byte == UInt8(ascii: "/") || byte == UInt8(ascii: ".") {
                isClean = false
                break
            }
            previous = byte
        }
        if isClean, previous != UInt8(ascii: "/") || name.isEmpty { return name }
        var parts: [Substring] = []
        for part in name.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return parts.joined(separator: "/")
    }
}
