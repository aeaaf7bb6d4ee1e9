internal import Glibc
internal import Netlink
internal import NetworkTypes

/// A change of the kernel, as data. Links that don't exist yet are named by negative indexes until they do.
public struct LinuxOperation: Sendable {
    enum Action: Sendable {
        /// A request on the socket of the namespace.
        case request(Request)
        /// A new link, made by a request in the namespace.
        case createLink(LinkCreation)
        /// A new TUN/TAP device.
        case createTUN(name: String, TUNAttributes, alias: String, index: Int32)
        /// Changes the name of a link that is up: down, new name, up.
        case rename(index: Int32, from: String, to: String, up: Bool)
        /// A link goes to another namespace, with another name and alias in the same request.
        indirect case moveLink(LinkMove)
        /// Several links at once: they get a group of their own, which is then deleted; with `wholeGroup` they are
        /// all there is of our group.
        case deleteLinks([Int32], wholeGroup: Bool = false)
        /// A named namespace that is marked before it can be seen; `isImplied` as in `markNamespace`, nil: it gets no mark.
        case createNamespace(String, isImplied: Bool?)
        /// Marks a named namespace as declared, or as made because values are in it.
        case markNamespace(String, isImplied: Bool = false)
        /// The removal of a named namespace.
        case removeNamespace(String)
        /// Writes a file below /proc/sys/net.
        case sysctl(path: String, value: String)
        /// Writes files below /proc/sys, as far as that is possible, once a link is there.
        case desirable([KernelSetting], link: Int32)
        /// Checksum offloads of a link.
        case offload(index: Int32, receive: Bool?, transmit: Bool?)
        /// What a WireGuard link has beside what all links have.
        indirect case wireGuard(index: Int32, WireGuardChange)
        /// A program loads a text.
        indirect case load(TextLoad)
    }

    /// Number of the namespace it happens in.
    let namespace: Int
    let action: Action

    init(_ state: NamespaceState, _ action: Action) { self.init(namespace: state.id, action) }

    init(namespace: Int, _ action: Action) {
        self.namespace = namespace
        self.action = action
    }

    /// A request on the socket of the namespace.
    init(_ state: NamespaceState, request: Request) { self.init(namespace: state.id, .request(request)) }

    /// Whether nothing, not even the end of this process, comes between it and the operation after it.
    var staysWithNext: Bool {
        if case .request(let request) = action { request.staysWithNext } else { false }
    }
}

/// How a new link, and the other end of a pair, come to be.
struct LinkCreation: Sendable {
    /// Where an end is to be, and the negative index it has until the kernel gives it one.
    struct End: Sendable {
        /// Number of the namespace.
        var target: Int
        var index: Int32
    }

    var attributes: LinkAttributes
    /// Where the link is to be.
    var near: End
    /// Where the other end of a pair is to be.
    var peer: End?

    var target: Int { near.target }
    var index: Int32 { near.index }
}

extension LinuxOperation.Action {
    /// Whether it can wait in a batch with other requests of its namespace.
    var isRequest: Bool {
        switch self {
        case .request, .createLink: true
        case .createTUN, .rename, .moveLink, .deleteLinks, .createNamespace, .markNamespace, .removeNamespace, .sysctl,
            .desirable, .offload, .wireGuard, .load:
            false
        }
    }
}

extension KernelError {
    /// Whether the object of the request is not there: `ESRCH` for routes, `ENOENT` for rules and neighbours,
    /// `EADDRNOTAVAIL` for addresses, `ENODEV` for what was on a link.
    var meansGone: Bool { [ESRCH, ENOENT, EADDRNOTAVAIL, ENODEV].contains(code) }
}

extension KernelError {
    /// Whether no descriptor is left: in this process, or on this machine.
    var meansShortage: Bool { code == EMFILE || code == ENFILE }
}

extension Request {
    /// Whether it only takes something away.
    var isRemoval: Bool {
        switch self {
        case .deleteLink, .deleteLinkGroup, .deleteAddress, .deleteRoute, .deleteNeighbour, .deleteRule,
            .deleteForwarding, .deleteVLANs, .deleteAltNames, .deleteQdisc, .deleteFilter, .deleteNextHop:
            true
        case .createLink, .setLink, .addAltNames, .addAddress, .addRoute, .appendRoute, .addNeighbour, .addRule,
            .addForwarding, .addVLANs, .addQdisc, .changeQdisc, .addFilter, .addNextHop, .restore:
            false
        }
    }

    /// Whether it makes a route.
    var addsRoute: Bool {
        switch self {
        case .addRoute, .appendRoute: true
        case .createLink, .setLink, .addAltNames, .deleteAltNames, .deleteLink, .deleteLinkGroup, .addAddress,
            .deleteAddress, .deleteRoute, .addNeighbour, .deleteNeighbour, .addRule, .deleteRule, .addForwarding,
            .deleteForwarding, .addVLANs, .deleteVLANs, .addQdisc, .changeQdisc, .deleteQdisc, .addFilter,
            .deleteFilter,
            .addNextHop,
            .deleteNextHop, .restore:
            false
        }
    }

