internal import Containers
internal import LinuxKinds
internal import NSMServices
internal import Reconciler

extension Engine {
    /// Takes in which containers run that values name, as long as the task is not cancelled.
    nonisolated func followContainers() async {
        for await _ in containers.changes { await adopt(containers.takeChanges()) }
    }

    private func adopt(_ answers: [ContainerQuery: ContainerAnswer]) {
        var findings: [ContainerName: ContainerFinding] = [:]
        for (query, answer) in answers { findings[ContainerName(query)] = ContainerFinding(answer) }
        take(loop.takeIn(findings))
    }

    /// What is to be said of containers beside their state.
    nonisolated func containerNotes() -> [Key: ServiceNote] {
        var notes: [Key: ServiceNote] = [:]
        for (query, answer) in containers.answers {
            guard case .found(let container, let engine, let others) = answer else { continue }
            var note = ServiceNote()
            note.facts = ["process \(container.pid) of \(container.text) at \(engine)"]
            if container.isPaused { note.facts.append("paused") }
            note.facts += others.map { "not meant, though it has the same label: \($0)" }
            notes[ContainerName(query).key] = note
        }
        return notes
    }
}

extension ContainerQuery {
    init(_ name: ContainerName) {
        switch name {
        case .label(let label): self = .label(label)
        case .pod(let pod): self = .pod(pod)
        }
    }
}

extension ContainerName {
    fileprivate init(_ query: ContainerQuery) {
        switch query {
        case .label(let label): self = .label(label)
        case .pod(let pod): self = .pod(pod)
        }
    }
}

extension ContainerFinding {
    fileprivate init(_ answer: ContainerAnswer) {
        switch answer {
        case .found(let container, _, _):
            self = .found(
                ContainerProcess(
                    id: container.group, name: container.text, pid: container.pid,
                    namespaceFile: container.namespaceFile))
        case .missing(let reason): self = .missing(reason)
        case .unknown(let reason): self = .unknown(reason)
        }
    }
}
