internal import YAML

typealias Interface = Ligato_Linux_Interfaces_Interface
typealias Route = Ligato_Linux_L3_Route
typealias NetNamespace = Ligato_Linux_Namespace_NetNamespace

/// One step from a value to one of its fields.
enum PathPart: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// A field, by its name in the .proto file.
    case field(String)
    /// An element of a list.
    case element(Int)
    /// A key of a map.
    case key(String)

    init(stringLiteral value: String) { self = .field(value) }
    init(integerLiteral value: Int) { self = .element(value) }
}

/// Checks decoded values: each by itself, then all together.
///
/// Messages don't know their lines. Only when something is wrong is its place looked up, by walking the text's tree
/// along the path of fields; so what is right costs nothing extra.
struct Checker {
    /// Where a value was read.
    struct Place {
        var source: Int
        var node: Int
    }

    var config: LoadedConfig
    private(set) var mistakes = Findings()
    private(set) var warnings = Findings()
    /// The places of `config.items`.
    let places: [Place]
    let sources: [Source]
    /// What is known of the interfaces, for checks across them.
    var interfaces: [InterfaceFacts] = []
    /// From logical name to index in `interfaces`.
    var interfaceByName: [String: Int] = [:]
    /// Interfaces that are declared, but so wrongly that nothing more is known of them.
    var brokenInterfaces = Set<String>()
    /// What is known of clients and endpoints of network services.
    var services = ServiceFacts()
    /// Whether parts of the files could not be read: what seems to be missing may be there.
    var isIncomplete = false
    private var namespaceNumbers: [String: Int] = [:]

    init(config: LoadedConfig, places: [Place], sources: [Source]) {
        self.config = config
        self.places = places
        self.sources = sources
    }

    /// Runs every check.
    mutating func run() {
        findDuplicates()
        for item in config.items.indices {
            switch config.items[item].value {
            case .interface(let message): check(interface: message, item)
            case .arp(let message): check(arp: message, item)
            case .route(let message): check(route: message, item)
            case .ruleChain(let message): check(chain: message, item)
            case .allocation(let message): check(allocation: message, item)
            case .client(let message): check(client: message, item)
            case .endpoint(let message): check(endpoint: message, item)
            case .namespace(let message): check(namespace: message, item)
            case .rule(let message): check(rule: message, item)
            }
        }
        checkInterfacesTogether()
        checkServicesTogether()
    }

    /// A number for a namespace, equal for two references that certainly mean the same.
    mutating func number(of namespace: NetNamespace?) -> Int {
        guard let namespace else { return 0 }
        var text = namespace.keySuffix
        for folder in ["/namespace/fd//run/netns/", "/namespace/fd//var/run/netns/"] where text.hasPrefix(folder) {
            text = "/namespace/nsid/\(text.dropFirst(folder.count))"
        }
        if let number = namespaceNumbers[text] { return number }
        namespaceNumbers[text] = namespaceNumbers.count + 1
        return namespaceNumbers.count
    }
}

extension Checker {
    /// Notes a mistake: `MODEL 'NAME': PATH 'VALUE' TEXT`, at the place of the field.
    mutating func report(_ item: Int, _ path: [PathPart], value: String? = nil, _ text: String) {
        if mistakes.omitsNext() { return }
        mistakes.add(Mistake(sentence(item, path, value, text), at: position(of: path, in: item)))
    }

    /// Notes something that is not used.
    mutating func warn(_ item: Int, _ path: [PathPart], _ text: String) {
        if warnings.omitsNext() { return }
        warnings.add(Mistake(sentence(item, path, nil, text), at: position(of: path, in: item)))
    }

    /// `; did you mean 'x'?` for the first few mistakes, or nothing.
    func hint(for word: String, among candidates: some Sequence<String>) -> String {
        mistakes.wantsSuggestion ? Suggestion.phrase(for: word, among: candidates) : ""
    }

