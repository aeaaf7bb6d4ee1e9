/// The number of a node: what marks an object of the world as belonging to a value. It is unique as long as the value is
/// declared, and may be another value's after that.
public typealias Claimant = Int32

/// What a reconciler changes: the kernel, or a model of it in a test.
///
/// A world belongs to one reconciler and one thread of control.
public protocol World: AnyObject {
    /// A change of the world, as data.
    associatedtype Operation: Sendable
    /// What can be returned to with ``operations(toRestore:)``.
    associatedtype Snapshot
    /// Where in the world an object can be, once: an address on a link, a route of a table.
    ///
    /// A place stays the same while an operation that makes its object is simulated, done, or refused half-way: it is
    /// how what was left half made is found.
    associatedtype Place: Hashable, Sendable

    /// Called before all values are claimed and assessed, when nothing is simulated that is not executed: forgets
    /// earlier claims.
    func beginPass()

    /// Called before all values are claimed and assessed once more for the same plan, on top of what is simulated: forgets
    /// earlier claims and nothing else.
    func forgetClaims()

    /// The claimant no longer claims what is at the place: its value was withdrawn, changed, or can't be there any more.
    /// Nothing happens when it is not the claimant's.
    func release(_ place: Place, by claimant: Claimant)

    /// All objects that carry our mark and that no value claims.
    func leftovers(_ turn: Turn) -> [Removal<Self>]

    /// Of the objects at these places, those that carry our mark and that no value claims. Values have left the places, so
    /// nothing may be there any more.
    func leftovers(_ turn: Turn, at places: [Place]) -> [Removal<Self>]

    /// Applies the effect of an operation to what the world is believed to look like, so that the next value is
    /// assessed as if the operation had been done.
    func simulate(_ operation: Operation)

    /// Claimants whose objects went with operations simulated since the last call: an address that went with a
    /// sibling, the addresses of a link that was made anew. The object of the operation itself does not count.
    func takeDisturbed() -> [Claimant]

    /// Keys of values whose comparison may end differently since others were declared or withdrawn: two routes that want
    /// the same place. Each is returned once.
    func takeConcerned() -> Set<Key>

    /// A value was declared in an invalid form, or no longer is. What is in force under its key may stay.
    func note(invalid key: Key, _ isInvalid: Bool)

    /// What of others goes with operations simulated or executed since the last call and does not come back, for people.
    func takeLosses() -> [String]

    /// Does the operations in order, and answers for each one. An operation that can't be done leaves the others.
    func execute(_ operations: [Operation]) -> [OperationResult]

    /// As ``execute(_:)``; `progress` gets the number of operations answered so far, as often as is convenient.
    func execute(_ operations: [Operation], progress: (Int) -> Void) -> [OperationResult]

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

    /// Nothing stays by default.
    public func note(invalid key: Key, _ isInvalid: Bool) {}

    /// None by default.
    public func takeLosses() -> [String] { [] }

    /// None by default.
    public func takeDisturbed() -> [Claimant] { [] }

    /// None by default.
    public func takeConcerned() -> Set<Key> { [] }
}

/// When leftovers go.
public enum Turn: Sendable, Hashable, CaseIterable {
    /// Before anything is made: what is in the way of names, or costly to keep.
    case first
    /// After everything was made, so that traffic finds the new before it loses the old.
    case last
}

/// Something that is to go.
public struct Removal<W: World>: Sendable {
    /// Where it is shown: the key of the value it once was, as far as the mark tells.
    public var key: Key
    /// What it is, for people.
    public var summary: String
    /// What removes it.
    public var operations: [W.Operation]
    /// Where it is; nil: it can't be found again by its place, so it takes a look at everything to try once more.
    public var place: W.Place?
    /// Whether nobody ever declared it: it goes as a part of the removal before it, if there is one.
    public var isInternal = false

    /// Makes a removal.
    public init(key: Key, summary: String, operations: [W.Operation], place: W.Place? = nil) {
        self.key = key
        self.summary = summary
        self.operations = operations
        self.place = place
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
