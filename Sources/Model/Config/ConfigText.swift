internal import YAML

/// What one text of a configuration says: its values, each checked by itself, and what is wrong with them.
///
/// How values of one text and of others fit together is for ``ConfigSet``.
public struct ConfigText: Sendable {
    /// A value as it was written.
    struct Item: Sendable {
        /// Its key, without regard to others that may have it as well.
        var key: String
        var value: ModelValue
        /// nil when it has a mistake, or can't be here.
        var specification: Specification?
        var position: SourcePosition
        /// Where its fields can be looked up.
        var place: Place
        /// Equal, within this process, for items in the same words, of which then all is the same but their place. nil: more than
        /// their words says what they mean, or there is something to be said of them.
        var fingerprint: Int?

        /// Whether it says the same in the same place, wherever its fields can be looked up. What a value means follows from it.
        func isSame(as other: Item) -> Bool {
            key == other.key && position == other.position && (specification == nil) == (other.specification == nil)
                && value == other.value && specification?.places == other.specification?.places
        }

        /// Whether it is the same in the same place to all that is checked of other values, or of itself beside them.
        func isSameToOthers(as other: Item) -> Bool {
            guard key == other.key, position == other.position, case .interface(let former)? = specification,
                case .interface(let new)? = other.specification
            else { return false }
            return former.isSameToOthers(as: new)
        }
    }

    /// A node of one of the text's trees.
    struct Place: Sendable {
        var source: Int32
        var node: Int32
    }

    /// An item of a model that is not known here.
    struct UnknownItem: Sendable {
        var microservice: String
        var key: String
        var content: Tree
        var position: SourcePosition
    }

    /// The most bytes that a text may have.
    public static let maximumByteCount = YAMLTree.maximumByteCount

    /// Stands for the text in positions.
    public let name: String
    /// Whether there is a text. Else all that is known of it is why it can't be read.
    public internal(set) var isRead = true
    /// Whether a name of this host stands in it for a number, so that it means something else when the names change.
    public internal(set) var usesNames = false

    /// Whether it says what is wanted, if only that it is nothing. Comments and objects for other programs do not.
    public internal(set) var saysSomething = false

    var items: [Item] = []
    /// For whom each item is, when those of all microservices are taken.
    var microservices: [String] = []
    /// Items of unknown models, when those are taken.
    var unknownItems: [UnknownItem] = []
    var mistakes = Findings()
    var warnings = Findings()
    var invalidValues: [LoadedConfig.InvalidValue] = []
    /// Interfaces that are declared, but so wrongly that nothing more is known of them.
    var brokenInterfaces: [String] = []
    /// Whether parts of it could not be read: what seems to be missing may be there.
    var isIncomplete = false
    /// How many of its items are those of the text before, for tests.
    package internal(set) var reused = 0
    /// Its trees; empty once they were given up.
    var sources: [Source] = []

    init(name: String) { self.name = name }

    /// Reads a text.
    ///
    /// - Parameters:
    ///   - bytes: UTF-8.
    ///   - name: stands for the text in positions.
    ///   - label: the microservice this agent is; resources take items for others.
    ///   - names: what names of this host stand for.
    ///   - former: the text in whose place it comes. What is in the same words in both is not looked at again.
    public init(
        _ bytes: UnsafeRawBufferPointer, name: String, label: String, names: NameResolver, former: ConfigText? = nil
    ) {
        self.init(bytes, name: name, ResourceReading(label: label), names, former: former)
    }

    /// Reads an object as an API server of Kubernetes hands it out. Mistakes are at fields, such as
    /// `NAME: spec.linuxConfig.interfaces[0].mtu`, and in texts at their lines: `NAME: spec.configItems[2].data:3:5`.
    ///
    /// - Parameters:
    ///   - bytes: JSON, UTF-8.
    ///   - name: stands for the object in positions.
    ///   - label: the microservice this agent is; items for others are not taken.
    ///   - names: what names of this host stand for.
    public init(object bytes: UnsafeRawBufferPointer, name: String, label: String, names: NameResolver) {
        self.init(bytes, name: name, ResourceReading(label: label, isObject: true), names)
    }

    init(
        _ bytes: UnsafeRawBufferPointer, name: String, _ resources: ResourceReading, _ names: NameResolver,
        former: ConfigText? = nil
    ) {
        var reader = ConfigReader(name: name, resources: resources, names: names, former: former)
        reader.read(bytes)
        self = reader.finish()
    }

    /// A text that can't be read, and why.
    public static func unreadable(name: String, _ problem: String) -> ConfigText {
        var text = ConfigText(name: name)
        text.isRead = false
        text.isIncomplete = true
        text.mistakes.add(Mistake(file: name, line: 0, column: 0, text: problem))
        return text
    }

    /// What is to be said of a place where no text is.
    public static func absent(name: String, warning: String) -> ConfigText {
        var text = ConfigText(name: name)
        text.isRead = false
        text.warnings.add(Mistake(file: name, line: 0, column: 0, text: warning))
        return text
    }

    /// Whether all of it could be read.
    public var isComplete: Bool { !isIncomplete }

    /// Gives up what only serves to find the places of fields, which takes more room than the values themselves.
    mutating func forgetPlaces() { sources = [] }

    /// Where a field of a value is; the value itself once the places are given up.
    func position(of path: [PathPart], in item: Int) -> SourcePosition {
        let item = items[item]
        guard Int(item.place.source) < sources.count else { return item.position }
        return sources[Int(item.place.source)].position(of: path, in: item.value.kind, Int(item.place.node))
    }
}
