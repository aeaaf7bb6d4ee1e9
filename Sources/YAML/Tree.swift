/// A value to write as YAML or JSON.
public indirect enum Tree: Sendable {
    /// Nothing.
    case null
    /// A truth value.
    case bool(Bool)
    /// A whole number.
    case int(Int64)
    /// A whole number that is not negative.
    case uint(UInt64)
    /// A number with a fraction.
    case double(Double)
    /// Text.
    case string(String)
    /// A list.
    case sequence([Tree])
    /// Keys with values, in the order they are written.
    case mapping([(String, Tree)])

    /// The value of a mapping's key.
    public subscript(key: String) -> Tree? {
        guard case .mapping(let pairs) = self else { return nil }
        return pairs.first { $0.0 == key }?.1
    }
}

extension Tree {
    /// Whether it is one value, and no list or mapping.
    var isScalar: Bool {
        switch self {
        case .null, .bool, .int, .uint, .double, .string: true
        case .sequence, .mapping: false
        }
    }
}

extension Tree: Equatable {
    /// Same shape, order and content.
    public static func == (left: Tree, right: Tree) -> Bool {
        switch left {
        case .null: if case .null = right { true } else { false }
        case .bool(let a): if case .bool(let b) = right { a == b } else { false }
        case .int(let a): if case .int(let b) = right { a == b } else { false }
        case .uint(let a): if case .uint(let b) = right { a == b } else { false }
        case .double(let a): if case .double(let b) = right { a == b } else { false }
        case .string(let a): if case .string(let b) = right { a == b } else { false }
        case .sequence(let a): if case .sequence(let b) = right { a == b } else { false }
        case .mapping(let a):
            if case .mapping(let b) = right { a.count == b.count && zip(a, b).allSatisfy { $0 == $1 } } else { false }
        }
    }
}

extension Tree: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// Text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// A list.
    public init(arrayLiteral elements: Tree...) { self = .sequence(elements) }
    /// Keys with values, in order.
    public init(dictionaryLiteral elements: (String, Tree)...) { self = .mapping(elements) }
}
