/// What somebody outside of the world says of a value that it keeps: a connection to a network service, say.
public enum Observation: Hashable, Sendable {
    /// It is as wanted.
    case inPlace
    /// It is not there yet, for these reasons.
    case waiting([String])
    /// It can't be had now, for this reason; whoever keeps it goes on trying.
    case blocked(String)
}

/// A world in which some values are kept by somebody else.
public protocol ExternallyObserved: World {
    /// What was last said of a value; nil when nobody keeps it.
    func observation(of key: Key) -> Observation?
}

extension Assessment {
    /// What was said of a value by whoever keeps it; `unkept` is what a value that nobody keeps waits for.
    public init(_ observation: Observation?, unkept: String) {
        switch observation {
        case .inPlace: self.init(.inPlace)
        case .waiting(let reasons): self.init(.waiting(reasons))
        case .blocked(let reason): self.init(.failing(reason))
        case nil: self.init(.waiting([unkept]))
        }
    }
}
