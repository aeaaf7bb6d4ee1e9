extension YAMLTree {
    /// Where a node is, as a path from the root of its document: `spec.routes[0].metric`. Of a key: that of its value.
    ///
    /// Lines and columns do not help the reader of a text that a program wrote. Nodes that an alias stands for have the
    /// place where they were written.
    public func path(to node: Index) -> String {
        var path = ""
        guard var current = documents.last(where: { $0 <= node }) else { return path }
        while current != node {
            switch kind(of: current) {
            case .mapping:
                guard let pair = pairs(of: current).first(where: { $0.key == node || holds($0.value, node) }) else {
                    return path
                }
                path += (path.isEmpty ? "" : ".") + string(of: pair.key)
                if pair.key == node { return path }
                current = pair.value
            case .sequence:
                var index = 0
                var inner: Index?
                for element in elements(of: current) {
                    if holds(element, node) {
                        inner = element
                        break
                    }
                    index += 1
                }
                guard let inner else { return path }
                path += "[\(index)]"
                current = inner
            case .plain, .quoted, .literal, .folded, .alias, .merge: return path
            }
        }
        return path
    }

    private func holds(_ outer: Index, _ inner: Index) -> Bool {
        outer == inner || (outer < inner && inner < Int(nodes[outer].end))
    }

    /// What a node holds, as a value to write. Texts without quotes are what they stand for.
    public func value(of node: Index) -> Tree {
        switch kind(of: node) {
        case .mapping: return .mapping(pairs(of: node).map { (string(of: $0.key), value(of: $0.value)) })
        case .sequence: return .sequence(elements(of: node).map { value(of: $0) })
        case .plain, .quoted, .literal, .folded, .alias, .merge: break
        }
        switch scalar(node) {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let size, let isNegative):
            if !isNegative { return .uint(size) }
            return size <= UInt64(Int64.max) ? .int(-Int64(size)) : .double(-Double(size))
        case .float(let value): return .double(value)
        case .text: return .string(string(of: node))
        }
    }
}
