/// Puts the nodes of a ``YAMLTree`` in place, one event at a time, within bounds.
struct YAMLBuilder {
    /// Deeper nesting than this is refused.
    static let maximumDepth = 64
    /// More nodes than this in a file are refused.
    static let maximumNodes = 8_000_000
    /// More nodes than this reached through aliases are refused: what a file says in few bytes must not cost much.
    static let maximumAliased = 1_000_000

    /// A collection whose end is still to come.
    private struct Open {
        var node: Int
        /// Nodes of the subtree, counting what aliases stand for.
        var size: Int
        var height: Int
        var isMapping: Bool
        var expectsKey: Bool
        var hasMerge = false
        var anchor: String?
    }

    private struct Anchor {
        var node: Int
        var size: Int
        var height: Int
        var isComplete: Bool
    }

    /// Where an event starts, from 1.
    struct Place {
        var line: Int
        var column: Int

        func mistake(_ text: String) -> YAMLMistake { YAMLMistake(line: line, column: column, text: text) }
    }

    var tree = YAMLTree()
    private var open: [Open] = []
    private var anchors: [String: Anchor] = [:]
    private var aliased = 0
    private var root = -1
    private var scratch: [UInt32] = []

    /// Makes room for a text of `byteCount` bytes.
    init(byteCount: Int) {
        // Ordinary files have a node for every ten bytes or so; guessing low only costs one more copy.
        tree.nodes.reserveCapacity(min(byteCount / 10 + 16, Self.maximumNodes))
        tree.text.reserveCapacity(byteCount)
    }

    mutating func startDocument() {
        anchors.removeAll(keepingCapacity: true)
        root = tree.nodes.count
    }

    mutating func endDocument() {
        tree.documents.append(tree.resolve(root))
    }

    mutating func scalar(
        _ bytes: UnsafeRawBufferPointer, kind: YAMLNode.Kind, anchor: String?, at place: Place
    ) throws(YAMLMistake) {
        let isKey = try claim(place)
        let index = tree.nodes.count
        let start = tree.text.count
        tree.text.append(contentsOf: bytes)
        var node = YAMLNode(
            kind: kind, line: UInt32(truncatingIfNeeded: place.line), column: UInt32(truncatingIfNeeded: place.column),
            start: UInt32(start), count: UInt32(bytes.count), end: UInt32(index + 1))
        if isKey {
            node.end = YAMLTree.hash(bytes)
            if kind == .plain, bytes.count == 2, bytes[0] == UInt8(ascii: "<"), bytes[1] == UInt8(ascii: "<") {
                node.kind = .merge
                open[open.count - 1].hasMerge = true
            }
        }
        tree.nodes.append(node)
        if let anchor { anchors[anchor] = Anchor(node: index, size: 1, height: 0, isComplete: !isKey) }
    }

    mutating func start(isMapping: Bool, anchor: String?, at place: Place) throws(YAMLMistake) {
        guard try !claim(place) else { throw place.mistake("a key must be a single word or text") }
        guard open.count < Self.maximumDepth else {
            throw place.mistake("nested deeper than \(Self.maximumDepth) levels")
        }
        let index = tree.nodes.count
        tree.nodes.append(
            YAMLNode(
                kind: isMapping ? .mapping : .sequence, line: UInt32(truncatingIfNeeded: place.line),
                column: UInt32(truncatingIfNeeded: place.column), start: 0, count: 0, end: 0))
        if let anchor { anchors[anchor] = Anchor(node: index, size: 1, height: 1, isComplete: false) }
        open.append(
            Open(node: index, size: 1, height: 1, isMapping: isMapping, expectsKey: isMapping, anchor: anchor))
    }

    mutating func end() throws(YAMLMistake) {
        guard let collection = open.popLast() else { return }
        if collection.hasMerge { try merge(collection.node) }
        tree.nodes[collection.node].end = UInt32(tree.nodes.count)
        if collection.isMapping { findDuplicates(in: collection.node) }
        if let anchor = collection.anchor {
            anchors[anchor] = Anchor(
                node: collection.node, size: collection.size, height: collection.height, isComplete: true)
        }
        if !open.isEmpty {
            open[open.count - 1].size += collection.size
            open[open.count - 1].height = max(open[open.count - 1].height, collection.height + 1)
        }
    }

    mutating func alias(_ name: String, at place: Place) throws(YAMLMistake) {
        guard try !claim(place) else { throw place.mistake("an alias can't be a key") }
        guard let anchor = anchors[name] else {
            throw place.mistake("alias '*\(name.start)' has no anchor '&\(name.start)' before it")
        }
        guard anchor.isComplete else { throw place.mistake("alias '*\(name.start)' refers to what it is part of") }
        guard open.count + anchor.height <= Self.maximumDepth else {
            throw place.mistake("alias '*\(name.start)' nests deeper than \(Self.maximumDepth) levels")
        }
        aliased += anchor.size
        guard aliased <= Self.maximumAliased else {
            throw place.mistake("aliases stand for more than \(Self.maximumAliased) nodes; write fewer of them")
        }
        let index = tree.nodes.count
        tree.nodes.append(
            YAMLNode(
                kind: .alias, line: UInt32(truncatingIfNeeded: place.line),
                column: UInt32(truncatingIfNeeded: place.column), start: UInt32(anchor.node), count: 0,
                end: UInt32(index + 1)))
        if !open.isEmpty {
            open[open.count - 1].size += anchor.size
            open[open.count - 1].height = max(open[open.count - 1].height, anchor.height + 1)
        }
    }

