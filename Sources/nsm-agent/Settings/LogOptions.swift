internal import Agent
internal import ArgumentParser
internal import Logging

/// What the commands that stay log.
struct LogOptions: ParsableArguments, Sendable {
    @Option(
        help:
            "Least level that is logged: trace, debug, info, notice, warning, error. (default: $NSM_LOG_LEVEL, $INITIAL_LOGLVL or info)"
    )
    var logLevel: String?
    @Option(help: "How log lines look: text or json.")
    var logFormat = LogFormat.text

    mutating func validate() throws {
        if let logLevel, Logger.Level(name: logLevel) == nil {
            throw ValidationError(
                "there is no log level '\(logLevel)'; use trace, debug, info, notice, warning or error")
        }
    }

    /// The level is the given one, that of the environment, or `info`.
    var logger: Logger { logger(orOf: environment("NSM_LOG_LEVEL")) }

    /// - Parameter other: The default level, in the format of Network Service Mesh programs, such as `WARN`.
    func logger(orOf other: String?) -> Logger {
        let name = logLevel ?? other ?? environment("INITIAL_LOGLVL") ?? "info"
        let level = Logger.Level(name: name)
        let logger = Logger(label: "nsm-agent") { label in
            StandardErrorLog(label: label, format: logFormat.format, level: level ?? .info)
        }
        if level == nil { logger.warning("unknown log level; using info", metadata: ["level": "\(name)"]) }
        return logger
    }
}

/// How log lines look.
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json

    var format: StandardErrorLog.Format {
        switch self {
        case .text: .text
        case .json: .json
        }
    }
}
