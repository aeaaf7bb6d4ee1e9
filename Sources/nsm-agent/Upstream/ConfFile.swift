internal import YAML

/// A file of settings of the agent before this one: YAML with keys in any case of letters.
struct ConfFile {
    /// A setting, and where its value is.
    struct Entry {
        /// The key in lower case.
        let name: String
        /// Where the value starts, `FILE:LINE:COLUMN`.
        let place: String
        fileprivate let tree: YAMLTree
        fileprivate let node: YAMLTree.Index
        fileprivate let path: String
    }

    /// In the order of the file.
    let entries: [Entry]

    /// Reads a file; one that is empty says nothing.
    ///
    /// - Throws: `Failure` with the place of the mistake.
    init(path: String) throws(Failure) {
        let tree = YAMLTree(parsing: try SettingsFile.read(path, called: ""))
        if let mistake = tree.mistakes.first {
            throw Failure("\(path):\(mistake.line):\(mistake.column): \(mistake.text)", status: ExitStatus.invalid)
        }
        guard let root = tree.documents.first, !tree.isNull(root) else {
            entries = []
            return
        }
        guard tree.kind(of: root) == .mapping else {
            throw Failure(
                "\(path): keys and values are needed, such as 'endpoint: 0.0.0.0:9191'", status: ExitStatus.invalid)
        }
        entries = Self.entries(of: root, tree, path)
    }

    fileprivate static func entries(of mapping: YAMLTree.Index, _ tree: YAMLTree, _ path: String) -> [Entry] {
        tree.pairs(of: mapping).map { key, value in
            Entry(
                name: tree.string(of: key).lowercased(), place: place(value, tree, path), tree: tree, node: value,
                path: path)
        }
    }

    fileprivate static func place(_ node: YAMLTree.Index, _ tree: YAMLTree, _ path: String) -> String {
        "\(path):\(tree[node].line):\(tree[node].column)"
    }
}

extension ConfFile.Entry {
    /// What is wrong here. It never holds the value, which may be a secret.
    func wrong(_ text: String) -> Failure { Failure("\(place): \(text)", status: ExitStatus.invalid) }

    private static func plain(_ node: YAMLTree.Index, _ tree: YAMLTree) -> String? {
        switch tree.kind(of: node) {
        case .mapping, .sequence: nil
        case .plain, .quoted, .literal, .folded, .alias, .merge: tree.isNull(node) ? "" : tree.string(of: node)
        }
    }

    func text() throws(Failure) -> String {
        guard let text = Self.plain(node, tree) else { throw wrong("a plain value is needed") }
        return text
    }

    func flag() throws(Failure) -> Bool {
        guard case .bool(let isSet) = YAMLScalar(plain: try text()) else { throw wrong("true or false is needed") }
        return isSet
    }

    func number(_ range: ClosedRange<Int>) throws(Failure) -> Int {
        guard let number = Int(try text()), range.contains(number) else {
            throw wrong("a whole number from \(range.lowerBound) to \(range.upperBound) is needed")
        }
        return number
    }

    func texts() throws(Failure) -> [String] {
        try elements().map { element throws(Failure) in try element.text() }
    }

    /// The elements of a list.
    func elements() throws(Failure) -> [ConfFile.Entry] {
        if tree.isNull(node) { return [] }
        guard tree.kind(of: node) == .sequence else { throw wrong("a list is needed") }
        return tree.elements(of: node).map { element in
            ConfFile.Entry(
                name: name, place: ConfFile.place(element, tree, path), tree: tree, node: element, path: path)
        }
    }

    /// The settings of a setting.
    func entries() throws(Failure) -> [ConfFile.Entry] {
        guard tree.kind(of: node) == .mapping else { throw wrong("keys and values are needed") }
        return ConfFile.entries(of: node, tree, path)
    }
}
