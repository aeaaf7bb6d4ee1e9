public import Reconciler

extension HostNetwork {
    /// Whether a value is as it was wanted.
    public static func isGood(_ state: ValueState) -> Bool {
        switch state {
        case .configured, .obtained: true
        case .nonexistent, .missing, .unimplemented, .removed, .discovered, .pending, .invalid, .failed, .retrying:
            false
        }
    }

    /// Whether time alone, or an event, may still make a value as it was wanted.
    public static func mayImprove(_ state: ValueState) -> Bool {
        switch state {
        case .pending, .retrying: true
        case .nonexistent, .missing, .unimplemented, .removed, .configured, .obtained, .discovered, .invalid, .failed:
            false
        }
    }
}
