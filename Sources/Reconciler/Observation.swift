/// What somebody outside of the world says of a value that it keeps: a connection to a network service, say.
public enum Observation: Hashable, Sendable {
    /// It is as wanted.
    case inPlace
    /// It is not there yet, for these reasons.
    case waiting([String])
    /// It can't be had now, for this reason; whoever keeps it goes on trying.
    case blocked(String)
}

extension Observation? {
    /// Why a value is not there; nil: it is. `unkept` is what a value that nobody keeps waits for.
    func verdict(unkept: String) -> Verdict? {
        switch self {
        case .inPlace: nil
        case .waiting(let reasons): .stalled(reasons)
        case .blocked(let reason): .failing(reason)
        case nil: .stalled([unkept])
        }
    }
}
