package import Reconciler

extension Transaction.Reason {
    /// The word for it in answers and logs.
    package var text: String {
        switch self {
        case .apply: "apply"
        case .start: "start"
        case .files: "files"
        case .source(let name): name
        case .services: "services"
        case .signal: "signal"
        case .request: "request"
        case .dump: "dump"
        case .resync: "resync"
        case .retry: "retry"
        case .drift: "drift"
        case .event: "event"
        }
    }
}
