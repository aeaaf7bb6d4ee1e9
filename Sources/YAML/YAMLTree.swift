public import Concurrency

/// One node of a ``YAMLTree``: a plain record in one array, so that a large file costs few allocations.
@frozen public struct YAMLNode: Sendable {
    /// What a node is.
    @frozen public enum Kind: UInt8, Sendable {
        /// Text without quotes; may stand for a number, a truth value or nothing.
        case plain
        /// Text in single or double quotes, or tagged `!!str`.
        case quoted
        /// A block of text introduced by `|`.
        case literal
        /// A block of text introduced by `>`.
        case folded
        /// A list.
        case sequence
        /// Keys with values.
        case mapping
        /// Stands for an earlier node. Never handed out: readers get the node it stands for.
        case alias
        /// The key `<<`, whose content was merged into its mapping. Never handed out.
        case merge

        /// Whether it is one value, and no list or mapping.
        public var isScalar: Bool {
            switch self {
            case .plain, .quoted, .literal, .folded: true
            case .sequence, .mapping: false
            // Readers never meet them.
            case .alias, .merge: true
            }
        }

        /// Whether ``YAMLNode/start`` and ``YAMLNode/count`` are those of a text. Other nodes have other numbers there.
        @inlinable var hasText: Bool {
            switch self {
            case .plain, .quoted, .literal, .folded, .merge: true
            case .sequence, .mapping, .alias: false
            }
        }
    }

    /// Where it starts in the file, from 1.
    public var line: UInt32
    /// Where it starts in its line, in characters, from 1.
    public var column: UInt32
    /// Scalar: offset of its text. Alias: index of the node it stands for.
    @usableFromInline var start: UInt32
    /// Scalar: bytes of its text. Sequence: elements. Mapping: pairs, with those of `<<`.
    @usableFromInline var count: UInt32
    /// Index behind the last node of its subtree. For a key, whose subtree is itself: the hash of its text.
    @usableFromInline var end: UInt32
    /// What it is.
    public var kind: Kind

    @usableFromInline
    init(kind: Kind, line: UInt32, column: UInt32, start: UInt32, count: UInt32, end: UInt32) {
        self.line = line
        self.column = column
        self.start = start
        self.count = count
        self.end = end
        self.kind = kind
    }
}

/// The parsed documents of one file.
///
/// Nodes lie in one array in the order of the text and are named by their index; the text of all scalars lies
/// in one buffer. Nothing is allocated per node.
public struct YAMLTree: Sendable {
    /// Names a node of this tree.
    public typealias Index = Int

    @usableFromInline var nodes: [YAMLNode] = []
    @usableFromInline var text: [UInt8] = []
    /// The root of every document that was read to its end.
    public internal(set) var documents: [Index] = []
    /// What is wrong with the text, at most ``maximumMistakes``. Documents behind a syntax error are missing.
    public internal(set) var mistakes: [YAMLMistake] = []
    /// How many more mistakes there are.
    public internal(set) var omittedMistakes = 0

    /// How many mistakes are listed: they have few causes, and the list must not grow with the text.
    public static let maximumMistakes = 100

    /// The node itself.
    @inlinable public subscript(index: Index) -> YAMLNode { nodes[index] }

    /// What a node is.
    @inlinable public func kind(of index: Index) -> YAMLNode.Kind { nodes[index].kind }

    /// Elements of a sequence, pairs of a mapping.
    @inlinable public func count(of index: Index) -> Int { Int(nodes[index].count) }

    /// Calls `body` with the text of a scalar; with nothing for a list or a mapping.
    @inlinable public func withBytes<Result>(of index: Index, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let node = nodes[index]
        // The count of a list has nothing to do with the text, and slices of raw bytes are not checked in release builds.
        guard node.kind.hasText else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let start = Int(node.start)
        let count = Int(node.count)
        return text.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
    }

    /// Whether a scalar's text is `expected`.
    @inlinable public func text(of index: Index, equals expected: StaticString) -> Bool {
        let node = nodes[index]
        let count = Int(node.count)
        guard count == expected.utf8CodeUnitCount, node.kind.hasText else { return false }
        let start = Int(node.start)
        for offset in 0..<count where text[start + offset] != expected.utf8Start[offset] { return false }
        return true
    }

