internal import Concurrency
public import EtcdClient
internal import YAML

/// What a file `etcd.conf` says, with the keys and defaults of the ancestor of this agent.
///
/// | key | unless set |
/// |---|---|
/// | `endpoints` | `$ETCD_ENDPOINTS`, `$ETCDV3_ENDPOINTS`, `127.0.0.1:2379` |
/// | `dial-timeout`, `operation-timeout` | `1s`, `3s` |
/// | `insecure-transport`, `insecure-skip-tls-verify` | `false` |
/// | `cert-file`, `key-file`, `ca-file` | no TLS |
/// | `auto-compact` | off |
/// | `reconnect-interval` | `2s` |
/// | `session-ttl` | 5 |
/// | `expand-env-variables` | `$ETCD_EXPAND_ENV_VARS` |
/// | `allow-delayed-start`, `resync-after-reconnect` | always |
///
/// Times are nanoseconds, or text such as `1s`. Upper and lower case of keys count for nothing.
public struct EtcdFile: Sendable {
    /// How to talk to etcd.
    public private(set) var client = EtcdConfiguration()
    /// How long what is bound to the agent's life outlives it, seconds.
    public private(set) var sessionSeconds: Int64 = 5
    /// Whether `$NAME` in values stands for a variable of the environment.
    public private(set) var expandsVariables = false
    /// How much of the past etcd is to keep; nil: that is for others to say.
    public private(set) var history: Duration?
    /// Keys that mean nothing here, sorted.
    public private(set) var ignored: [String] = []
    /// What else is to be said of it.
    public private(set) var warnings: [String] = []

    /// Something in the file is wrong.
    public struct Mistake: Error, Sendable, CustomStringConvertible {
        /// Where, what, and what would be right.
        public let description: String
    }

    private var isInsecure = false
    private var tls = EtcdConfiguration.TLS()

    /// Reads the file's text.
    ///
    /// - Parameters:
    ///   - path: Stands for the text in mistakes.
    ///   - environment: The value of a variable.
    /// - Throws: ``Mistake``.
    public init(_ text: String, path: String, environment: (String) -> String?) throws(Mistake) {
        for name in ["ETCDV3_ENDPOINTS", "ETCD_ENDPOINTS"] {
            guard let text = environment(name), !text.isEmpty else { continue }
            client.endpoints = try Self.endpoints(text.split(separator: ",").map(String.init), "$\(name)")
        }
        if let text = environment("ETCD_EXPAND_ENV_VARS"), !text.isEmpty { expandsVariables = true }
        let tree = YAMLTree(parsing: text)
        if let mistake = tree.mistakes.first {
            throw Mistake(description: "\(path):\(mistake.line):\(mistake.column): \(mistake.text)")
        }
        if let root = tree.documents.first, !tree.isNull(root) {
            guard tree.kind(of: root) == .mapping else {
                throw Mistake(description: "\(path):1:1: settings are needed, such as 'endpoints: [127.0.0.1:2379]'")
            }
            for (key, value) in tree.pairs(of: root) {
                let setting = Setting(tree: tree, node: value, name: tree.string(of: key), path: path)
                if !tree.isNull(value) { try take(setting) }
            }
        }
        if tls != .init(), !isInsecure { client.tls = tls }
        // Who only says not to look at the certificate has none to show, and no TLS.
        if tls.authorities == nil, tls.certificate == nil, tls.key == nil { client.tls = nil }
        ignored.sort()
    }

