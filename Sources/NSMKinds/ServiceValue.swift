public import Model
public import Reconciler

/// A network service with its matches, as it is declared.
public struct ServiceValue<W: World>: Value {
    /// The word for it in status.
    public static var kind: String { "NSM service" }
    /// After everything that is made in the kernel.
    public static var rank: Int { 1000 }

    let message: Nsmagent_Nsm_NetworkService

    /// Takes a checked message.
    public init(_ message: Nsmagent_Nsm_NetworkService) {
        self.message = message
    }

    /// None: it waits for its manager, not for other values.
    public var dependencies: [Dependency<W>] { [] }

    /// The service, and how many matches it has.
    public var summary: String {
        let count = message.matches.count
        return count == 0 ? message.name : "\(message.name) with \(count) \(count == 1 ? "match" : "matches")"
    }

    /// The agent that registers it says how it stands.
    public static var isObserved: Bool { true }

    /// What it waits for as long as none runs.
    public static var unkept: String { "a running agent: 'nsm-agent run' registers network services" }

    /// It is not compared with the kernel.
    public func assess(in world: W) -> Assessment<W.Operation> { .inPlace }
}
