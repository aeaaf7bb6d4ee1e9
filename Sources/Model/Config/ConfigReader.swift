internal import YAML

/// Takes apart the documents of one text and collects their values.
struct ConfigReader {
    private let label: String
    private var text: ConfigText
    private var decoder: MessageDecoder
    /// The text that is being read.
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Where its lines start; filled when first needed.
    private var lineStarts: [Int] = []

    /// Groups of a configuration file whose content is for VPP.
    private static let foreignGroups = ["vppConfig", "vpp_config"]
    private static let groups = ["linuxConfig", "netallocConfig", "cnfConfig"]
    private static let otherGroups = ["linux_config": "linuxConfig", "netalloc_config": "netallocConfig"]

    init(name: String, label: String, names: NameResolver) {
        self.label = label
        text = ConfigText(name: name)
        decoder = MessageDecoder(source: Source(file: name, tree: YAMLTree(parsing: "")), names: names)
    }

    /// Reads the text.
    mutating func read(_ bytes: UnsafeRawBufferPointer) {
        input = bytes
        defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
        begin(Source(file: text.name, tree: YAMLTree(parsing: bytes)))
        noteSyntax()
        for root in decoder.source.tree.documents { readDocument(root) }
    }

    /// What was read.
    consuming func finish() -> ConfigText {
        var text = text
        text.mistakes.add(decoder.mistakes)
        text.mistakes.finish()
        text.warnings.finish()
        text.usesNames = decoder.usesNames
        return text
    }

    private mutating func begin(_ source: Source) {
        text.sources.append(source)
        decoder.source = source
    }

    private var tree: YAMLTree { decoder.source.tree }

    private mutating func noteSyntax() {
        let found = decoder.source.mistakes
        if !found.isEmpty { text.isIncomplete = true }
        for mistake in found { text.mistakes.add(mistake) }
        text.mistakes.omit(tree.omittedMistakes)
    }

    private mutating func report(_ node: Int, _ problem: String) {
        text.isIncomplete = true
        text.mistakes.add(Mistake(problem, at: decoder.source.position(of: node)))
    }

    /// Whether a mistake is only counted, as there are many before it.
    private mutating func omitsMistake() -> Bool {
        text.isIncomplete = true
        return text.mistakes.omitsNext()
    }

    private mutating func warn(_ node: Int, _ problem: String) {
        text.warnings.add(Mistake(problem, at: decoder.source.position(of: node)))
    }

    /// `; did you mean 'x'?` for the first few mistakes, or nothing.
    private func hint(for word: String, among candidates: some Sequence<String>) -> String {
        text.mistakes.wantsSuggestion ? Suggestion.phrase(for: word, among: candidates) : ""
    }

    private mutating func add(_ kind: ModelDescription.Kind, _ node: Int) {
        guard let value = decoder.decode(kind, node) else {
            if kind == .interface { text.brokenInterfaces.append(Label.name(of: kind, decoder.source, node)) }
            if let part = decoder.part(kind) { noteMalformed(part, node) }
            return
        }
        let checked = value.checked(suggestions: text.mistakes.suggestionsLeft)
        let key = value.key
        for finding in checked.findings { note(finding, of: value, key, node) }
        text.mistakes.omit(checked.omittedMistakes)
        if checked.specification == nil, case .interface(let message) = value {
            text.brokenInterfaces.append(message.name)
        }
        text.items.append(
            ConfigText.Item(
                key: key, value: value, specification: checked.specification?.with(places(of: value, node)),
                position: decoder.source.position(of: node),
                place: ConfigText.Place(source: Int32(text.sources.count - 1), node: Int32(node))))
    }

    /// Notes what is wrong with the fields of a value that is not there as a whole. What could follow from missing fields is
    /// not said, nor anything of fields that the decoder has complained of.
    private mutating func noteMalformed(_ part: ModelValue, _ node: Int) {
        let label = Label.of(part.kind, decoder.source, node)
        let known = Set(decoder.mistakes.list.map(\.position))
        for finding in part.checked(suggestions: 0).findings where finding.isMalformed {
            let position = decoder.source.position(of: finding.path, in: part.kind, node)
            if known.contains(position) || text.mistakes.omitsNext() { continue }
            text.mistakes.add(Mistake("\(label): \(finding)", at: position))
        }
    }

