public import Model
public import Reconciler

/// A network service that is offered, as it is declared.
public struct EndpointValue<W: ExternallyObserved>: Value {
    /// The word for it in status.
    public static var kind: String { "NSM endpoint" }
    /// After everything that is made in the kernel.
    public static var rank: Int { 1000 }

    let key: Key
    let message: Upnp_NetworkServiceEndpoint

    /// Takes a checked message.
    public init(key: Key, _ message: Upnp_NetworkServiceEndpoint) {
        self.key = key
        self.message = message
    }

    /// None: it waits for its manager, not for other values.
    public var dependencies: [Dependency<W>] { [] }

    /// The service and the interfaces.
    public var summary: String { "\(message.networkService) on \(message.interfaceNamePrefix)*" }

    /// What was last said of it.
    public func assess(in world: W) -> Assessment<W.Operation> {
        Assessment(
            world.observation(of: key), unkept: "a running agent: 'nsm-agent run' offers network services")
    }
}
