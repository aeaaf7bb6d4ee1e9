internal import Model
internal import Northbound
internal import Reconciler

/// A daemon beside a command, as its socket shows it.
struct RunningAgent: Sendable {
    let socket: String
    let label: String

    /// Has it put right what others changed, if these values are what it keeps, and no others. Returns whether they are; it has
    /// done what it could then.
    func mends(_ values: [Key: ModelValue]) async -> Bool {
        guard let client = try? ControlClient(path: socket), await isOfLabel(client),
            let declared = try? await client.declaredValues(),
            values == Dictionary(declared.map { ($0.value.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        else { return false }
        // It hears of most changes by itself, but not of all.
        _ = try? await client.reload()
        return true
    }

    private func isOfLabel(_ client: ControlClient) async -> Bool {
        var request = Nsmagent_Control_StatusRequest()
        // No value: which agent it is comes with the first part.
        request.keyPrefix = "-"
        return (try? await client.status(request))?.label == label
    }
}
