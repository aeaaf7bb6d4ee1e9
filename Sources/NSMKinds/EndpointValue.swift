public import Model
public import Reconciler

/// A network service that is offered, as it is declared.
public struct EndpointValue<W: World>: Value {
    /// The word for it in status.
    public static var kind: String { "NSM endpoint" }
    /// After everything that is made in the kernel.
    public static var rank: Int { 1000 }

    let message: Upnp_NetworkServiceEndpoint

    /// Takes a checked message.
    public init(_ message: Upnp_NetworkServiceEndpoint) {
        self.message = message
    }

    /// None: it waits for its manager, not for other values.
    public var dependencies: [Dependency<W>] { [] }

    /// The service and the interfaces.
    public var summary: String { "\(message.networkService) on \(message.interfaceNamePrefix)*" }

    /// The component that keeps connections reports the state.
    public static var isObserved: Bool { true }

    /// What it waits for while no component does.
    public static var unkept: String { "a running agent: 'nsm-agent run' offers network services" }

    /// It is not compared with the kernel.
    public func assess(in world: W) -> Assessment<W.Operation> { .inPlace }
}
