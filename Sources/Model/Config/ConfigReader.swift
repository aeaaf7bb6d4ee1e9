internal import YAML

/// Takes apart the documents of one text and collects their values.
struct ConfigReader {
    /// What is taken of Kubernetes objects.
    let resources: ResourceReading
    /// The microservice that the item being read is for, when all are taken.
    var microservice = ""
    var text: ConfigText
    var decoder: MessageDecoder
    /// The text that is being read.
    private var input = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Where its lines start; filled when first needed.
    private var lineStarts: [Int] = []
    /// Items of the text before, by their fingerprints.
    private let former: [Int: ConfigText.Item]

    /// Groups of a configuration file whose content is for VPP.
    private static let foreignGroups = ["vppConfig", "vpp_config"]
    static let groups = ["linuxConfig", "netallocConfig", "cnfConfig"]
    private static let otherGroups = ["linux_config": "linuxConfig", "netalloc_config": "netallocConfig"]

    init(name: String, resources: ResourceReading, names: NameResolver, former: ConfigText? = nil) {
        self.resources = resources
        let items = (former?.items ?? []).lazy.compactMap { item in item.fingerprint.map { ($0, item) } }
        self.former = Dictionary(items) { first, _ in first }
        text = ConfigText(name: name)
        decoder = MessageDecoder(source: Source(file: name, tree: YAMLTree(parsing: "")), names: names)
    }

    /// Reads the text.
    mutating func read(_ bytes: UnsafeRawBufferPointer) {
        input = bytes
        defer { input = UnsafeRawBufferPointer(start: nil, count: 0) }
        let origin: Source.Origin = resources.isObject ? .fields : .file
        begin(Source(file: text.name, tree: YAMLTree(parsing: bytes), origin: origin))
        noteSyntax()
        for root in decoder.source.tree.documents { readDocument(root) }
    }

    /// What was read.
    consuming func finish() -> ConfigText {
        var text = text
        text.mistakes.add(decoder.mistakes)
        text.mistakes.finish()
        text.warnings.finish()
        text.usesNames = decoder.lookups > 0
        return text
    }

    mutating func begin(_ source: Source) {
        text.sources.append(source)
        decoder.source = source
    }

    var tree: YAMLTree { decoder.source.tree }

    mutating func noteSyntax() {
        let found = decoder.source.mistakes
        if !found.isEmpty { text.isIncomplete = true }
        for mistake in found { text.mistakes.add(mistake) }
        text.mistakes.omit(tree.omittedMistakes)
    }

    mutating func report(_ node: Int, _ problem: String) {
        text.isIncomplete = true
        text.mistakes.add(Mistake(problem, at: decoder.source.position(of: node), hidesSource: holdsSecret(node)))
    }

    /// Whether a mistake is only counted, as there are many before it.
    mutating func omitsMistake() -> Bool {
        text.isIncomplete = true
        return text.mistakes.omitsNext()
    }

    /// Whether a node is a word that announces a key, such as an unknown field `privateKey`.
    private func holdsSecret(_ node: Int) -> Bool { SecretText.isName(tree.string(of: node)) }

    mutating func warn(_ node: Int, _ problem: String) {
        text.warnings.add(Mistake(problem, at: decoder.source.position(of: node)))
    }

    /// `; did you mean 'x'?` for the first few mistakes, or nothing.
    func hint(for word: String, among candidates: some Sequence<String>) -> String {
        text.mistakes.wantsSuggestion ? Suggestion.phrase(for: word, among: candidates) : ""
    }

    mutating func add(_ kind: ModelDescription.Kind, _ node: Int) {
        let fingerprint = fingerprint(kind, node)
        let known = fingerprint.flatMap { former[$0] }
        if known != nil { text.reused += 1 }
        guard var item = known ?? read(kind, node, fingerprint) else { return }
        item.position = decoder.source.position(of: node)
        item.place = ConfigText.Place(source: Int32(text.sources.count - 1), node: Int32(node))
        text.items.append(item)
        if resources.label == nil { text.microservices.append(microservice) }
    }

    /// Keyed anew in each process, so nobody can make two that are the same.
    private func fingerprint(_ kind: ModelDescription.Kind, _ node: Int) -> Int? {
        var hasher = Hasher()
        hasher.combine(kind)
        hasher.combine(decoder.source.origin.number)
        return tree.hash(node, into: &hasher) ? hasher.finalize() : nil
    }

