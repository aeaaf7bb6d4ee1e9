public import YAML

/// A file of another program.
public struct ForeignFile: Sendable {
    /// Stands for it in positions.
    public var name: String
    /// UTF-8.
    public var bytes: [UInt8]

    /// Makes one.
    public init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }
}

/// Why files can't be converted at all.
public struct ConversionFailure: Error, Sendable {
    /// What is wrong, by place.
    public let mistakes: [Mistake]
    /// How many more mistakes there are.
    public let omitted: Int

    init(_ mistakes: [Mistake], omitted: Int = 0) {
        self.mistakes = mistakes
        self.omitted = omitted
    }
}

/// Files of another program as values of ours.
///
/// Nothing is guessed: what has no counterpart is listed with its place, and why. The values are right by themselves and together, as
/// ``ConfigLoader`` checks them.
public struct Conversion: Sendable {
    /// Which program the files are for.
    public let format: ForeignFormat
    /// What has a counterpart.
    public private(set) var values: [ModelValue] = []
    /// What has none, by place; the first 1000.
    public private(set) var leftOut: [Mistake] = []
    /// How much more has none.
    public private(set) var omitted = 0

    /// The most bytes of all files together.
    public static let maximumByteCount = 8 << 20
    /// The most files.
    public static let maximumFileCount = 1000
    /// How often values that don't fit are taken out. Each time up to 100 are.
    private static let mostRounds = 20

    /// The file of ours that they make.
    public var document: Tree { ConfigDocument.whole(of: values) }

    /// How many things have no counterpart.
    public var leftOutCount: Int { leftOut.count + omitted }

    /// Converts files, in their order.
    ///
    /// - Parameters:
    ///   - files: Files of one program.
    ///   - format: Which program that is; nil: what they look like.
    ///   - namespace: The network namespace that stands for a container, in a configuration of CNI; nil: its network's name.
    /// - Throws: what is wrong, when a file can't be read or is for no program that is known.
    public init(
        _ files: [ForeignFile], from format: ForeignFormat? = nil, namespace: String? = nil
    ) throws(ConversionFailure) {
        try Self.checkSize(files)
        var draft = ConversionDraft()
        draft.containerNamespace = namespace ?? ""
        let known: ForeignFormat
        if let format { known = format } else { known = try Self.format(of: files) }
        self.format = known
        if known == .networkd {
            try draft.readNetworkd(files)
        } else {
            for file in files { try draft.read(file, as: known) }
        }
        if draft.isFull {
            throw ConversionFailure([
                Mistake(
                    file: files[0].name, line: 0, column: 0,
                    text: "the files make more than \(ConversionDraft.mostValues) values; convert them in parts")
            ])
        }
        draft.finish()
        try settle(&draft)
    }

    private static func checkSize(_ files: [ForeignFile]) throws(ConversionFailure) {
        guard let first = files.first else { throw ConversionFailure([]) }
        func fail(_ text: String) -> ConversionFailure {
            ConversionFailure([Mistake(file: first.name, line: 0, column: 0, text: text)])
        }
        if files.count > maximumFileCount { throw fail("these are more than \(maximumFileCount) files") }
        var size = 0
        for file in files {
            size += file.bytes.count
            if size > maximumByteCount { throw fail("the files have more than \(maximumByteCount >> 20) MiB") }
        }
    }

    /// What all files look like.
    private static func format(of files: [ForeignFile]) throws(ConversionFailure) -> ForeignFormat {
        var known: (format: ForeignFormat, file: String)?
        for file in files {
            guard let format = Self.format(of: file) else { continue }
            if let known, known.format != format {
                throw ConversionFailure([
                    Mistake(
                        file: file.name, line: 0, column: 0,
                        text:
                            "this is \(format.words), but \(known.file) is \(known.format.words); convert them one by one"
                    )
                ])
            }
            known = known ?? (format, file.name)
        }
        if let known { return known.format }
        let names = ForeignFormat.allCases.map(\.rawValue).joined(separator: ", ")
        throw ConversionFailure([
            Mistake(
                file: files[0].name, line: 0, column: 0,
                text:
                    "it does not look like a file of another program that is known here; say which one it is with --from: \(names)"
            )
        ])
    }

    private static func format(of file: ForeignFile) -> ForeignFormat? {
        if UnitFile.isUnit(file) { return .networkd }
        let tree = file.bytes.withUnsafeBytes { YAMLTree(parsing: $0) }
        for root in tree.documents {
            if let format = ForeignFormat.of(tree, root) { return format }
            // The object in which Kubernetes keeps a state of nmstate.
            if let version = tree.pair("apiVersion", in: root)?.value, tree.kind(of: version).isScalar,
                tree.string(of: version).hasPrefix("nmstate.io/")
            {
                return .nmstate
            }
        }
        return nil
    }

