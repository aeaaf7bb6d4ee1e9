internal import YAML

extension Source {
    /// The place of a field of a value that starts at `node`; of what holds it when it was not written.
    ///
    /// Messages don't know their lines. Only when something is wrong is its place looked up, by walking the text's tree
    /// along the path of fields; so what is right costs nothing extra.
    func position(of path: [PathPart], in kind: ModelDescription.Kind, _ node: Int) -> SourcePosition {
        position(of: self.node(of: path, in: kind, node).node)
    }

    /// The node itself, and whether it is that of the field and not of what holds it.
    func node(of path: [PathPart], in kind: ModelDescription.Kind, _ node: Int) -> (node: Int, isWritten: Bool) {
        var node = node
        var type: Int? = Schema.modelMessages[kind.rawValue]
        for part in path {
            switch part {
            case .field(let name):
                guard let message = type, let (value, inner) = field(name, of: message, in: node) else {
                    return (node, false)
                }
                (node, type) = (value, inner)
            case .element(let index):
                guard tree.kind(of: node) == .sequence,
                    let element = tree.elements(of: node).dropFirst(index).first(where: { _ in true })
                else { return (node, false) }
                node = element
            case .key(let key):
                guard tree.kind(of: node) == .mapping,
                    let pair = tree.pairs(of: node).first(where: { tree.text(of: $0.key, equals: key.utf8) })
                else { return (node, false) }
                node = pair.key
            case .place: break
            }
        }
        return (node, true)
    }

    /// The node of a field, and the message that is in there.
    private func field(_ name: String, of message: Int, in node: Int) -> (node: Int, message: Int?)? {
        guard tree.kind(of: node) == .mapping else { return nil }
        for (key, value) in tree.pairs(of: node) {
            guard let field = Schema.plain.field(tree, key: key, in: message),
                Schema.plain.names[field].original == name
            else { continue }
            if case .message(let inner) = Schema.plain.fields[field].type { return (value, inner) }
            return (value, nil)
        }
        return nil
    }
}
