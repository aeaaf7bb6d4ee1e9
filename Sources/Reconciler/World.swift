/// What a reconciler changes: the kernel, or a model of it in a test.
///
/// A world belongs to one reconciler and one thread of control.
public protocol World: AnyObject {
    /// A change of the world, as data.
    associatedtype Operation: Sendable
    /// What can be returned to with ``restore(_:)``.
    associatedtype Snapshot

    /// Called before values are claimed and assessed as a whole, when nothing is simulated that is not executed: forgets
    /// earlier claims.
    func beginPass()

    /// Called before all values are claimed and assessed once more for the same plan, on top of what is simulated: forgets
    /// earlier claims and nothing else. A world that ignores it gets rid of some leftovers only in the next plan.
    func forgetClaims()

    /// Objects that carry our mark and that no value claims, and that must go before anything is made: in the way of
    /// names, or costly to keep.
    func leftoversToRemoveFirst() -> [Removal<Operation>]

    /// Objects that carry our mark and that no value claims, and that can go after everything was made, so that
    /// traffic finds the new before it loses the old.
    func leftoversToRemoveLast() -> [Removal<Operation>]

    /// Applies the effect of an operation to what the world is believed to look like, so that the next value is
    /// assessed as if the operation had been done.
    func simulate(_ operation: Operation)

    /// Does the operations in order, and answers for each one. An operation that can't be done leaves the others.
    func execute(_ operations: [Operation]) -> [OperationResult]

    /// As ``execute(_:)``; `progress` is told how many operations have been answered, as often as is convenient.
    func execute(_ operations: [Operation], progress: (Int) -> Void) -> [OperationResult]

    /// Whether an operation simulated since the last call undid something that an earlier value of the order may have
    /// found in place: the removal of an address that took a sibling along. All values are then gone over once more.
    ///
    /// What comes later in the order (dependants, higher ranks) is compared after the operation anyway and needs no
    /// mention here.
    func takeDisturbance() -> Bool

    /// Reads the world again where operations failed, or were simulated and never executed, so that what it is
    /// believed to look like is true.
    func refreshAfterFailure()

    /// What the world looks like now.
    func snapshot() -> Snapshot

    /// The operations that lead back to a snapshot; they are executed as they come.
    func operations(toRestore snapshot: Snapshot) -> [Operation]

    /// Text for one operation, such as `RTM_NEWADDR 10.0.0.1/24 dev eth0`.
    func describe(_ operation: Operation) -> String
}

extension World {
    /// Tells the progress once, at the end.
    public func execute(_ operations: [Operation], progress: (Int) -> Void) -> [OperationResult] {
        let results = execute(operations)
        progress(operations.count)
        return results
    }

    /// Nothing by default.
    public func forgetClaims() {}

    /// None by default.
    public func takeDisturbance() -> Bool { false }
}

/// Something that is to go.
public struct Removal<Operation: Sendable>: Sendable {
    /// Where it is shown: the key of the value it once was, as far as the mark tells.
    public var key: Key
    /// What it is, for people.
    public var summary: String
    /// What removes it.
    public var operations: [Operation]

    /// Makes a removal.
    public init(key: Key, summary: String, operations: [Operation]) {
        self.key = key
        self.summary = summary
        self.operations = operations
    }
}

/// How an operation ended.
public enum OperationResult: Sendable {
    /// It was done.
    case done
    /// It was refused, with the text to show; `retriable` says whether trying again may help.
    case failed(String, retriable: Bool)
    /// It was not tried, as something it builds on failed.
    case skipped
}