    /// Takes out what is wrong with the values as ours, until nothing is.
    private mutating func settle(_ draft: inout ConversionDraft) throws(ConversionFailure) {
        var pieces = draft.all
        for _ in 0...Self.mostRounds {
            let (wrong, rest) = Self.mistakes(of: pieces)
            if wrong.isEmpty {
                // What belongs to no value would be refused with all of them.
                if let rest, let first = pieces.first {
                    throw ConversionFailure([
                        Mistake("what this makes can't be a file of ours: \(rest)", at: first.place)
                    ])
                }
                values = pieces.map(\.value)
                leftOut = draft.leftOut.sorted()
                omitted = draft.omitted
                return
            }
            for (index, text) in wrong.sorted(by: { $0.key < $1.key }) {
                draft.leave(pieces[index].place, pieces[index].value.name, "it can't be here: \(text)")
            }
            Self.remove(Set(wrong.keys), from: &pieces)
        }
        throw ConversionFailure(pieces.prefix(1).map { Mistake("too much of it can't be converted", at: $0.place) })
    }

    /// What is wrong with values, by their indexes, and with none of them.
    private static func mistakes(of pieces: [ConversionDraft.Piece]) -> (wrong: [Int: String], rest: String?) {
        if pieces.isEmpty { return ([:], nil) }
        let text = YAMLWriter.write(ConfigDocument.whole(of: pieces.map(\.value)))
        let config = ConfigLoader.load(bytes: Array(text.utf8), name: "converted")
        var (wrong, rest): ([Int: String], String?) = ([:], nil)
        let lines = lines(of: pieces.map(\.value), in: text)
        for mistake in config.mistakes + config.invalidValues.map({ Mistake($0.text, at: $0.position) }) {
            if let index = lines.last(where: { $0.line <= mistake.line })?.index {
                wrong[index] = wrong[index] ?? mistake.text
            } else {
                rest = rest ?? mistake.text
            }
        }
        return (wrong, rest)
    }

    /// Where each value starts in a text.
    private static func lines(of values: [ModelValue], in text: String) -> [(line: Int, index: Int)] {
        var indexes: [ModelDescription.Kind: [Int]] = [:]
        for (index, value) in values.enumerated() { indexes[value.kind, default: []].append(index) }
        let tree = YAMLTree(parsing: text)
        var lines: [(line: Int, index: Int)] = []
        for root in tree.documents where tree.kind(of: root) == .mapping {
            for (group, lists) in tree.pairs(of: root) where tree.kind(of: lists) == .mapping {
                for (key, list) in tree.pairs(of: lists) {
                    let (group, name) = (tree.string(of: group), tree.string(of: key))
                    guard let model = ModelRegistry.all.first(where: { $0.group == group && $0.list == name }),
                        tree.kind(of: list) == .sequence
                    else { continue }
                    for (element, index) in zip(tree.elements(of: list), indexes[model.kind] ?? []) {
                        lines.append((Int(tree[element].line), index))
                    }
                }
            }
        }
        return lines.sorted { $0.line < $1.line }
    }

    /// Removes values, and interfaces among them from those that they are ports of.
    private static func remove(_ wrong: Set<Int>, from pieces: inout [ConversionDraft.Piece]) {
        let names = Set(
            wrong.compactMap { index in
                if case .interface(let message) = pieces[index].value { message.name } else { nil }
            })
        pieces = pieces.enumerated().filter { !wrong.contains($0.offset) }.map(\.element)
        if names.isEmpty { return }
        for (index, piece) in pieces.enumerated() {
            guard case .interface(var message) = piece.value else { continue }
            if message.type == .bridge {
                message.bridge.ports.removeAll { names.contains($0) }
                message.bridge.portSettings.removeAll { names.contains($0.interface) }
            } else if message.type == .bond {
                message.bond.ports.removeAll { names.contains($0) }
            } else if names.contains(message.vrfMasterInterface) {
                message.vrfMasterInterface = ""
            } else {
                continue
            }
            pieces[index].value = .interface(message)
        }
    }
}

extension ConversionDraft {
    /// Reads a file of YAML or JSON, which is YAML.
    fileprivate mutating func read(_ file: ForeignFile, as format: ForeignFormat) throws(ConversionFailure) {
        source = Source(file: file.name, tree: file.bytes.withUnsafeBytes { YAMLTree(parsing: $0) })
        taken = []
        if !source.mistakes.isEmpty { throw ConversionFailure(source.mistakes, omitted: tree.omittedMistakes) }
        for root in tree.documents where !tree.isNull(root) {
            guard tree.kind(of: root) == .mapping else {
                throw ConversionFailure([Mistake("this is not \(format.words): it is not a mapping", at: place(root))])
            }
            switch format {
            case .netplan: readNetplan(root)
            case .nmstate: readNMState(root)
            case .ifstate: readIfState(root)
            case .cni: readCNI(root)
            // Units are no YAML.
            case .networkd: break
            }
            leaveRest(below: root)
        }
    }
}
