/// What somebody outside of the world says of a value that it keeps: a connection to a network service, say.
public enum Observation: Hashable, Sendable {
    /// It is as wanted.
    case inPlace
    /// It is not there, for these reasons; whoever keeps it goes on trying.
    case waiting([String])
}

/// A world in which some values are kept by somebody else.
public protocol ExternallyObserved: World {
    /// What was last said of a value; nil when nobody keeps it.
    func observation(of key: Key) -> Observation?
}
