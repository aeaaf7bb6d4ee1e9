/// What names of this host stand for, such as those of routing tables.
///
/// Files may say `table: blue`; messages carry numbers. Only the host knows which names exist, so the reader of the
/// files supplies this.
public struct NameResolver: Sendable {
    /// A list of names.
    public enum Vocabulary: Sendable, Hashable, CaseIterable {
        /// Routing tables: rt_tables.
        case table
        /// How far away the destination of a route is: rt_scopes.
        case scope
        /// What a route or rule does with packets.
        case routeType
    }

    private let find: @Sendable (String, Vocabulary) -> Int64?
    private let list: @Sendable (Vocabulary) -> [String]
    private let text: @Sendable (Int64, Vocabulary) -> String?

    /// Makes a resolver.
    ///
    /// - Parameters:
    ///   - number: the number of a name, as the field of a message has it; nil when there is no such name.
    ///   - name: the name of such a number; nil when it has none.
    ///   - names: all names, for suggestions.
    public init(
        number: @escaping @Sendable (String, Vocabulary) -> Int64?,
        name: @escaping @Sendable (Int64, Vocabulary) -> String?,
        names: @escaping @Sendable (Vocabulary) -> [String]
    ) {
        (find, text, list) = (number, name, names)
    }

    /// A host without names.
    public static let none = NameResolver(number: { _, _ in nil }, name: { _, _ in nil }, names: { _ in [] })

    /// The number of a name, as the field of a message has it; nil when there is no such name.
    public func number(of name: String, in vocabulary: Vocabulary) -> Int64? { find(name, vocabulary) }

    /// The name of a number; nil when it has none.
    public func name(of number: Int64, in vocabulary: Vocabulary) -> String? { text(number, vocabulary) }

    /// All names.
    public func names(in vocabulary: Vocabulary) -> [String] { list(vocabulary) }
}

extension NameResolver.Vocabulary {
    /// What it names.
    var word: String {
        switch self {
        case .table: "routing table"
        case .scope: "scope"
        case .routeType: "route type"
        }
    }
}
