public import Model
public import Reconciler

/// A connection to a network service, as it is declared.
///
/// It is not made by a plan: the supervisor of connections keeps it, and the value says how it stands.
public struct ClientValue<W: World>: Value {
    /// The word for it in status.
    public static var kind: String { "NSM client" }
    /// After everything that is made in the kernel.
    public static var rank: Int { 1000 }

    let message: Upnp_NetworkServiceClient

    /// Takes a checked message.
    public init(_ message: Upnp_NetworkServiceClient) {
        self.message = message
    }

    /// None: it waits for its manager, not for other values.
    public var dependencies: [Dependency<W>] { [] }

    /// The service and the interface.
    public var summary: String { "\(message.networkService) on \(message.interfaceName)" }

    /// The component that keeps connections reports the state.
    public static var isObserved: Bool { true }

    /// What it waits for while no component does.
    public static var unkept: String { "a running agent: 'nsm-agent run' keeps connections to network services" }

    /// It is not compared with the kernel.
    public func assess(in world: W) -> Assessment<W.Operation> { .inPlace }
}
