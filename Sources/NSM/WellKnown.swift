public import NetworkTypes

/// Names that travel in mechanisms and metadata.
package enum WellKnown {
    /// The class of mechanisms on one node.
    package static let local = "LOCAL"
    /// The class of mechanisms between nodes.
    package static let remote = "REMOTE"
    /// The mechanism of kernel interfaces.
    package static let kernel = "KERNEL"
    /// The mechanism of VXLAN tunnels.
    package static let vxlan = "VXLAN"
    /// The parameter with the network namespace of an interface.
    package static let inodeURL = "inodeURL"
    /// The parameter with the name of an interface.
    package static let interfaceName = "name"
    /// The payload of frames.
    package static let ethernet = "ETHERNET"
    /// The payload of packets.
    package static let ip = "IP"
    /// The metadata with the caller's token.
    package static let token = "nsm-client-token"
    /// The metadata with the end of the caller's token, RFC 3339.
    package static let tokenExpires = "nsm-client-token-expires"
    /// The metadata with the path of a registration.
    package static let registryPath = "path"
    /// The metadata of a search that names a service: its endpoints, all of them, for one who offers it, too. The
    /// answer has it as well, if they are told.
    package static let offering = "nsm-agent-offering"
    /// The metadata of a call to an IPAM: the service whose endpoint asks for a prefix. IPAMs of other kinds pass over it.
    package static let prefixService = "nsm-agent-prefix-service"
    /// In the extra context of a connection: the endpoint of the same network (vL3) whose end the client's is.
    package static let networkOrigin = "nsm-agent/vl3-endpoint"
}

extension NSMMechanism {
    /// A kernel interface in the namespace with this inode URL.
    package static func kernel(name: String = "", inodeURL: String = "") -> NSMMechanism {
        var mechanism = NSMMechanism()
        mechanism.cls = WellKnown.local
        mechanism.type = WellKnown.kernel
        if !name.isEmpty { mechanism.parameters[WellKnown.interfaceName] = name }
        if !inodeURL.isEmpty { mechanism.parameters[WellKnown.inodeURL] = inodeURL }
        return mechanism
    }

    /// The name of the interface; empty when it is left open.
    public var interfaceName: String { parameters[WellKnown.interfaceName] ?? "" }
    /// The inode URL of the namespace; empty when there is none.
    package var inodeURL: String { parameters[WellKnown.inodeURL] ?? "" }
}

/// Names of interfaces that nobody chose: the service's first letters, a dash and random ones, 15 bytes together.
package func generatedInterfaceName(for service: String) -> String {
    let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
    let start = service.utf8.prefix(10).map { byte in
        let character = Character(UnicodeScalar(byte))
        return character.isASCII && (character.isLetter || character.isNumber || "-_.".contains(character))
            ? character : "_"
    }
    var name = String(start) + "-"
    while name.utf8.count < InterfaceName.maximumLength { name.append(letters.randomElement() ?? "x") }
    return name
}

extension NSMIPContext {
    /// The client's addresses that can be read.
    public var sourcePrefixes: [IPPrefix] { srcIpAddrs.compactMap { NSMIPContext.prefix($0) } }
    /// The endpoint's addresses that can be read.
    public var destinationPrefixes: [IPPrefix] { dstIpAddrs.compactMap { NSMIPContext.prefix($0) } }

    /// The client's addresses that get a route in the endpoint's namespace: those that the endpoint gave, has a route
    /// to, or has in a network of its own. Any other is only the client's claim, and would take the packets of the
    /// address's owner.
    ///
    /// - Parameter granted: Addresses, as they are written, that the endpoint gave.
    package func sources(granted: Set<String>) -> [IPPrefix] {
        let routes = Set(dstRoutes.compactMap { NSMIPContext.prefix($0.prefix)?.network })
        let own = destinationPrefixes
        let addresses = Set(own.map(\.address))
        return srcIpAddrs.compactMap { text in
            guard let source = NSMIPContext.prefix(text), !addresses.contains(source.address) else { return nil }
            let isLedTo =
                granted.contains(text) || routes.contains(IPPrefix(host: source.address))
                || own.contains { !$0.isHost && $0.contains(source.address) }
            return isLedTo ? source : nil
        }
    }

    /// A prefix, or an address as a host prefix.
    public static func prefix(_ text: String) -> IPPrefix? {
        if let prefix = IPPrefix(text) { return prefix }
        return IPAddress(text).map { IPPrefix(host: $0) }
    }
}
