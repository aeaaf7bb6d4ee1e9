internal import Synchronization

/// What is known of an engine's pods. What never changes is asked once.
struct CRIPicture {
    private struct Member {
        var id: String
        var sandbox: String
        var info: CRIInfo
        /// When it was started, or made if it never was, nanoseconds since 1970.
        var started: Int64
        var isRunning: Bool
    }

    private let settings: ContainerSettings
    private let runtime: CRIRuntime
    private let source: ContainerSource
    private let hidden: CRIHidden
    private var sandboxes: [String: CRIInfo] = [:]
    private var members: [String: Member] = [:]

    init(_ settings: ContainerSettings, _ runtime: CRIRuntime, _ source: ContainerSource, _ hidden: CRIHidden) {
        self.settings = settings
        self.runtime = runtime
        self.source = source
        self.hidden = hidden
    }

    /// Asks for everything, and tells it.
    mutating func look() async throws(ContainerError) {
        let pods = try await runtime.readySandboxes()
        let containers = try await runtime.containers()
        guard pods.count <= settings.mostContainers, containers.count <= settings.mostContainers else {
            throw ContainerError("it has more than \(settings.mostContainers) containers")
        }
        let veiled = try await update(pods, containers)
        let inside = Dictionary(grouping: members.values, by: \.sandbox)
        let former = Dictionary(source.known().map { ($0.id, $0) }) { first, _ in first }
        let all = pods.compactMap { pod in
            let container = container(pod, inside[pod.id] ?? [])
            guard veiled.contains(pod.id), let former = former[pod.id] else { return container }
            guard var container else { return former }
            container.queries.formUnion(former.queries)
            container.started = former.started
            return container
        }
        // What failed because nobody wants it any more says nothing.
        if Task.isCancelled { throw ContainerError("it is not asked any more") }
        let reason = hidden.reason
        if reason != nil { source.noteUnseen(reason) }
        source.list(all)
        if reason == nil { source.noteUnseen(nil) }
    }

    private func container(_ pod: CRI_PodSandbox, _ members: [Member]) -> Container? {
        guard let sandbox = sandboxes[pod.id] else { return nil }
        var (group, pid) = (pod.id, sandbox.pid)
        let running = members.filter(\.isRunning)
        if pid <= 0 {
            // An engine that keeps the network of a pod without a process of its own. The oldest one is taken, so that one that
            // comes changes nothing.
            let first = running.filter { $0.info.pid > 0 }.min { ($0.started, $0.id) < ($1.started, $1.id) }
            guard let first else { return nil }
            (group, pid) = (first.id, first.info.pid)
        }
        let name = "\(pod.metadata.namespace)/\(pod.metadata.name)"
        // One that has ended counts for the label until it is removed, as it may be started again, but says nothing of when
        // the label came here while another one runs.
        var queries = members.reduce(into: Set<ContainerQuery>()) { $0.formUnion($1.info.labels) }
        queries.insert(.pod(name))
        let isLabelled = { (member: Member) in !member.info.labels.isEmpty }
        let labelled =
            running.filter(isLabelled).map(\.started).min() ?? members.filter(isLabelled).map(\.started).max()
        let started = max(labelled ?? 0, pod.createdAt)
        return Container(
            id: pod.id, group: group, name: name, pid: pid, namespaceFile: sandbox.namespaceFile, queries: queries,
            created: max(pod.createdAt, 0), started: started > 0 ? started : .max)
    }

