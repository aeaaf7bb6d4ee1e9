/// The text that names a value, such as `config/linux/interfaces/v2/interface/veth1`.
public typealias Key = String

/// One thing that should be so in the world.
///
/// A value compares itself with the world and says what would make it so; it changes nothing itself.
public protocol Value<W>: Sendable, Hashable {
    /// The world this kind of value lives in.
    associatedtype W: World

    /// The word for this kind of value in plans and status, such as `interface`.
    static var kind: String { get }

    /// Among values that could come next, those of the lowest rank come first.
    static var rank: Int { get }

    /// Other values that must be there before this one.
    var dependencies: [Dependency<W>] { get }

    /// Values that live and die with this one, such as the addresses of an interface.
    var derived: [DerivedValue<W>] { get }

    /// Names under which a dependency on "any of" can find this value.
    var groups: [String] { get }

    /// What the value stands for in one line, in the words of the field.
    var summary: String { get }

    /// Conditions outside the configuration that are not met: an interface that is not there, a process that is gone.
    /// Empty: none. The value waits as long as there is one.
    func unmetConditions(in world: W) -> [String]

    /// Whether the world itself meets a dependency on a group that no value meets: an address that somebody else made, say.
    /// Only asked when it matters, and once in a pass.
    func isGiven(_ dependency: Dependency<W>, in world: W) -> Bool

    /// Enters what other values and reports of the world find it by. Called once when the value is declared, of base and
    /// derived values alike, before the next plan.
    func declare(in world: W, key: Key)

    /// Takes that back. Called with the same value and key when it is withdrawn or replaced.
    func withdraw(in world: W, key: Key)

    /// Marks the object of the world that belongs to this value, so that it is not taken for a leftover. Called before
    /// values are compared, once more when the value's operations have been simulated, and when they have been done.
    /// - Returns: its place; nil: nothing that is ours, or that becomes ours, is there, or another value claims it.
    func claim(in world: W, by claimant: Claimant) -> W.Place?

    /// Compares the value with the world. Changes neither the world nor the picture of it.
    func assess(in world: W) -> Assessment<W.Operation>

    /// Whether somebody else keeps it: a connection to a network service, say. Such a value is not assessed; how it stands
    /// is what ``Reconciler/observe(_:_:)`` was last told.
    static var isObserved: Bool { get }

    /// What an observed value waits for as long as nobody keeps it.
    static var unkept: String { get }

    /// Whether it is there without our doing, so that its state is OBTAINED, not CONFIGURED.
    static var isObtained: Bool { get }
}

extension Value {
    /// No others by default.
    public var derived: [DerivedValue<W>] { [] }
    /// None by default.
    public var groups: [String] { [] }
    /// None by default.
    public func unmetConditions(in world: W) -> [String] { [] }
    /// No by default.
    public func isGiven(_ dependency: Dependency<W>, in world: W) -> Bool { false }
    /// Nothing by default.
    public func declare(in world: W, key: Key) {}
    /// Nothing by default.
    public func withdraw(in world: W, key: Key) {}
    /// It has no object by default.
    public func claim(in world: W, by claimant: Claimant) -> W.Place? { nil }
    /// No by default.
    public static var isObserved: Bool { false }
    /// No by default.
    public static var isObtained: Bool { false }
    /// Of use to observed values only.
    public static var unkept: String { "somebody who keeps it" }

    /// Whether `other` is of the same type and equal.
    func isSame(as other: any Value<W>) -> Bool { (other as? Self) == self }
}

/// A value with the key it is known under.
public struct DerivedValue<W: World>: Sendable {
    /// The key of the value.
    public let key: Key
    /// The value.
    public let value: any Value<W>

    /// Pairs a value with its key.
    public init(key: Key, value: any Value<W>) {
        self.key = key
        self.value = value
    }
}

/// Something that must be there before a value can be.
public struct Dependency<W: World>: Sendable {
    /// How a dependency is met.
    public enum Target: Sendable {
        /// By the value with this key.
        case key(Key)
        /// By the value with this key; and if nobody declares such a value, it is met.
        case keyIfDeclared(Key)
        /// By any value of the group that matches; and, with a key, also when nobody declares a value with that key.
        case anyOf(group: String, unlessUndeclared: Key?, matches: @Sendable (any Value<W>) -> Bool)
    }

    /// What is shown when it is not met, such as `gw-reachable`; unique in a value.
    public let label: String
    /// How it is met.
    public let target: Target

    /// Makes a dependency.
    public init(label: String, target: Target) {
        self.label = label
        self.target = target
    }
}

/// How far the world is from a value, and what would close the gap.
public struct Assessment<Operation: Sendable>: Sendable {
    /// The outcome of a comparison.
    public enum Verdict: Sendable {
        /// The world is as the value says.
        case inPlace
        /// The value is not there; the operations make it.
        case create
        /// The value is there and differs; the operations change it in place.
        case update
        /// The value is there and can't be changed in place; the operations remove and make it.
        case recreate
        /// The value can't be reached now, for the reasons given; it waits.
        case waiting([String])
        /// The value can't be made, for the reason given; trying again may help.
        case blocked(String)
        /// The value is not as wanted, for the reason given, and somebody else goes on trying: it is not tried again
        /// before it is compared for another reason.
        case failing(String)
    }

    /// The outcome.
    public var verdict: Verdict
    /// What to do, in order.
    public var operations: [Operation]
    /// What differs, for people.
    public var differences: [Difference]

    /// Makes an assessment.
    public init(_ verdict: Verdict, operations: [Operation] = [], differences: [Difference] = []) {
        self.verdict = verdict
        self.operations = operations
        self.differences = differences
    }

    /// The world is as the value says.
    public static var inPlace: Assessment { Assessment(.inPlace) }
}

/// One attribute that is not as it should be.
public struct Difference: Hashable, Sendable, CustomStringConvertible {
    /// Name of the attribute, such as `mtu`.
    public let attribute: String
    /// What it is.
    public let old: String
    /// What it should be.
    public let new: String

    /// Whether it is a line of a text that goes (only `old`) or comes (only `new`).
    public let isLine: Bool

    /// A line of a text that goes.
    public static func removed(line: String, of attribute: String) -> Difference {
        Difference(attribute, old: line, new: "", isLine: true)
    }

    /// A line of a text that comes.
    public static func added(line: String, to attribute: String) -> Difference {
        Difference(attribute, old: "", new: line, isLine: true)
    }

    /// Makes a difference.
    public init(_ attribute: String, old: String, new: String) {
        self.init(attribute, old: old, new: new, isLine: false)
    }

    private init(_ attribute: String, old: String, new: String, isLine: Bool) {
        self.isLine = isLine
        self.attribute = attribute
        self.old = old
        self.new = new
    }

    /// `mtu 1500 → 1450`; of a line `- tcp dport 22 accept`
    public var description: String {
        if isLine { return new.isEmpty ? "- \(old)" : "+ \(new)" }
        return "\(attribute) \(old) → \(new)"
    }
}
