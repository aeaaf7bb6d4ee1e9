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
        /// What others told of declared values brought more of them.
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
        /// The world told of changes of some values.
        case drift
        /// The world told of changes that may concern all.
        case event
    }
}