    /// Counts a new node in its collection and says whether it is a key.
    private mutating func claim(_ place: Place) throws(YAMLMistake) -> Bool {
        guard tree.nodes.count < Self.maximumNodes else {
            throw place.mistake("more than \(Self.maximumNodes) nodes; split the file")
        }
        guard !open.isEmpty else { return false }
        let last = open.count - 1
        open[last].size += 1
        guard open[last].isMapping else {
            tree.nodes[open[last].node].count += 1
            return false
        }
        let isKey = open[last].expectsKey
        open[last].expectsKey = !isKey
        if !isKey { tree.nodes[open[last].node].count += 1 }
        return isKey
    }
}

extension YAMLBuilder {
    /// Appends the pairs that `<<` brings in and the mapping does not have itself.
    private mutating func merge(_ mapping: Int) throws(YAMLMistake) {
        let end = tree.nodes.count
        var sources: [Int] = []
        var cursor = mapping + 1
        while cursor < end {
            let value = cursor + 1
            if tree.nodes[cursor].kind == .merge {
                tree.nodes[mapping].count -= 1
                let target = tree.resolve(value)
                if tree.nodes[target].kind == .sequence {
                    sources += Array(tree.elements(of: target))
                } else {
                    sources.append(target)
                }
            }
            cursor = Int(tree.nodes[value].end)
        }
        var present = Set<String>()
        tree.nodes[mapping].end = UInt32(end)
        for (key, _) in tree.pairs(of: mapping) { present.insert(tree.string(of: key)) }
        for source in sources {
            guard tree.nodes[source].kind == .mapping else {
                let node = tree.nodes[source]
                throw YAMLMistake(
                    line: Int(node.line), column: Int(node.column), text: "'<<' takes a mapping or a list of mappings")
            }
            for (key, value) in Array(tree.pairs(of: source)) where present.insert(tree.string(of: key)).inserted {
                try append(key: key, value: value)
                tree.nodes[mapping].count += 1
            }
        }
    }

    private mutating func append(key: Int, value: Int) throws(YAMLMistake) {
        let node = tree.nodes[value]
        aliased += 2
        guard aliased <= Self.maximumAliased, tree.nodes.count + 2 < Self.maximumNodes else {
            throw YAMLMistake(
                line: Int(node.line), column: Int(node.column), text: "'<<' brings in more pairs than are allowed")
        }
        tree.nodes.append(tree.nodes[key])
        tree.nodes.append(
            YAMLNode(
                kind: .alias, line: node.line, column: node.column, start: UInt32(value), count: 0,
                end: UInt32(tree.nodes.count + 1)))
    }

    /// Notes every key that its mapping has already.
    private mutating func findDuplicates(in mapping: Int) {
        guard tree.nodes[mapping].count > 1 else { return }
        scratch.removeAll(keepingCapacity: true)
        var cursor = mapping + 1
        let end = Int(tree.nodes[mapping].end)
        while cursor < end {
            scratch.append(UInt32(cursor))
            cursor = Int(tree.nodes[cursor + 1].end)
        }
        if scratch.count <= 24 {
            for index in 1..<scratch.count {
                let key = Int(scratch[index])
                let hash = tree.nodes[key].end
                for earlier in 0..<index where tree.nodes[Int(scratch[earlier])].end == hash {
                    if isSame(Int(scratch[earlier]), key) {
                        noteDuplicate(Int(scratch[earlier]), key)
                        break
                    }
                }
            }
        } else {
            // Sorting by content keeps a file full of colliding hashes from costing quadratic time.
            let tree = tree
            scratch.sort { left, right in
                let (hashLeft, hashRight) = (tree.nodes[Int(left)].end, tree.nodes[Int(right)].end)
                if hashLeft != hashRight { return hashLeft < hashRight }
                let order = tree.compare(Int(left), Int(right))
                return order == 0 ? left < right : order < 0
            }
            var first = Int(scratch[0])
            for index in 1..<scratch.count {
                let key = Int(scratch[index])
                if isSame(first, key) { noteDuplicate(first, key) } else { first = key }
            }
        }
    }

    private func isSame(_ left: Int, _ right: Int) -> Bool {
        tree.nodes[left].end == tree.nodes[right].end && tree.compare(left, right) == 0
    }

    private mutating func noteDuplicate(_ first: Int, _ second: Int) {
        guard tree.mistakes.count < YAMLTree.maximumMistakes else {
            tree.omittedMistakes += 1
            return
        }
        let (before, node) = (tree.nodes[first], tree.nodes[second])
        tree.mistakes.append(
            YAMLMistake(
                line: Int(node.line), column: Int(node.column),
                text: "key '\(tree.string(of: second).start)' is there twice; first at \(before.line):\(before.column)")
        )
    }
}

extension String {
    /// As much of a text from a file as a message can hold.
    var start: String { utf8.count <= 64 ? self : String(unicodeScalars.prefix(64)) + "…" }
}

extension YAMLTree {
    /// The order of two scalars' texts: negative, 0 or positive.
    fileprivate func compare(_ left: Int, _ right: Int) -> Int {
        withBytes(of: left) { first in
            withBytes(of: right) { second in
                if first.count != second.count { return first.count - second.count }
                for (a, b) in zip(first, second) where a != b { return Int(a) - Int(b) }
                return 0
            }
        }
    }
}
