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
        for await reports in services.reports {
            let start = ContinuousClock.now
            await adopt(reports)
            // When many connections come at once, what they say is taken in together: each pass looks at all values.
            try? await Task.sleep(until: .now + (.now - start))
        }
    }

    private func adopt(_ reports: [Key: ServiceReport]) {
        network.bring(reports)
        if files.isInForce { readAndReconcile(reason: "mesh", isAudit: false) }
    }
}