    private mutating func take(_ setting: Setting) throws(Mistake) {
        switch setting.name.lowercased() {
        case "endpoints": client.endpoints = try Self.endpoints(try setting.texts(), setting.place)
        case "dial-timeout": client.dialTimeout = try setting.duration()
        case "operation-timeout": client.operationTimeout = try setting.duration()
        case "reconnect-interval": client.longestWait = try setting.duration()
        case "insecure-transport": isInsecure = try setting.flag()
        case "insecure-skip-tls-verify": tls.acceptsAnyServer = try setting.flag()
        case "cert-file": tls.certificate = try setting.fileName()
        case "key-file": tls.key = try setting.fileName()
        case "ca-file": tls.authorities = try setting.fileName()
        case "session-ttl": sessionSeconds = try setting.number(1...86_400)
        case "expand-env-variables": if try setting.flag() { expandsVariables = true }
        case "auto-compact": try takeHistory(setting)
        case "allow-delayed-start", "resync-after-reconnect":
            if try !setting.flag() { warnings.append("\(setting.place): '\(setting.name)' is always true here") }
        default: ignored.append(setting.name)
        }
    }

    private mutating func takeHistory(_ setting: Setting) throws(Mistake) {
        let time = try setting.duration(allowsZero: true)
        if time == .zero { return }
        guard time >= .seconds(60) else {
            throw Mistake(description: "\(setting.place): '\(setting.name)' must be 0 or at least 1m")
        }
        history = time
        if time < .seconds(3600) {
            warnings.append("\(setting.place): what is older than \(time) is removed from etcd; 60m or more is usual")
        }
    }

    private static func endpoints(_ texts: [String], _ place: String) throws(Mistake) -> [EtcdEndpoint] {
        var endpoints: [EtcdEndpoint] = []
        for text in texts {
            guard let endpoint = EtcdEndpoint(text) else {
                throw Mistake(description: "\(place): '\(text)' is not an endpoint; host:port is needed")
            }
            endpoints.append(endpoint)
        }
        guard !endpoints.isEmpty else {
            throw Mistake(description: "\(place): an endpoint is needed, such as 127.0.0.1:2379")
        }
        return endpoints
    }
}

/// One setting of a file.
private struct Setting {
    let tree: YAMLTree
    let node: Int
    let name: String
    let path: String

    var place: String { "\(path):\(tree[node].line):\(tree[node].column)" }

    private func wrong(_ what: String) -> EtcdFile.Mistake {
        EtcdFile.Mistake(description: "\(place): '\(name)' must be \(what)")
    }

    private func plainText(_ node: Int) -> String? {
        switch tree.kind(of: node) {
        case .mapping, .sequence: nil
        case .plain, .quoted, .literal, .folded, .alias, .merge: tree.string(of: node)
        }
    }

    func texts() throws(EtcdFile.Mistake) -> [String] {
        guard tree.kind(of: node) == .sequence else {
            guard let text = plainText(node) else { throw wrong("a list of host:port") }
            return [text]
        }
        var texts: [String] = []
        for element in tree.elements(of: node) {
            guard let text = plainText(element) else { throw wrong("a list of host:port") }
            texts.append(text)
        }
        return texts
    }

    func fileName() throws(EtcdFile.Mistake) -> String? {
        guard let text = plainText(node) else { throw wrong("the path of a file") }
        return text.isEmpty ? nil : text
    }

    func flag() throws(EtcdFile.Mistake) -> Bool {
        guard let text = plainText(node), case .bool(let isSet) = YAMLScalar(plain: text) else {
            throw wrong("true or false")
        }
        return isSet
    }

    func number(_ range: ClosedRange<Int64>) throws(EtcdFile.Mistake) -> Int64 {
        guard let text = plainText(node), let number = Int64(text), range.contains(number) else {
            throw wrong("a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func duration(allowsZero: Bool = false) throws(EtcdFile.Mistake) -> Duration {
        let text = plainText(node) ?? ""
        guard let time = Int64(text).map(Duration.nanoseconds) ?? GoDuration.parse(text),
            (Duration.milliseconds(100)...Duration.seconds(365 * 86_400)).contains(time)
                || (allowsZero && time == .zero)
        else { throw wrong("a time from 100ms to 8760h, such as 1s, or nanoseconds") }
        return time
    }
}
