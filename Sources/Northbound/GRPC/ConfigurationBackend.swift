public import Concurrency
public import Model
public import Reconciler

/// What a client wants to be changed.
public struct ConfigurationRequest: Sendable {
    /// The data source, such as `grpc`.
    public var source: String
    /// Who asks, for people.
    public var origin: String
    /// Values that are declared from now on.
    public var values: [ModelValue]
    /// Keys that are not declared any more.
    public var removed: [Key]
    /// Whether these values are all that the source declares.
    public var replacesAll: Bool
    /// The entries that hold the values; nil: the source keeps none.
    public var entries: StoredEntries?

    /// Makes a request.
    public init(
        source: String, origin: String = "", values: [ModelValue] = [], removed: [Key] = [], replacesAll: Bool = false,
        entries: StoredEntries? = nil
    ) {
        self.entries = entries
        self.source = source
        self.origin = origin
        self.values = values
        self.removed = removed
        self.replacesAll = replacesAll
    }

    /// Keys that are named.
    var keys: [Key] { values.map(\.key) + removed }
}

/// A store whose keys begin with something, and go on as those of the values do.
public struct EntryStore: Sendable, Hashable {
    /// Which one, for people.
    public var name: String
    /// What the keys begin with.
    public var prefix: String

    /// Names one.
    public init(name: String, prefix: String) {
        self.name = name
        self.prefix = prefix
    }
}

/// Where the values of a request are stored.
public struct StoredEntries: Sendable, Hashable {
    /// The store of all of them.
    public var store: EntryStore
    /// The revision in which each was written, in their order.
    public var revisions: [Int64]

    /// Makes a list.
    public init(store: EntryStore, revisions: [Int64]) {
        self.store = store
        self.revisions = revisions
    }
}

/// What came of it.
public struct ConfigurationAnswer: Sendable {
    /// Number of the transaction; of the last one when nothing was to be done.
    public var sequence: UInt64
    /// Where the values stand that were named, in their order.
    public var states: [NamedState]
    /// What failed of them, or of what is derived from them.
    public var failures: [Failure]

    /// Where a value stands.
    public struct NamedState: Sendable {
        /// Its key.
        public var key: Key
        /// Nil: it is not there, and nobody wants it.
        public var status: ValueStatus?

        /// Makes one.
        public init(key: Key, status: ValueStatus?) {
            self.key = key
            self.status = status
        }
    }

    /// Something that failed.
    public struct Failure: Sendable {
        /// Key of the value, or of what is derived from it.
        public var key: Key
        /// What was tried.
        public var verb: String
        /// Why it failed.
        public var text: String

        /// Makes one.
        public init(key: Key, verb: String, text: String) {
            self.key = key
            self.verb = verb
            self.text = text
        }
    }

    /// Makes an answer.
    public init(sequence: UInt64, states: [NamedState], failures: [Failure]) {
        self.sequence = sequence
        self.states = states
        self.failures = failures
    }
}

/// Nothing can be changed now, in words for the client.
public struct ConfigurationRefusal: Error, Sendable, CustomStringConvertible {
    /// Why, and what to do.
    public let description: String

    /// Whether it is declared all the same, and made as soon as it can be.
    public let isDeclared: Bool

    /// Makes a refusal.
    public init(_ description: String, isDeclared: Bool = false) {
        self.description = description
        self.isDeclared = isDeclared
    }
}

/// A declared value and where it stands.
public struct DeclaredValue: Sendable {
    /// Its key.
    public var key: Key
    /// The value.
    public var value: ModelValue
    /// Where it stands; nil: nothing was done with it yet.
    public var status: ValueStatus?

    /// Makes one.
    public init(key: Key, value: ModelValue, status: ValueStatus?) {
        self.key = key
        self.value = value
        self.status = status
    }
}

/// An interface as the kernel has it.
public struct InterfaceFacts: Sendable, Hashable {
    /// The logical name.
    public var name: String
    /// What it was declared as.
    public var type: Ligato_Linux_Interfaces_Interface.TypeEnum
    /// The name in the kernel.
    public var hostName: String
    /// Its index in its namespace.
    public var index: Int32
    /// Whether it is set up.
    public var isUp: Bool
    /// Whether it carries packets.
    public var isRunning: Bool
    /// Its hardware address; empty: it has none.
    public var hardwareAddress: String
    /// The longest packet.
    public var mtu: UInt32
    /// Whether it is there.
    public var exists = true

    /// Makes one.
    public init(
        name: String, type: Ligato_Linux_Interfaces_Interface.TypeEnum, hostName: String, index: Int32, isUp: Bool,
        isRunning: Bool, hardwareAddress: String, mtu: UInt32
    ) {
        self.name = name
        self.type = type
        self.hostName = hostName
        self.index = index
        self.isUp = isUp
        self.isRunning = isRunning
        self.hardwareAddress = hardwareAddress
        self.mtu = mtu
    }
}

/// An interface has changed.
public struct InterfaceEvent: Sendable {
    /// Its number, from 0.
    public var number: UInt64
    /// When it was seen.
    public var time: Timestamp
    /// How it is now.
    public var facts: InterfaceFacts

    /// Makes one.
    public init(number: UInt64, time: Timestamp, facts: InterfaceFacts) {
        self.number = number
        self.time = time
        self.facts = facts
    }
}

/// Holds the configuration that clients see and change.
public protocol ConfigurationBackend: Sendable {
    /// Changes what a source declares, and returns when the kernel has it.
    ///
    /// - Throws: ``ConfigurationRefusal``.
    func change(_ request: ConfigurationRequest) async throws -> ConfigurationAnswer
    /// Returns when none of the values waits for something, or when the task is cancelled.
    func waitUntilDone(_ keys: [Key]) async
    /// All declared values, sorted by key.
    func declaredValues() async -> [DeclaredValue]
    /// Where values stand, each with all that is derived from it; nil: it is not there, and nobody wants it.
    func wholeStatuses(_ keys: [Key]) async -> [ValueStatus?]
    /// What the kernel has of ours.
    ///
    /// - Throws: when it can't be read.
    func valuesInPlace() async throws -> [ModelValue]
    /// Values that come into another state, as they do; an empty list when others went. The stream ends when nobody reads it
    /// fast enough, and at once when there are too many who read it.
    ///
    /// - Parameter isOwn: Whether it is the agent itself who follows, and not a client: there is always room for it.
    func stateChanges(isOwn: Bool) -> AsyncStream<[DeclaredValue]>
    /// Interfaces that change, beginning with those that are remembered from a number on.
    func interfaceEvents(from number: UInt64) -> AsyncStream<InterfaceEvent>
    /// What is to be said of a source in the status; nil: nothing any more.
    func note(_ source: String, _ warning: String?) async
    /// Yields when an operator accepts what the sources hold, even if they lost data. For one follower.
    func acceptances() -> AsyncStream<Void>
}

extension ConfigurationBackend {
    /// Where values stand by themselves.
    public func wholeStatuses(_ keys: [Key]) async -> [ValueStatus?] {
        let values = Dictionary(await declaredValues().map { ($0.key, $0.status) }) { _, last in last }
        return keys.map { values[$0] ?? nil }
    }
    /// Says nothing.
    public func note(_ source: String, _ warning: String?) async {}
    /// Nobody ever does.
    public func acceptances() -> AsyncStream<Void> { AsyncStream { $0.finish() } }
}
