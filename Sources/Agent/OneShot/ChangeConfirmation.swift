/// Waits for the confirmation of a change that another process makes: a daemon that follows its files.
public final class ChangeConfirmation {
    private let interruption: Interruption
    private let confirmation: Confirmation

    /// Listens for `nsm-agent confirm`, and takes the signals that end the wait. Make it before anything is changed, and before
    /// other threads start, which would take the signals.
    ///
    /// - Throws: when nobody could confirm.
    public init(_ options: ConfirmationOptions, settings: AgentSettings) throws {
        do {
            interruption = try Interruption()
        } catch {
            throw AgentError("signals can't be handled: \(error)")
        }
        confirmation = try Confirmation(options, HostNetwork(settings))
    }

    /// Whether Enter on a terminal confirms.
    public var hasTerminal: Bool { confirmation.hasTerminal }

    /// Forgets what was typed before there was anything to confirm. Call it before anybody is asked.
    public func forgetInput() { confirmation.forgetInput() }

    /// Whether the change is to stay. Returns when that is known, the time is over, or a signal came.
    public func isGiven() throws -> Bool { try confirmation.isGiven(unless: interruption) }
}