    private mutating func note(_ finding: Finding, of value: ModelValue, _ key: String, _ node: Int) {
        var inner: SourcePosition?
        if case .place(let line, let column)? = finding.path.last {
            inner = places(of: value, node)?.position(line: line, column: column)
        }
        let position = decoder.source.position(of: finding.path, in: value.kind, node)
        func mistake() -> Mistake { Mistake(value.sentence(finding), at: inner ?? position) }
        switch finding.weight {
        case .mistake: if !text.mistakes.omitsNext() { text.mistakes.add(mistake()) }
        case .warning: if !text.warnings.omitsNext() { text.warnings.add(mistake()) }
        case .impossible:
            let mistake = mistake()
            text.invalidValues.append(
                LoadedConfig.InvalidValue(
                    key: key, position: mistake.position, text: mistake.text, fields: finding.fields))
        }
    }
}

extension ConfigReader {
    private mutating func readDocument(_ root: Int) {
        if tree.isNull(root) { return }
        guard tree.kind(of: root) == .mapping else {
            return report(root, "the document must be a mapping, such as 'linuxConfig:' with what belongs to it")
        }
        if tree.pair("apiVersion", in: root) != nil || tree.pair("kind", in: root) != nil {
            readResource(root)
        } else {
            for (key, value) in tree.pairs(of: root) { readGroup(key, value) }
        }
    }

    private mutating func readGroup(_ key: Int, _ value: Int) {
        let word = tree.string(of: key)
        if Self.foreignGroups.contains(word) {
            return warn(key, "'\(word)' is skipped: there is no VPP here")
        }
        let group = Self.otherGroups[word] ?? word
        guard Self.groups.contains(group) else {
            if omitsMistake() { return }
            let known = Self.groups + Self.foreignGroups
            return report(key, "unknown field \(word.inQuotes) in the configuration\(hint(for: word, among: known))")
        }
        text.saysSomething = true
        if tree.isNull(value) { return }
        guard tree.kind(of: value) == .mapping else { return report(value, "\(word) must be a mapping of lists") }
        for (listKey, list) in tree.pairs(of: value) { readList(listKey, list, group) }
    }

    private mutating func readList(_ key: Int, _ list: Int, _ group: String) {
        let word = tree.string(of: key)
        let model = ModelRegistry.all.first { $0.group == group && ($0.list == word || $0.otherList == word) }
        guard let model else {
            if omitsMistake() { return }
            let lists = ModelRegistry.all.filter { $0.group == group }.map(\.list)
            let hint = hint(for: word, among: lists)
            let all = "; it has \(lists.joined(separator: ", "))"
            return report(key, "unknown field \(word.inQuotes) in \(group)\(hint.isEmpty ? all : hint)")
        }
        if tree.isNull(list) { return }
        guard tree.kind(of: list) == .sequence else { return report(list, "\(group).\(word) must be a list") }
        let tree = tree
        for element in tree.elements(of: list) { add(model.kind, element) }
    }
}