    /// Decodes and checks a value; nil when it can't be decoded.
    private mutating func read(
        _ kind: ModelDescription.Kind, _ node: Int, _ fingerprint: Int?
    ) -> ConfigText.Item? {
        let before = (lookups: decoder.lookups, warnings: text.warnings.count)
        guard let value = decoder.decode(kind, node)?.inFull else {
            if kind == .interface { text.brokenInterfaces.append(Label.name(of: kind, decoder.source, node)) }
            if let part = decoder.part(kind) { noteMalformed(part, node) }
            return nil
        }
        if case .interface(let message) = value { warnOfMissingState(message, node) }
        let checked = value.checked(suggestions: text.mistakes.suggestionsLeft)
        let key = value.key
        for finding in checked.findings { note(finding, of: value, key, node) }
        text.mistakes.omit(checked.omittedMistakes)
        if checked.specification == nil, case .interface(let message) = value {
            text.brokenInterfaces.append(message.name)
        }
        let places = places(of: value, node)
        let isPlain =
            places == nil && checked.findings.isEmpty && checked.omittedMistakes == 0
            && before == (decoder.lookups, text.warnings.count)
        return ConfigText.Item(
            key: key, value: value, specification: checked.specification?.with(places),
            position: decoder.source.position(of: node), place: ConfigText.Place(source: 0, node: 0),
            fingerprint: isPlain ? fingerprint : nil)
    }

    /// An interface that is made stays down unless its file says otherwise, which is rarely meant.
    private mutating func warnOfMissingState(_ message: Ligato_Linux_Interfaces_Interface, _ node: Int) {
        guard case .file = decoder.source.origin, message.type != .existing, message.type != .loopback,
            !message.enabled, !decoder.source.node(of: ["enabled"], in: .interface, node).isWritten,
            !text.warnings.omitsNext()
        else { return }
        warn(
            node,
            "interface \(message.name.inQuotes) stays down; write 'enabled: true', or 'enabled: false' if that is meant"
        )
    }

    /// Notes what is wrong with the fields of a value that is not there as a whole. What could follow from missing fields is
    /// not said, nor anything of fields that the decoder has complained of.
    private mutating func noteMalformed(_ part: ModelValue, _ node: Int) {
        let label = Label.of(part.kind, decoder.source, node)
        let known = Set(decoder.mistakes.list.map(\.position))
        for finding in part.checked(suggestions: 0).findings where finding.isMalformed {
            let position = decoder.source.position(of: finding.path, in: part.kind, node)
            if known.contains(position) || text.mistakes.omitsNext() { continue }
            text.mistakes.add(Mistake("\(label): \(finding)", at: position, hidesSource: finding.isSecret))
        }
    }

    private mutating func note(_ finding: Finding, of value: ModelValue, _ key: String, _ node: Int) {
        var inner: SourcePosition?
        if case .place(let line, let column)? = finding.path.last {
            inner = places(of: value, node)?.position(line: line, column: column)
        }
        let position = decoder.source.position(of: finding.path, in: value.kind, node)
        func mistake() -> Mistake {
            Mistake(value.sentence(finding), at: inner ?? position, hidesSource: finding.isSecret)
        }
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
    mutating func readDocument(_ root: Int) {
        if tree.isNull(root) { return }
        if let format = foreignFormat(of: root) {
            text.saysSomething = true
            return report(root, Self.text(of: format))
        }
        guard tree.kind(of: root) == .mapping else {
            return report(root, "the document must be a mapping, such as 'linuxConfig:' with what belongs to it")
        }
        if tree.pair("apiVersion", in: root) != nil || tree.pair("kind", in: root) != nil {
            readResource(root)
        } else {
            for (key, value) in tree.pairs(of: root) { readGroup(key, value) }
        }
    }

    mutating func readGroup(_ key: Int, _ value: Int) {
        let word = tree.string(of: key)
        if Self.foreignGroups.contains(word) {
            return warn(key, "'\(word)' is skipped: there is no VPP here")
        }
        let group = Self.otherGroups[word] ?? word
        guard Self.groups.contains(group) else {
            if omitsMistake() { return }
            if let owner = ModelRegistry.all.first(where: { $0.list == word || $0.otherList == word })?.group {
                return report(key, "\(word.inQuotes) belongs to \(owner): indent it, so that it stands under it")
            }
            let known = Self.groups + Self.foreignGroups
            let hint = hint(for: word, among: known)
            let all = "; it has \(Self.groups.joined(separator: ", "))"
            return report(key, "unknown field \(word.inQuotes) in the configuration\(hint.isEmpty ? all : hint)")
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
    /// Where the text of a scalar lies in the file. Only a `|` block keeps its lines apart and unchanged.
    mutating func origin(of node: Int) -> Source.Origin {
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
        if case .fields = source.origin { return nil }
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
        case .interface, .arp, .route, .allocation, .client, .endpoint, .service, .namespace, .rule, .forwarding,
            .qdisc, .nextHop:
            return nil
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
}
