internal import Logging
internal import MeshTransport
internal import NSM

/// What is done with the name servers of all connections together.
struct NameServers: Sendable {
    /// What is in force depends on it.
    private struct Wish: Equatable {
        var parts: [ResolverConfiguration]
        var isPartial: Bool
        var standing: LocalResolver.Standing?
    }

    private let mode: ServiceSettings.NameServerMode
    private let file: ResolverFile
    private let place: ResolverAddress
    private let logger: Logger
    /// nil: there is none.
    let resolver: LocalResolver?
    /// What was last done; nil: nothing yet.
    private var done: ResolverConfiguration?
    private var last: Wish?
    private var failure: String?

    init(_ settings: ServiceSettings, logger: Logger) {
        mode = settings.nameServers
        file = ResolverFile(path: settings.resolverFile)
        place = settings.resolverAddress
        self.logger = logger
        switch mode {
        case .off, .print, .file: resolver = nil
        case .resolver:
            do throws(TransportError) {
                resolver = LocalResolver(UpstreamExchange(on: try EventLoops.shared()), logger: logger)
            } catch {
                resolver = nil
                failure = "no resolver: \(error)"
                logger.error("no resolver", metadata: ["error": "\(error)"])
            }
        }
    }

    /// Puts back a file of an earlier life of ours that was killed, and whose resolver nobody replaces now.
    ///
    /// With a resolver of our own, the file follows how that stands; but not when it is asked elsewhere.
    func begin() {
        guard let server = file.onlyServer, server.isLoopback || server == place.asked else { return }
        if mode == .resolver, server == place.asked { return }
        guard ResolverAddress(server, port: ResolverAddress.standardPort).isDeserted else { return }
        do throws(ResolverFile.Failure) {
            try file.restore()
            logger.info(
                "name servers", metadata: ["file": "\(file.path)", "servers": "as it was: no resolver at \(server)"])
        } catch {
            logger.error("name servers", metadata: ["error": "\(error)"])
        }
    }

    /// Whether anything is done with them.
    var isUsed: Bool { mode != .off }

    /// Applies what the connections give.
    ///
    /// - Parameters:
    ///   - parts: Of each connection, in an order that does not change.
    ///   - isPartial: Whether connections are declared of which is not known yet what they give. A file of an earlier life
    ///     of ours then stays until one of them says something.
    mutating func apply(_ parts: [ResolverConfiguration], isPartial: Bool) {
        let wish = Wish(parts: parts, isPartial: isPartial, standing: resolver?.standing)
        if wish == last, failure == nil { return }
        last = wish
        let wanted = ResolverConfiguration(parts)
        switch mode {
        case .off: done = wanted
        case .print:
            if wanted != done, done != nil || !wanted.isEmpty {
                logger.info("name servers", metadata: ["servers": "\(wanted.summary)"])
            }
            done = wanted
        case .file:
            if wanted == done && failure == nil || wanted.isEmpty && isPartial { return }
            settle(wanted) { file throws(ResolverFile.Failure) in try file.write(wanted) }
        case .resolver:
            guard let resolver else { return }
            apply(parts, wanted, isPartial, resolver)
        }
    }

    /// Gives the resolver its routes, and the file the resolver, while it can be asked.
    private mutating func apply(
        _ parts: [ResolverConfiguration], _ wanted: ResolverConfiguration, _ isPartial: Bool, _ resolver: LocalResolver
    ) {
        let original = (try? file.original()) ?? ResolverConfiguration()
        switch resolver.standing {
        case .starting: return
        case .listening(let address):
            resolver.use(ResolverRoutes(parts, original: original, own: [address.address, address.asked]))
            // The file can't say another port. What it says from an earlier life of ours is true again.
            guard address.port == ResolverAddress.standardPort else { return settle(ResolverConfiguration()) }
            if wanted.isEmpty, isPartial { return }
            var local = ResolverConfiguration()
            if !wanted.isEmpty { local.add(servers: ["\(address.asked)"], search: wanted.search) }
            settle(local) { file throws(ResolverFile.Failure) in try file.write(local, isAlone: true) }
        case .failed(_, let isTaken):
            // A file of an earlier life of ours names nobody any more; but what another agent wrote is true.
            let isStale = !isTaken && file.onlyServer == place.asked
            if isStale || done?.isEmpty == false { settle(ResolverConfiguration()) }
        }
    }

    /// Puts the file back when nobody will answer any more.
    mutating func leave() {
        guard case .listening? = resolver?.standing else { return }
        settle(ResolverConfiguration())
    }

    /// Makes the file what is wanted, and as it was when nothing is.
    private mutating func settle(
        _ wanted: ResolverConfiguration,
        write: (ResolverFile) throws(ResolverFile.Failure) -> Void = { _ throws(ResolverFile.Failure) in }
    ) {
        let old = failure
        do throws(ResolverFile.Failure) {
            if wanted.isEmpty { try file.restore() } else { try write(file) }
            if done != wanted, done != nil || !wanted.isEmpty {
                let text = wanted.isEmpty ? "as it was" : wanted.summary
                logger.info("name servers", metadata: ["file": "\(file.path)", "servers": "\(text)"])
            }
            done = wanted
            failure = nil
        } catch {
            failure = error.description
            if old != failure { logger.error("name servers", metadata: ["error": "\(error)"]) }
        }
    }

    /// What became of the name servers that one connection gives, for status; none when it gives none.
    func facts(of part: ResolverConfiguration) -> [String] {
        if part.isEmpty { return [] }
        let fate =
            switch mode {
            case .off: "not used"
            case .print: "only shown"
            case .file: failure ?? "in \(file.path)"
            case .resolver: failure ?? "asked by the resolver"
            }
        return ["name servers \(part.summary) (\(fate))"] + (resolver.map { [$0.summary] } ?? [])
    }
}
