public import Netlink
internal import Reconciler

/// Namespaces that the owner of the world adds to it, and of which only a part is looked at.
extension LinuxWorld {
    /// What reads a part of a namespace; the socket is in that namespace.
    public typealias Reading = (RouteSocket) throws(KernelError) -> NamespaceDump

    /// Adds a namespace that is known by handle, and reads what is to be known of it.
    ///
    /// - Parameters:
    ///   - labels: as which microservices values name it.
    ///   - socket: one in the namespace.
    ///   - reading: reads the part of it that counts, once more after a failure. What is not in it is not there.
    /// - Throws: what `reading` throws.
    public func enter(
        _ handle: NetworkNamespace, as labels: [String], socket: RouteSocket, reading: @escaping Reading
    ) throws(KernelError) {
        for label in labels {
            let state = adopt(handle, as: .microservice(label))
            if state.reading != nil { continue }
            state.socket = socket
            state.reading = reading
        }
        try readStale()
    }

    /// The kernel's index of a declared interface's link; nil: it is not there.
    public func index(of interface: String) -> Int32? {
        link(of: interface).flatMap { $0.link.index > 0 ? $0.link.index : nil }
    }

    /// Has tunnels go through the network of a namespace that was added, wherever their ends are.
    public func startTunnels(in label: String) { tunnelOrigin = .microservice(label) }
}

/// An operation that the kernel refused.
public struct Refusal: Sendable {
    /// The request, if it was one.
    public let request: Request?
    /// As which microservices values name the namespace.
    public let labels: Set<String>
    /// The kernel's answer.
    public let error: KernelError

    init(_ operation: LinuxOperation, _ error: KernelError, _ world: LinuxWorld) {
        self.error = error
        labels = Set(
            (world.states[operation.namespace]?.references ?? []).compactMap { reference in
                if case .microservice(let label) = reference { label } else { nil }
            })
        request =
            switch operation.action {
            case .request(let request): request
            case .createLink(let creation): .createLink(creation.attributes, echo: false)
            case .createTUN, .rename, .moveLink, .deleteLinks, .createNamespace, .markNamespace, .removeNamespace,
                .sysctl, .desirable, .offload, .wireGuard, .load:
                nil
            }
    }
}