    /// Returns the pods of which something can't be looked at.
    private mutating func update(
        _ pods: [CRI_PodSandbox], _ containers: [CRI_Container]
    ) async throws(ContainerError) -> Set<String> {
        let ready = Set(pods.map(\.id))
        let there = containers.filter { ready.contains($0.podSandboxID) && $0.state != .containerCreated }
        let ids = Set(there.map(\.id))
        hidden.keep { subject in
            switch subject {
            case .sandbox(let id): ready.contains(id)
            case .container(let id): ids.contains(id)
            }
        }
        var veiled: Set<String> = []
        sandboxes = sandboxes.filter { ready.contains($0.key) }
        for id in ready.subtracting(sandboxes.keys).sorted() {
            sandboxes[id] = try await look(at: .sandbox(id), &veiled, pod: id)?.info
        }
        members = members.filter { ids.contains($0.key) }
        for container in there {
            let isRunning = container.state == .containerRunning
            if members[container.id] != nil {
                members[container.id]?.isRunning = isRunning
                continue
            }
            let look = try await look(at: .container(container.id), &veiled, pod: container.podSandboxID)
            members[container.id] = look.map { look in
                Member(
                    id: container.id, sandbox: container.podSandboxID, info: look.info,
                    started: look.started > 0 ? look.started : container.createdAt, isRunning: isRunning)
            }
        }
        return veiled
    }

    /// What the engine says; nil: nothing, or it can't now.
    private func look(
        at subject: CRISubject, _ veiled: inout Set<String>, pod: String
    ) async throws(ContainerError) -> CRILook? {
        switch hidden.take(subject) {
        case .seen(let look): return look
        case .hidden:
            veiled.insert(pod)
            return nil
        case .new: break
        }
        do throws(ContainerError) {
            return try await runtime.look(at: subject)
        } catch {
            try hidden.hide(subject, error)
            veiled.insert(pod)
            return nil
        }
    }
}

/// What an engine could not tell of. It is looked at again beside all others, as it would hold them up.
final class CRIHidden: Sendable {
    /// What is known of something.
    enum Knowledge {
        /// It can be asked for.
        case new
        /// It can't.
        case hidden
        /// It could, at last.
        case seen(CRILook?)
    }

    private enum State {
        case failed(ContainerError)
        case seen(CRILook?)
    }

    private let subjects = Mutex<[CRISubject: State]>([:])
    /// How many may keep the engine from answering before it is the engine that fails.
    private static let most = 16

    /// Why something can't be looked at; nil: everything can.
    var reason: String? {
        let failures = subjects.withLock { subjects in
            subjects.compactMap { subject, state in
                if case .failed(let error) = state { "\(subject.text) can't be looked at: \(error)" } else { nil }
            }
        }
        return failures.min()
    }

    /// What is known of something, which is forgotten if it was seen.
    func take(_ subject: CRISubject) -> Knowledge {
        subjects.withLock { subjects in
            switch subjects[subject] {
            case nil: return .new
            case .failed: return .hidden
            case .seen(let look):
                subjects[subject] = nil
                return .seen(look)
            }
        }
    }

    /// Something can't be looked at.
    ///
    /// - Throws: the error, when there are too many.
    func hide(_ subject: CRISubject, _ error: ContainerError) throws(ContainerError) {
        let count = subjects.withLock { subjects in
            subjects[subject] = .failed(error)
            return subjects.count
        }
        if count > Self.most { throw error }
    }

    /// Forgets what is not there any more.
    func keep(_ isThere: (CRISubject) -> Bool) {
        subjects.withLock { subjects in subjects = subjects.filter { isThere($0.key) } }
    }

    /// Looks at all of it. Returns whether something could be seen.
    func lookAgain(_ runtime: CRIRuntime) async -> Bool {
        var hasSeen = false
        for subject in subjects.withLock({ Array($0.keys) }) {
            do throws(ContainerError) {
                let look = try await runtime.look(at: subject)
                subjects.withLock { if $0[subject] != nil { $0[subject] = .seen(look) } }
                hasSeen = true
            } catch { continue }
        }
        return hasSeen
    }
}

extension CRISubject {
    fileprivate var text: String {
        switch self {
        case .sandbox(let id): "pod \(id.prefix(12))"
        case .container(let id): "container \(id.prefix(12))"
        }
    }
}
