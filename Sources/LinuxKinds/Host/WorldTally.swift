/// Requests to the kernel, and its reports, since the start.
public struct WorldTally: Sendable, Hashable {
    /// Lists of operations that were handed to the kernel.
    public var batches: UInt64 = 0
    /// Operations in them.
    public var operations: UInt64 = 0
    /// How long they took together.
    public var nanoseconds: Int64 = 0
    /// Events that the kernel reported.
    public var events: UInt64 = 0
    /// How often it could not tell of all of them, so that everything was read anew.
    public var overruns: UInt64 = 0
}
