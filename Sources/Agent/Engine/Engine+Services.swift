internal import LinuxKinds
internal import Model
internal import NSMServices
internal import Reconciler

extension Engine {
    /// Tells what keeps the connections which of them are declared.
    nonisolated func declareServices() async {
        let (wanted, number) = await declaredServices()
        await services.declare(wanted, number: number)
    }

    private func declaredServices() -> ([Key: NetworkServices.Spec], UInt64) { (network.services, files.adopted) }

    /// Takes in what the connections to network services say, as long as the task is not cancelled.
    nonisolated func followServices() async {
        for await _ in services.changes { await adopt(services.takeChanges()) }
    }

    private func adopt(_ reports: [Key: ServiceReport?]) {
        if reports.isEmpty { return }
        network.bring(reports)
        if files.isInForce { readAndReconcile(reason: "mesh", isAudit: false) }
    }
}
