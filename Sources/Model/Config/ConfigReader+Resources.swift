internal import YAML

extension ConfigReader {
    /// Reads a Kubernetes object: a `CNFConfiguration`, or a list of them.
    mutating func readResource(_ root: Int) {
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
        readSpec(spec)
    }

    private mutating func readSpec(_ spec: Int) {
        checkKeys(of: spec, ["microservice", "configItems"] + Self.groups, name: "spec")
        let owner = word("microservice", in: spec)
        let groups = tree.pairs(of: spec).filter { Self.groups.contains(tree.string(of: $0.key)) }
        let items = tree.pair("configItems", in: spec)?.value
        if items == nil, groups.isEmpty {
            return report(spec, "spec has no list 'configItems', nor \(Self.groupNames)")
        }
        readGroups(groups, owner: owner)
        guard let items else { return }
        guard tree.kind(of: items) == .sequence else { return report(items, "configItems must be a list") }
        // An item's data has a tree of its own; this one must be back in place for the next item.
        let source = decoder.source
        let number = text.sources.count - 1
        for item in source.tree.elements(of: items) {
            readItem(item, owner: owner)
            decoder.source = source
        }
        if text.sources.count - 1 != number { text.sources.append(source) }
    }

    private static let groupNames = groups.map { "'\($0)'" }.joined(separator: ", ")

    /// Reads what stands in a resource as it would in a file.
    private mutating func readGroups(_ groups: [(key: Int, value: Int)], owner: String) {
        guard let first = groups.first else { return }
        if owner.isEmpty {
            return report(
                first.key, "\(tree.string(of: first.key)) is for the microservice that spec names, and it names none")
        }
        guard resources.label == nil || owner == resources.label else { return }
        microservice = owner
        for (key, value) in groups { readGroup(key, value) }
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
        guard tree.kind(of: file).isScalar else {
            return report(file, "\(name.inQuotes) must be text: put '|' behind it")
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
        guard resources.label == nil || microservice == resources.label else { return }
        self.microservice = microservice
        let (module, type, version) = (word("module", in: item), word("type", in: item), word("version", in: item))
        let known = ModelRegistry.model(named: "\(module).\(type)")
        if resources.keepsUnknownModels, known == nil || !(version.isEmpty || version == known?.version) {
            return keep(item, module: module, type: type, version: version.isEmpty ? "v1" : version)
        }
        if module == "vpp" || module.hasPrefix("vpp.") {
            if !resources.isObject {
                return warn(item, "item \("\(module).\(type)".shortened) is skipped: there is no VPP here")
            }
            return report(item, "\("\(module).\(type)".shortened) is not taken: there is no VPP here")
        }
        guard let model = known else {
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
        if let root = enterData(data, holds: model.name) { add(model.kind, root) }
    }

    /// Makes the text of an item the one that is read; nil when it holds no document.
    private mutating func enterData(_ data: Int, holds name: String) -> Int? {
        guard tree.kind(of: data).isScalar else {
            report(data, "data must be text: put '|' behind 'data:'")
            return nil
        }
        let inner = tree.withBytes(of: data) { YAMLTree(parsing: $0) }
        if case .fields = decoder.source.origin {
            begin(Source(file: decoder.source.fieldName(data), tree: inner))
        } else {
            begin(Source(file: decoder.source.file, tree: inner, origin: origin(of: data)))
        }
        noteSyntax()
        guard inner.mistakes.isEmpty else { return nil }
        guard inner.documents.count == 1, let root = inner.documents.first, !inner.isNull(root) else {
            let position = decoder.source.position(line: 1, column: 1)
            text.mistakes.add(Mistake("data must hold one \(name)", at: position))
            return nil
        }
        return root
    }

    /// Takes an item that only its reader knows.
    private mutating func keep(_ item: Int, module: String, type: String, version: String) {
        let given = word("name", in: item)
        let position = decoder.source.position(of: item)
        guard !module.isEmpty, !type.isEmpty else { return report(item, "has no module or no type") }
        guard let data = tree.pair("data", in: item)?.value else { return report(item, "has no 'data'") }
        guard let root = enterData(data, holds: "\(module).\(type)") else { return }
        var name = given
        if name.isEmpty, tree.kind(of: root) == .mapping {
            let pair = tree.pairs(of: root).first { tree.string(of: $0.key).lowercased() == "name" }
            if let value = pair?.value, tree.kind(of: value) != .mapping, tree.kind(of: value) != .sequence {
                name = tree.string(of: value)
            }
        }
        let folder = String(module.map { $0 == "." ? "/" : $0 })
        let place = "config/\(folder)/\(version)/\(type)/"
        let key = Key.clean(place + name)
        let isPlain = !place.split(separator: "/").contains { $0 == "." || $0 == ".." }
        let cleaned = Key.clean(place)
        guard isPlain, key == cleaned || key.utf8.starts(with: (cleaned + "/").utf8),
            place.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
        else {
            return report(item, "has a name, module, version or type that leads out of its place")
        }
        text.unknownItems.append(
            ConfigText.UnknownItem(
                microservice: microservice, key: key,
                content: tree.value(of: root), position: position))
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
        return tree.kind(of: value).isScalar ? tree.string(of: value) : ""
    }
}