    /// The request with every negative link index replaced by the one the kernel gave; nil when a link was never made.
    func resolved(_ index: (Int32) -> Int32?) -> Request? {
        func link(_ number: Int32) -> Int32? { number >= 0 ? number : index(number) }
        switch self {
        case .createLink(var attributes, let echo):
            guard attributes.resolve(link) else { return nil }
            return .createLink(attributes, echo: echo)
        case .setLink(var attributes):
            guard attributes.resolve(link) else { return nil }
            return .setLink(attributes)
        case .addAltNames(let names, let number):
            return link(number).map { .addAltNames(names, linkIndex: $0) }
        case .deleteAltNames(let names, let number):
            return link(number).map { .deleteAltNames(names, linkIndex: $0) }
        case .deleteLink(let number):
            return link(number).map { .deleteLink(index: $0) }
        case .addAddress(var address, let replace):
            guard let number = link(address.linkIndex) else { return nil }
            address.linkIndex = number
            return .addAddress(address, replace: replace)
        case .deleteAddress(var address):
            guard let number = link(address.linkIndex) else { return nil }
            address.linkIndex = number
            return .deleteAddress(address)
        case .addRoute(var route, let replace):
            return route.resolve(link) ? .addRoute(route, replace: replace) : nil
        case .appendRoute(var route):
            return route.resolve(link) ? .appendRoute(route) : nil
        case .deleteRoute(var route):
            return route.resolve(link) ? .deleteRoute(route) : nil
        case .addNeighbour(var neighbour, let replace):
            guard let number = link(neighbour.linkIndex) else { return nil }
            neighbour.linkIndex = number
            return .addNeighbour(neighbour, replace: replace)
        case .deleteNeighbour(var neighbour):
            guard let number = link(neighbour.linkIndex) else { return nil }
            neighbour.linkIndex = number
            return .deleteNeighbour(neighbour)
        case .addForwarding(var entry):
            guard let number = link(entry.linkIndex) else { return nil }
            entry.linkIndex = number
            return .addForwarding(entry)
        case .deleteForwarding(var entry):
            guard let number = link(entry.linkIndex) else { return nil }
            entry.linkIndex = number
            return .deleteForwarding(entry)
        case .addVLANs(let vlans, let index, let isPort):
            return link(index).map { .addVLANs(vlans, linkIndex: $0, isPort: isPort) }
        case .deleteVLANs(let vlans, let index, let isPort):
            return link(index).map { .deleteVLANs(vlans, linkIndex: $0, isPort: isPort) }
        case .addQdisc(var qdisc):
            guard let number = link(qdisc.linkIndex) else { return nil }
            qdisc.linkIndex = number
            return .addQdisc(qdisc)
        case .changeQdisc(var qdisc):
            guard let number = link(qdisc.linkIndex) else { return nil }
            qdisc.linkIndex = number
            return .changeQdisc(qdisc)
        case .addFilter(var filter):
            guard let number = link(filter.linkIndex) else { return nil }
            filter.linkIndex = number
            return .addFilter(filter)
        case .deleteFilter(var filter):
            guard let number = link(filter.linkIndex) else { return nil }
            filter.linkIndex = number
            return .deleteFilter(filter)
        case .deleteQdisc(var qdisc):
            guard let number = link(qdisc.linkIndex) else { return nil }
            qdisc.linkIndex = number
            return .deleteQdisc(qdisc)
        case .addNextHop(var hop, let replace):
            guard let number = link(hop.linkIndex) else { return nil }
            hop.linkIndex = number
            return .addNextHop(hop, replace: replace)
        case .addRule, .deleteRule, .deleteLinkGroup, .deleteNextHop:
            return self
        case .restore(let object): return object.relocated(by: link).map { .restore($0) }
        }
    }
}

extension LinkAttributes {
    mutating func resolve(_ link: (Int32) -> Int32?) -> Bool {
        guard let number = link(index) else { return false }
        index = number
        if let master {
            guard let number = link(master) else { return false }
            self.master = number
        }
        if let below = self.link {
            guard let number = link(below) else { return false }
            self.link = number
        }
        return kind?.resolve(link) ?? true
    }
}

extension Route {
    mutating func resolve(_ link: (Int32) -> Int32?) -> Bool {
        for index in nextHops.indices where nextHops[index].linkIndex < 0 {
            guard let number = link(nextHops[index].linkIndex) else { return false }
            nextHops[index].linkIndex = number
        }
        return true
    }
}

extension LinuxOperation {
    /// Whether it removes an address, route, neighbour or rule that another protocol number marks: one of somebody else.
    public func removesObject(besides proto: UInt8) -> Bool {
        guard case .request(let request) = action else { return false }
        return request.removedProtocol.map { $0 != proto } ?? false
    }
}

extension Request {
    /// The protocol number of the object that it removes; nil: it removes none that has one.
    fileprivate var removedProtocol: UInt8? {
        switch self {
        case .deleteAddress(let address): address.proto
        case .deleteRoute(let route): route.proto
        case .deleteNeighbour(let neighbour): neighbour.proto
        case .deleteRule(let rule): rule.proto
        case .deleteNextHop(let hop): hop.proto
        case .createLink, .setLink, .addAltNames, .deleteAltNames, .deleteLink, .deleteLinkGroup, .addAddress,
            .addRoute, .appendRoute, .addNeighbour, .addRule, .addForwarding, .deleteForwarding, .addVLANs,
            .deleteVLANs, .addQdisc, .changeQdisc, .deleteQdisc, .addFilter, .deleteFilter,
            .addNextHop, .restore:
            nil
        }
    }
}
