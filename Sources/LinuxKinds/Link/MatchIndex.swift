internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// The interfaces that are known by what they are, each by one feature, so that a link is compared with few of them.
struct MatchIndex {
    private var byMAC: [MACAddress: SmallSet<String>] = [:]
    private var byAltName: [String: SmallSet<String>] = [:]
    private var byPath: [String: SmallSet<String>] = [:]
    private var byDriver: [String: SmallSet<String>] = [:]
    /// Those of which nothing but a pattern of the bus address is known.
    private var byPattern: [String: SmallSet<String>] = [:]
    /// Those that are to keep their name in a namespace, whatever that is.
    private var byNamespace: [NamespaceReference: SmallSet<String>] = [:]
    private var count = 0

    /// Whether there are none.
    var isEmpty: Bool { count == 0 }

    mutating func insert(_ interface: Interface) {
        guard let match = interface.match else { return }
        count += 1
        change(interface, match) { $0.insert(interface.name) }
    }

    mutating func remove(_ interface: Interface) {
        guard let match = interface.match else { return }
        count -= 1
        change(interface, match) { $0.remove(interface.name) }
    }

    private mutating func change(_ interface: Interface, _ match: LinkMatch, _ body: (inout SmallSet<String>) -> Void) {
        if interface.hostName.isEmpty { Self.change(&byNamespace, interface.namespace, body) }
        if let mac = match.mac {
            Self.change(&byMAC, mac, body)
            // The one that it gets.
            if let own = interface.mac, own != mac { Self.change(&byMAC, own, body) }
        } else if let name = match.altName {
            Self.change(&byAltName, name, body)
        } else if let path = match.path, !Glob.isPattern(path) {
            Self.change(&byPath, path, body)
        } else if let driver = match.driver {
            Self.change(&byDriver, driver, body)
        } else if let path = match.path {
            Self.change(&byPattern, path, body)
        }
    }

    private static func change<Feature: Hashable>(
        _ index: inout [Feature: SmallSet<String>], _ feature: Feature, _ body: (inout SmallSet<String>) -> Void
    ) {
        body(&index[feature, default: SmallSet<String>()])
        if index[feature]?.isEmpty == true { index[feature] = nil }
    }

    /// The interfaces that a link may be, by their logical names. `device` is called only if an
    /// interface matches by driver or path.
    func candidates(for link: Link, device: () -> DeviceInfo?) -> [String] {
        var names: [String] = []
        if let mac = link.permanentMAC { byMAC[mac]?.forEach { names.append($0) } }
        if let mac = link.mac, mac != link.permanentMAC { byMAC[mac]?.forEach { names.append($0) } }
        if !byAltName.isEmpty {
            for name in link.altNames { byAltName[name]?.forEach { names.append($0) } }
        }
        if byPath.isEmpty, byDriver.isEmpty, byPattern.isEmpty { return names }
        guard let device = device() else { return names }
        byPath[device.bus]?.forEach { names.append($0) }
        byDriver[device.driver]?.forEach { names.append($0) }
        for (pattern, some) in byPattern where Glob.matches(device.bus, pattern) { some.forEach { names.append($0) } }
        return names
    }

    /// The interfaces that are to keep their name in a namespace.
    func namesakes(in namespace: NamespaceReference) -> [String] {
        var names: [String] = []
        byNamespace[namespace]?.forEach { names.append($0) }
        return names
    }
}

extension LinuxWorld {
    /// Marks the interfaces for a check that a link of which the kernel told something is, or was before, by what it is.
    func concernMatches(_ link: LinkState, as seen: Link? = nil) {
        guard cause == .told, !declarations.matching.isEmpty else { return }
        let (state, seen) = (link.namespace, seen ?? link.link)
        // One that was moved is known by the record.
        if let loan = link.loan { declarations.addKeys(ofInterface: loan.name, to: &told.keys) }
        for name in declarations.matching.candidates(for: seen, device: { device(of: link) }) {
            guard let interface = declarations.interfaces[name]?.value, let match = interface.match,
                byReference[.own] === state || byReference[interface.namespace] === state,
                isMatch(seen, of: link, match, interface)
            else { continue }
            declarations.addKeys(ofInterface: name, to: &told.keys)
        }
    }

    /// A name has become free, which may be that of an interface that could not be moved here.
    func concernNamesakes(in state: NamespaceState) {
        guard cause == .told, !declarations.matching.isEmpty, byReference[.own] !== state else { return }
        for reference in state.references {
            for name in declarations.matching.namesakes(in: reference)
            where state.lent[ownership.lentPrefix + name] == nil {
                declarations.addKeys(ofInterface: name, to: &told.keys)
            }
        }
    }
}