extension ConfigReader {
    /// Reads a Kubernetes object: a `CNFConfiguration`, or a list of them.
    private mutating func readResource(_ root: Int) {
        let version = word("apiVersion", in: root)
        let kind = word("kind", in: root)
        if kind == "List" || kind == "CNFConfigurationList" {
            guard let items = tree.pair("items", in: root)?.value, tree.kind(of: items) == .sequence else {
                return report(root, "\(kind) has no list 'items'")
            }
            let tree = tree
            for item in tree.elements(of: items) {
                if tree.kind(of: item) == .mapping { readResource(item) } else { report(item, "must be a mapping") }
            }
            return
        }
        if kind == "ConfigMap", version == "v1" { return readConfigMap(root) }
        guard kind == "CNFConfiguration" || version.hasPrefix("pantheon.tech/") else {
            return warn(
                root,
                "\(kind.isEmpty ? "an object without kind" : kind.shortened) is skipped: only CNFConfiguration and "
                    + "ConfigMap are read")
        }
        text.saysSomething = true
        guard kind == "CNFConfiguration" else {
            return report(
                tree.pair("kind", in: root)?.value ?? root, "kind \(kind.inQuotes) must be 'CNFConfiguration'")
        }
        guard version == "pantheon.tech/v1" else {
            return report(
                tree.pair("apiVersion", in: root)?.value ?? root,
                "apiVersion \(version.inQuotes) must be 'pantheon.tech/v1'")
        }
        checkKeys(of: root, ["apiVersion", "kind", "metadata", "spec", "status"], name: "CNFConfiguration")
        guard let spec = tree.pair("spec", in: root)?.value, tree.kind(of: spec) == .mapping else {
            return report(root, "CNFConfiguration has no 'spec'")
        }
        checkKeys(of: spec, ["microservice", "configItems"], name: "spec")
        guard let items = tree.pair("configItems", in: spec)?.value, tree.kind(of: items) == .sequence else {
            return report(spec, "spec has no list 'configItems'")
        }
        let owner = word("microservice", in: spec)
        // An item's data has a tree of its own; this one must be back in place for the next item.
        let source = decoder.source
        let number = text.sources.count - 1
        for item in source.tree.elements(of: items) {
            readItem(item, owner: owner)
            decoder.source = source
        }
        if text.sources.count - 1 != number { text.sources.append(source) }
    }

    /// Reads a ConfigMap as the folder that it becomes when it is mounted.
    private mutating func readConfigMap(_ root: Int) {
        guard case .file = decoder.source.origin else { return report(root, "a ConfigMap in a ConfigMap is not read") }
        let (source, number) = (decoder.source, text.sources.count - 1)
        var isAny = false
        if let data = tree.pair("data", in: root)?.value, tree.kind(of: data) == .mapping {
            for (key, value) in source.tree.pairs(of: data) where Self.isFileName(source.tree.string(of: key)) {
                isAny = true
                readFile(value, named: source.tree.string(of: key))
                decoder.source = source
            }
        }
        if text.sources.count - 1 != number { text.sources.append(source) }
        if isAny { return }
        report(
            root,
            "the ConfigMap holds no *.yaml, *.yml or *.json under 'data'; give the files from which it is made instead")
    }

