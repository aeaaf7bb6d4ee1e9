internal import Logging

/// What is done with the name servers of all connections together.
struct NameServers: Sendable {
    private let mode: ServiceSettings.NameServerMode
    private let file: ResolverFile
    private let logger: Logger
    /// What was last done; nil: nothing yet.
    private var done: ResolverConfiguration?
    private var failure: String?

    init(_ settings: ServiceSettings, logger: Logger) {
        mode = settings.nameServers
        file = ResolverFile(path: settings.resolverFile)
        self.logger = logger
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
        let wanted = ResolverConfiguration(parts)
        if wanted == done, failure == nil { return }
        switch mode {
        case .off: done = wanted
        case .print:
            if done != nil || !wanted.isEmpty {
                logger.info("name servers", metadata: ["servers": "\(wanted.summary)"])
            }
            done = wanted
        case .file:
            if wanted.isEmpty, isPartial { return }
            write(wanted)
        }
    }

    private mutating func write(_ wanted: ResolverConfiguration) {
        let old = failure
        do throws(ResolverFile.Failure) {
            if wanted.isEmpty { try file.restore() } else { try file.write(wanted) }
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

    /// What became of the name servers that one connection gives, for status; nil when it gives none.
    func fact(of part: ResolverConfiguration) -> String? {
        if part.isEmpty { return nil }
        let fate =
            switch mode {
            case .off: "not used"
            case .print: "only shown"
            case .file: failure ?? "in \(file.path)"
            }
        return "name servers \(part.summary) (\(fate))"
    }
}
