internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
internal import MeshTransport
internal import Model

/// Says who may ask for what.
struct RequestGate: Sendable {
    /// What a request may do.
    enum Right: Sendable {
        case change
        /// Only look, for a reason to tell.
        case look(String)
        /// Not even that, before it says who it is.
        case nothing
        /// It comes from a page of somebody else, or under a name that is not ours.
        case foreign(String)
    }

    let settings: RESTSettings
    private let hostNames: Set<String>

    init(_ settings: RESTSettings) {
        self.settings = settings
        var names: Set<String> = ["localhost"]
        names.formUnion(settings.names.map { $0.lowercased() })
        var own = [CChar](repeating: 0, count: 256)
        if gethostname(&own, own.count - 1) == 0 {
            names.insert(
                String(decoding: own.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).lowercased())
        }
        hostNames = names
    }

    func right(_ request: Request, _ peer: HTTPPeer) -> Right {
        if peer.isUnix { return settings.isReadOnly ? .look(settings.readOnlyReason) : .change }
        if let foreign = foreignness(request) { return .foreign(foreign) }
        let known: Credentials.Known?
        switch credentials(request) {
        case .known(let found): known = found
        case .wrong: return .nothing
        case .none: known = nil
        }
        let isRoot = peer.user.map(AgentUser.isTrusted) ?? false
        let isTrusted = isRoot || peer.hasCertificate || known == .all
        let isGuarded = !settings.users.isEmpty || settings.sessions != nil
        if settings.isReadOnly {
            return isTrusted || known != nil || !isGuarded ? .look(settings.readOnlyReason) : .nothing
        }
        if isTrusted || settings.isInsecure { return .change }
        if known == .look { return .look("this user of http.conf may only look: its permissions lack 'admin'") }
        if isGuarded { return .nothing }
        return .look(
            "only root of this host may change things here; use the Unix socket, or give users in http.conf, or the setting http: {insecure: true}"
        )
    }

    // MARK: - Names

    /// Why a request is not meant for us, or not made by who it seems to be.
    private func foreignness(_ request: Request) -> String? {
        let host = request.head.authority ?? ""
        // Programs without a browser may leave it out.
        if !host.isEmpty, !isOurs(Self.name(ofHost: host)) {
            return "the name '\(host.prefix(100))' is not ours; the setting http: {name: [...]} makes it so"
        }
        guard let origin = request.headers[.origin] else { return nil }
        let rest = origin.hasPrefix("https://") ? origin.dropFirst(8) : origin.dropFirst(7)
        let isPage = origin.hasPrefix("http://") || origin.hasPrefix("https://")
        if isPage, !host.isEmpty, rest.lowercased() == host.lowercased() { return nil }
        return "pages of '\(origin.prefix(100))' may not ask here"
    }

    private func isOurs(_ name: String) -> Bool {
        if hostNames.contains(name) { return true }
        // A page that was loaded under a name can't pretend to come from a numeric address.
        var bytes = in6_addr()
        return inet_pton(AF_INET, name, &bytes) == 1 || inet_pton(AF_INET6, name, &bytes) == 1
    }

    private static func name(ofHost host: String) -> String {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            let rest = host[host.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return host }
            return String(host[host.index(after: host.startIndex)..<end])
        }
        return String(host.prefix { $0 != ":" }).lowercased()
    }

    // MARK: - Credentials

    private enum Credentials {
        /// What somebody may do who said who he is.
        enum Known {
            case all
            case look
        }

        case none
        case known(Known)
        case wrong
    }

    private func credentials(_ request: Request) -> Credentials {
        if let sessions = settings.sessions, let token = SessionToken.of(request) {
            return sessions.account(token).map { .known($0.mayChange ? .all : .look) } ?? .wrong
        }
        guard let header = request.headers[.authorization] else { return .none }
        guard header.lowercased().hasPrefix("basic "), let bytes = Base64.decode(header.dropFirst(6).utf8) else {
            return .wrong
        }
        var isRight = false
        for user in settings.users {
            // As long for a wrong one as for the right one.
            if Secret.isSame(bytes, Array("\(user.name):\(user.password)".utf8)) { isRight = true }
        }
        return isRight ? .known(.all) : .wrong
    }
}
