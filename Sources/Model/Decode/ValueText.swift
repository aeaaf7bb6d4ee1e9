internal import YAML

extension ModelValue {
    /// Reads one value from its text: JSON as protobuf writes it, with field names of either form, or YAML.
    ///
    /// - Parameters:
    ///   - text: UTF-8.
    ///   - name: Stands for the text in the mistake.
    ///   - names: What names of this host stand for.
    /// - Throws: the first mistake.
    public init(
        _ kind: ModelDescription.Kind, text: [UInt8], name: String, names: NameResolver = .none
    ) throws(Mistake) {
        let source = Source(file: name, tree: text.withUnsafeBytes { YAMLTree(parsing: $0) })
        if let mistake = source.mistakes.first { throw mistake }
        guard source.tree.documents.count == 1, let root = source.tree.documents.first, !source.tree.isNull(root) else {
            let model = ModelRegistry.model(kind).name
            throw Mistake(file: name, line: 0, column: 0, text: "must hold one \(model)")
        }
        var decoder = MessageDecoder(source: source, names: names)
        guard let value = decoder.decode(kind, root) else {
            throw decoder.mistakes.list.min() ?? Mistake("can't be decoded", at: source.position(of: root))
        }
        self = value
    }
}