    /// Whether a scalar's text is `expected`.
    public func text(of index: Index, equals expected: String.UTF8View) -> Bool {
        nodes[index].kind.hasText
            && withBytes(of: index) { $0.count == expected.count && $0.elementsEqual(expected) }
    }

    /// The text of a scalar; empty for a list or a mapping.
    public func string(of index: Index) -> String {
        withBytes(of: index) { String(decoding: $0, as: UTF8.self) }
    }

    /// The hash that ``YAMLTree/hash(_:)`` gives for the text of a mapping's key.
    @inlinable public func hash(ofKey index: Index) -> UInt32 { nodes[index].end }

    /// The hash by which keys are looked up (32-bit FNV-1a).
    @inlinable public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 { FNV1a.hash32(bytes) }

    /// Takes what a node holds into a hash, wherever it stands in the text. Returns false when something else than what stands
    /// there says what it holds: an alias, or `<<`.
    public func hash(_ index: Index, into hasher: inout Hasher) -> Bool {
        let end = nodes[index].kind.isScalar ? index + 1 : Int(nodes[index].end)
        var words: Range<Int>?
        // Of two nodes at a time, as a hash takes eight bytes as fast as four.
        var shapes: UInt64 = 0
        for (number, node) in nodes[index..<end].enumerated() {
            switch node.kind {
            case .alias, .merge: return false
            case .sequence, .mapping: break
            case .plain, .quoted, .literal, .folded:
                // Without aliases the texts lie one behind the other.
                words = (words?.lowerBound ?? Int(node.start))..<Int(node.start + node.count)
            }
            // No count has more than 29 bits: see ``maximumByteCount``.
            shapes = shapes << 32 | UInt64(node.count << 3 | UInt32(node.kind.rawValue))
            if number % 2 == 1 { hasher.combine(shapes) }
        }
        hasher.combine(shapes)
        hasher.combine(end - index)
        if let words {
            text.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[words])) }
        }
        return true
    }

    /// Follows an alias to what it stands for.
    @inlinable func resolve(_ index: Index) -> Index {
        nodes[index].kind == .alias ? Int(nodes[index].start) : index
    }
}

extension YAMLTree {
    /// The elements of a sequence.
    @frozen public struct Elements: Sequence, IteratorProtocol {
        @usableFromInline let nodes: [YAMLNode]
        @usableFromInline var cursor: Int
        @usableFromInline let end: Int

        @inlinable init(tree: YAMLTree, of index: Index) {
            nodes = tree.nodes
            cursor = index + 1
            end = Int(tree.nodes[index].end)
        }

        /// The next element.
        @inlinable public mutating func next() -> Index? {
            guard cursor < end else { return nil }
            let node = nodes[cursor]
            let index = node.kind == .alias ? Int(node.start) : cursor
            cursor = Int(node.end)
            return index
        }
    }

    /// The pairs of a mapping.
    @frozen public struct Pairs: Sequence, IteratorProtocol {
        @usableFromInline let nodes: [YAMLNode]
        @usableFromInline var cursor: Int
        @usableFromInline let end: Int

        @inlinable init(tree: YAMLTree, of index: Index) {
            nodes = tree.nodes
            cursor = index + 1
            end = Int(tree.nodes[index].end)
        }

        /// The next key and value.
        @inlinable public mutating func next() -> (key: Index, value: Index)? {
            while cursor < end {
                let key = cursor
                let value = nodes[key + 1]
                cursor = Int(value.end)
                if nodes[key].kind != .merge { return (key, value.kind == .alias ? Int(value.start) : key + 1) }
            }
            return nil
        }
    }

    /// The elements of a sequence, in order.
    @inlinable public func elements(of index: Index) -> Elements { Elements(tree: self, of: index) }

    /// The pairs of a mapping, in order; pairs taken over through `<<` come last.
    @inlinable public func pairs(of index: Index) -> Pairs { Pairs(tree: self, of: index) }

    /// The pair of a mapping whose key is one of `names`.
    public func pair(_ names: StaticString..., in mapping: Index) -> (key: Index, value: Index)? {
        guard nodes[mapping].kind == .mapping else { return nil }
        for (key, value) in pairs(of: mapping) where names.contains(where: { text(of: key, equals: $0) }) {
            return (key, value)
        }
        return nil
    }
}
