extension Transaction {
    /// What started a transaction.
    public enum Reason: Hashable, Sendable {
        /// A command.
        case apply
        /// What was declared in an earlier life is in force again.
        case start
        /// Files declare something else.
        case files
        /// Another source does.
        case source(String)
        /// Reports of others about declared values brought more values.
        case services
        /// Somebody sent a signal to have all looked at.
        case signal
        /// Somebody asked for that.
        case request
        /// A client wants to see what is in place.
        case dump
        /// A client wants all compared with what is in place.
        case resync
        /// A failure may have passed.
        case retry
        /// The world reported changes of some values.
        case drift
        /// The world reported changes that may concern all values.
        case event
    }
}
