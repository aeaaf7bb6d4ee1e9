/// What a keeper outside of the world reports of a value: a connection to a network service, say.
public enum Observation: Hashable, Sendable {
    /// It is as wanted.
    case inPlace
    /// It is not there yet, for these reasons.
    case waiting([String])
    /// It is not available now, for this reason; its keeper goes on trying.
    case blocked(String)
}

extension Observation? {
    /// Why a value is not there; nil: it is. `unkept` is what a value without a keeper waits for.
    func verdict(unkept: String) -> Verdict? {
        switch self {
        case .inPlace: nil
        case .waiting(let reasons): .stalled(reasons)
        case .blocked(let reason): .failing(reason)
        case nil: .stalled([unkept])
        }
    }
}