    private static func isFileName(_ name: String) -> Bool {
        [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    private mutating func readFile(_ file: Int, named name: String) {
        switch tree.kind(of: file) {
        case .sequence, .mapping: return report(file, "\(name.inQuotes) must be text: put '|' behind it")
        default: break
        }
        let inner = tree.withBytes(of: file) { YAMLTree(parsing: $0) }
        begin(Source(file: decoder.source.file, tree: inner, origin: origin(of: file)))
        noteSyntax()
        for root in inner.documents { readDocument(root) }
    }

    private mutating func readItem(_ item: Int, owner: String) {
        guard tree.kind(of: item) == .mapping else {
            return report(item, "must be a mapping with module, type and data")
        }
        checkKeys(of: item, ["module", "type", "version", "name", "microservice", "data"], name: "an item")
        let microservice = tree.pair("microservice", in: item) == nil ? owner : word("microservice", in: item)
        guard !microservice.isEmpty else {
            return report(item, "names no microservice, and neither does spec")
        }
        guard microservice == label else { return }
        let (module, type, version) = (word("module", in: item), word("type", in: item), word("version", in: item))
        if module == "vpp" || module.hasPrefix("vpp.") {
            return warn(item, "item \("\(module).\(type)".shortened) is skipped: there is no VPP here")
        }
        guard let model = ModelRegistry.model(named: "\(module).\(type)") else {
            if omitsMistake() { return }
            let hint = hint(for: "\(module).\(type)", among: ModelRegistry.all.map(\.name))
            return report(
                tree.pair("module", in: item)?.value ?? item,
                "there is no model with module \(module.inQuotes) and type \(type.inQuotes)\(hint)")
        }
        guard version.isEmpty || version == model.version else {
            return report(
                tree.pair("version", in: item)?.value ?? item,
                "version \(version.inQuotes) of \(model.name) must be '\(model.version)'")
        }
        guard let data = tree.pair("data", in: item)?.value else { return report(item, "has no 'data'") }
        readData(data, model)
    }

    private mutating func readData(_ data: Int, _ model: ModelDescription) {
        switch tree.kind(of: data) {
        case .sequence, .mapping:
            return report(data, "data must be text: put '|' behind 'data:'")
        default: break
        }
        let inner = tree.withBytes(of: data) { YAMLTree(parsing: $0) }
        let origin = origin(of: data)
        begin(Source(file: decoder.source.file, tree: inner, origin: origin))
        noteSyntax()
        guard inner.mistakes.isEmpty else { return }
        guard inner.documents.count == 1, let root = inner.documents.first, !inner.isNull(root) else {
            let position = decoder.source.position(line: 1, column: 1)
            text.mistakes.add(Mistake("data must hold one \(model.name)", at: position))
            return
        }
        add(model.kind, root)
    }

    /// Where the text of a scalar lies in the file. Only a `|` block keeps its lines apart and unchanged.
    private mutating func origin(of node: Int) -> Source.Origin {
        let place = tree[node]
        let (line, column) = (Int(place.line), Int(place.column))
        guard tree.kind(of: node) == .literal, case .file = decoder.source.origin else {
            return .scalar(line: line, column: column)
        }
        return .block(lines: line, columns: indentation(of: node, below: line))
    }

    /// Where that stands of a value what a program reads later.
    private mutating func places(of value: ModelValue, _ node: Int) -> SourcePlaces? {
        let source = decoder.source
        switch value {
        case .filterTable:
            let (node, isWritten) = source.node(of: ["ruleset"], in: value.kind, node)
            if !isWritten { return nil }
            let place = source.position(of: node)
            if case .scalar = source.origin { return .scalar(place) }
            guard tree.kind(of: node) == .literal else { return .scalar(place) }
            let count = tree.withBytes(of: node) { bytes in
                bytes.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
            }
            return .block(
                file: place.file, first: place.line + 1, columns: indentation(of: node, below: place.line), count: count
            )
        case .ruleChain:
            let (node, isWritten) = source.node(of: ["rules"], in: value.kind, node)
            guard isWritten, source.tree.kind(of: node) == .sequence else { return nil }
            let points = source.tree.elements(of: node).map { element in
                let place = source.position(of: element)
                return SourcePlaces.Point(line: UInt32(place.line), column: UInt32(place.column))
            }
            return .list(file: source.file, points)
        case .interface, .arp, .route, .allocation, .client, .endpoint, .namespace, .rule: return nil
        }
    }

    /// How much of the indentation in the file is not part of a block's text.
    private mutating func indentation(of node: Int, below line: Int) -> Int {
        if lineStarts.isEmpty {
            lineStarts = [0]
            for (index, byte) in input.enumerated() where byte == UInt8(ascii: "\n") { lineStarts.append(index + 1) }
        }
        let index = line < lineStarts.count ? lineStarts[line] : input.count
        func spaces(_ bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
            var count = 0
            for byte in bytes {
                if byte == UInt8(ascii: "\n") {
                    count = 0
                } else if byte != UInt8(ascii: " ") {
                    return count
                } else {
                    count += 1
                }
            }
            return nil
        }
        let inner = tree.withBytes(of: node) { spaces($0[...]) } ?? 0
        return max(0, (spaces(input[index...]) ?? 0) - inner)
    }

    private mutating func checkKeys(of mapping: Int, _ names: [String], name: String) {
        let tree = tree
        for (key, _) in tree.pairs(of: mapping) {
            let word = tree.string(of: key)
            if names.contains(word) || omitsMistake() { continue }
            report(key, "unknown field \(word.inQuotes) in \(name)\(hint(for: word, among: names))")
        }
    }

    private func word(_ name: StaticString, in mapping: Int) -> String {
        guard let value = tree.pair(name, in: mapping)?.value, !tree.isNull(value) else { return "" }
        switch tree.kind(of: value) {
        case .sequence, .mapping: return ""
        default: return tree.string(of: value)
        }
    }
}
