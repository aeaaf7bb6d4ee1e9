public import Reconciler

extension LinuxWorld: ExternallyObserved {
    /// What was last said of a value that somebody else keeps.
    public func observation(of key: Key) -> Observation? { observations[key] }
}
