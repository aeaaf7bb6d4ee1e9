internal import LinuxKinds
internal import Northbound
internal import Reconciler

extension HostNetwork {
    /// The source of what stands for containers that values name.
    static let containersSource = "containers"

    /// Has those containers stand in status and graph that values name, and says which they are.
    func settleContainers() {
        let changed = world.takeChangedContainers()
        if changed.isEmpty { return }
        let named = world.namedContainers
        world.forgetContainers(besides: named)
        reconciler.change(
            source: Self.containersSource,
            changed.sorted { $0.key < $1.key }.map { name in
                (name.key, named.contains(name) ? .value(Microservice(name)) : nil)
            })
        noteAwaitedContainers()
        looksForContainers?(named)
    }

    /// Takes in what is known of containers. Returns what has to be looked at.
    func takeIn(_ findings: [ContainerName: ContainerFinding]) -> WorldChanges {
        defer {
            noteAwaitedContainers()
            tellSilence()
        }
        return world.takeIn(findings)
    }

    /// A one-shot command looks for none, so to it they may all be there.
    private func noteAwaitedContainers() { awaitsContainers = world.awaitsContainers }
}
