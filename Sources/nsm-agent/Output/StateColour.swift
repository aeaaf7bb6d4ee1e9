internal import Model
internal import Reconciler

extension ValueState {
    /// The colour in which a state is shown.
    var colour: Terminal.Colour? {
        switch self {
        case .configured, .obtained: .green
        case .pending, .retrying, .discovered: .yellow
        case .failed, .invalid, .missing, .unimplemented: .red
        case .nonexistent, .removed: .dim
        }
    }

    /// A state as it came from the agent.
    init(_ state: Ligato_Kvscheduler_ValueState) { self = ValueState(rawValue: state.rawValue) ?? .nonexistent }
}
