internal import LinuxKinds
internal import Model
internal import NSMServices
internal import Reconciler

extension Engine {
    /// Tells what keeps the connections which of them are declared. One call after the other: they tell differences.
    nonisolated func declareServices() async { await services.declare(takeServiceChanges()) }

    private func takeServiceChanges() -> [Key: NetworkServices.Spec?] { network.takeServiceChanges() }

    /// Takes in what the connections to network services say, as long as the task is not cancelled.
    nonisolated func followServices() async {
        for await _ in services.changes { await adopt(services.takeChanges()) }
    }

    private func adopt(_ reports: [Key: ServiceReport?]) {
        take(loop.takeIn(reports))
        // Nothing is done in the kernel when a service is registered, so no transaction reports it.
        tellUntouched(reports.keys.sorted(), [])
    }
}