    /// Notes that a value can never be configured here.
    mutating func reject(_ item: Int, _ path: [PathPart], value: String? = nil, _ text: String) {
        let fields: [String] = path.compactMap { part in
            if case .field(let name) = part { return name }
            return nil
        }
        config.invalidValues.append(
            LoadedConfig.InvalidValue(
                key: config.items[item].key, position: position(of: path, in: item),
                text: sentence(item, path, value, text), fields: fields))
    }

    private func sentence(_ item: Int, _ path: [PathPart], _ value: String?, _ text: String) -> String {
        var words = "\(Label.of(config.items[item].value)):"
        var place = ""
        for part in path {
            switch part {
            case .field(let name): place += place.isEmpty ? name : ".\(name)"
            case .element(let index): place += "[\(index)]"
            case .key(let key): place += "[\(key.inQuotes)]"
            }
        }
        if !place.isEmpty { words += " \(place)" }
        if let value { words += " \(value.inQuotes)" }
        return "\(words) \(text)"
    }

    /// The place of a field; of what holds it when it was not written.
    func position(of path: [PathPart], in item: Int) -> SourcePosition {
        let source = sources[places[item].source]
        let tree = source.tree
        var node = places[item].node
        var type: Int? = Schema.modelMessages[config.items[item].value.kind.rawValue]
        for part in path {
            switch part {
            case .field(let name):
                guard tree.kind(of: node) == .mapping, let message = type,
                    let pair = tree.pairs(of: node).first(where: { pair in
                        Schema.plain.field(tree, key: pair.key, in: message)
                            .map { Schema.plain.names[$0].original == name } ?? false
                    }), let field = Schema.plain.field(tree, key: pair.key, in: message)
                else { return source.position(of: node) }
                node = pair.value
                if case .message(let inner) = Schema.plain.fields[field].type { type = inner } else { type = nil }
            case .element(let index):
                guard tree.kind(of: node) == .sequence,
                    let element = tree.elements(of: node).dropFirst(index).first(where: { _ in true })
                else { return source.position(of: node) }
                node = element
            case .key(let key):
                guard tree.kind(of: node) == .mapping,
                    let pair = tree.pairs(of: node).first(where: { tree.text(of: $0.key, equals: key.utf8) })
                else { return source.position(of: node) }
                node = pair.key
            }
        }
        return source.position(of: node)
    }
}

extension Checker {
    /// Finds values with one key. Routes that differ in metric are not duplicates: the one that wins keeps the key.
    private mutating func findDuplicates() {
        var first: [String: Int] = [:]
        first.reserveCapacity(config.items.count)
        var routes: [String: [Int]] = [:]
        for item in config.items.indices {
            let key = config.items[item].key
            guard let earlier = first[key] else {
                first[key] = item
                continue
            }
            if case .route = config.items[item].value {
                routes[key, default: [earlier]].append(item)
            } else {
                reportDuplicate(item, earlier)
            }
        }
        for key in routes.keys.sorted() { separate(routes[key] ?? [], key: key) }
    }

    private mutating func separate(_ items: [Int], key: String) {
        let sorted = items.map { (metric: effectiveMetric($0), item: $0) }
            .sorted { ($0.metric, $0.item) < ($1.metric, $1.item) }
        var previous: (metric: UInt32, item: Int)?
        for entry in sorted {
            if let before = previous, before.metric == entry.metric {
                reportDuplicate(entry.item, before.item)
                continue
            }
            if previous != nil { config.items[entry.item].key = "\(key)/metric/\(entry.metric)" }
            previous = entry
        }
    }

    /// The metric the kernel uses: an IPv6 route without one gets 1024 (`IP6_RT_PRIO_USER`).
    private func effectiveMetric(_ item: Int) -> UInt32 {
        guard case .route(let route) = config.items[item].value else { return 0 }
        return route.metric == 0 && route.dstNetwork.utf8.contains(UInt8(ascii: ":"))
            && !route.dstNetwork.hasPrefix("alloc:")
            ? 1024 : route.metric
    }

    private mutating func reportDuplicate(_ item: Int, _ earlier: Int) {
        report(item, [], "is declared twice; first at \(position(of: [], in: earlier))")
    }
}
