internal import YAML

/// Taking keys of a YAML file, each once.
extension ConversionDraft {
    typealias Node = YAMLTree.Index

    var tree: YAMLTree { source.tree }

    func place(_ node: Node) -> SourcePosition { source.position(of: node) }

    /// Lists a node that has no counterpart.
    mutating func leave(_ node: Node, _ reason: String) {
        guard leftOut.count < Self.mostLeftOut else { return leave(place(node), "", reason) }
        leave(place(node), tree.path(to: node), reason)
    }

    /// The value of the first of these keys that is there; nil as well where it says nothing.
    mutating func take(_ names: String..., in mapping: Node) -> Node? {
        guard tree.kind(of: mapping) == .mapping else { return nil }
        for (key, value) in tree.pairs(of: mapping) where names.contains(tree.string(of: key)) {
            taken.insert(key)
            return tree.isNull(value) ? nil : value
        }
        return nil
    }

    /// Takes keys that need no counterpart, with all that is below.
    mutating func ignore(_ names: String..., in mapping: Node) {
        for name in names {
            if let value = take(name, in: mapping) { takeAll(below: value) }
        }
    }

    /// Takes keys whose value is the one that the agent has anyway; others are listed.
    mutating func expect(_ name: String, _ isUsual: Bool, in mapping: Node, else reason: String) {
        guard let value = take(name, in: mapping) else { return }
        if flag(value) != isUsual { leave(value, reason) }
    }

    /// Takes everything below a node.
    mutating func takeAll(below node: Node) {
        let tree = tree
        switch tree.kind(of: node) {
        case .mapping:
            for (key, value) in tree.pairs(of: node) where taken.insert(key).inserted { takeAll(below: value) }
        case .sequence: for element in tree.elements(of: node) { takeAll(below: element) }
        case .plain, .quoted, .literal, .folded, .alias, .merge: break
        }
    }

    /// The pairs of a mapping, all of them taken.
    mutating func pairs(_ node: Node?) -> [(name: String, key: Node, value: Node)] {
        guard let node else { return [] }
        guard tree.kind(of: node) == .mapping else {
            leave(node, "it is not a mapping")
            return []
        }
        return tree.pairs(of: node).map { pair in
            taken.insert(pair.key)
            return (tree.string(of: pair.key), pair.key, pair.value)
        }
    }

    /// The elements of a list; of a single value that one.
    mutating func elements(_ node: Node?) -> [Node] {
        guard let node else { return [] }
        switch tree.kind(of: node) {
        case .sequence: return Array(tree.elements(of: node))
        case .mapping:
            leave(node, "it is not a list")
            takeAll(below: node)
            return []
        case .plain, .quoted, .literal, .folded, .alias, .merge: return [node]
        }
    }

    /// The elements of a list that are mappings.
    mutating func mappings(_ node: Node?) -> [Node] {
        guard let node else { return [] }
        guard tree.kind(of: node) == .sequence else {
            leave(node, "it is not a list")
            takeAll(below: node)
            return []
        }
        return tree.elements(of: node).filter { element in
            if tree.kind(of: element) == .mapping { return true }
            leave(element, "it is not a mapping")
            return false
        }
    }

    /// A node that is one value, as text; nil, and listed, when it is something else.
    mutating func text(_ node: Node?) -> String? {
        guard let node else { return nil }
        guard tree.kind(of: node).isScalar else {
            leave(node, "it is not a single value")
            takeAll(below: node)
            return nil
        }
        return tree.string(of: node)
    }

    mutating func text(_ names: String..., in mapping: Node) -> String? {
        for name in names {
            if let value = take(name, in: mapping) { return text(value) }
        }
        return nil
    }

    /// The texts of a list.
    mutating func texts(_ node: Node?) -> [String] { elements(node).compactMap { text($0) } }

    mutating func flag(_ node: Node?) -> Bool? {
        guard let node, let word = text(node) else { return nil }
        if let flag = Words.flag(word) { return flag }
        leave(node, "\(word.inQuotes) is neither true nor false")
        return nil
    }

    mutating func flag(_ name: String, in mapping: Node) -> Bool? { flag(take(name, in: mapping)) }

    mutating func number(_ node: Node?) -> UInt32? {
        guard let node, let word = text(node) else { return nil }
        if let number = Words.number(word) { return number }
        leave(node, "\(word.inQuotes) is not a number (0–4294967295)")
        return nil
    }

    mutating func number(_ names: String..., in mapping: Node) -> UInt32? {
        for name in names {
            if let value = take(name, in: mapping) { return number(value) }
        }
        return nil
    }

    /// The value of a key in a table of words.
    mutating func word<Value>(_ name: String, in mapping: Node, _ table: [String: Value]) -> Value? {
        guard let node = take(name, in: mapping), let text = text(node) else { return nil }
        if let value = table[text.lowercased()] { return value }
        leave(node, "\(text.inQuotes) has no counterpart here")
        return nil
    }

    /// Lists all keys below a node that nobody has taken.
    mutating func leaveRest(below root: Node) {
        var seen: Set<Node> = []
        leaveRest(below: root, &seen)
    }

    private mutating func leaveRest(below node: Node, _ seen: inout Set<Node>) {
        let tree = tree
        switch tree.kind(of: node) {
        case .mapping:
            for (key, value) in tree.pairs(of: node) where seen.insert(key).inserted {
                guard taken.contains(key) else {
                    leave(key, reasons[tree.string(of: key)] ?? "it has no counterpart here")
                    continue
                }
                leaveRest(below: value, &seen)
            }
        case .sequence: for element in tree.elements(of: node) { leaveRest(below: element, &seen) }
        case .plain, .quoted, .literal, .folded, .alias, .merge: break
        }
    }
}
