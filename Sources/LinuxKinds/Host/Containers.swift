internal import CLinux
internal import Concurrency
internal import Glibc
internal import Netlink

/// The first process of a container, as an engine says.
public struct ContainerProcess: Hashable, Sendable {
    /// The id of the container, which is part of the name of its control group.
    public var id: String
    /// The container's name, for people.
    public var name: String
    /// The number of the process.
    public var pid: Int32
    /// A file that refers to its network namespace; empty: none is known.
    public var namespaceFile: String

    /// Makes a description.
    public init(id: String, name: String, pid: Int32, namespaceFile: String = "") {
        self.id = id
        self.name = name
        self.pid = pid
        self.namespaceFile = namespaceFile
    }
}

/// What is known of a container that values name.
public enum ContainerFinding: Hashable, Sendable {
    /// It runs.
    case found(ContainerProcess)
    /// It does not, and why.
    case missing(String)
    /// Nobody knows yet, and why. What it had before stays.
    case unknown(String)
}

/// Namespaces of containers: they are entered only when the kernel says that the process is the container's, and left as soon
/// as it ends, whatever the engine says.
extension LinuxWorld {
    /// What is known of a container.
    struct KnownContainer {
        var finding: ContainerFinding
        /// Why its namespace is not entered, though an engine says that it runs.
        var obstacle: String?
        /// Whether that may pass without a word of the engine.
        var mayPass = false
    }

    /// Takes in what is known of containers that values name. The returned changes inform others.
    public func takeIn(_ findings: [ContainerName: ContainerFinding]) -> WorldChanges {
        for (name, finding) in findings.sorted(by: { $0.key.key < $1.key.key }) {
            let reference = NamespaceReference(name)
            let former = containers[reference]
            containers[reference] = KnownContainer(finding: finding)
            if case .found(let process) = finding, case .found(let known)? = former?.finding,
                byReference[reference] != nil, process.id == known.id, process.pid == known.pid
            {
                continue
            }
            depart(reference)
            enterContainer(reference)
            told.keys.insert(name.key)
            declarations.addKeys(in: reference, to: &told.keys)
        }
        defer { told = WorldChanges() }
        return told
    }

    /// Forgets containers that no value names any more.
    public func forgetContainers(besides names: Set<ContainerName>) {
        for reference in containers.keys {
            if let name = reference.container, !names.contains(name) { containers[reference] = nil }
        }
    }

    /// Containers that values name.
    public var namedContainers: Set<ContainerName> { Set(declarations.referenced.compactMap(\.container)) }

    /// Which containers are named for the first time, or for the last, since the last call.
    public func takeChangedContainers() -> Set<ContainerName> {
        if declarations.changedContainers.isEmpty { return [] }
        defer { declarations.changedContainers = [] }
        return Set(declarations.changedContainers.compactMap(\.container))
    }

    /// Whether somebody who may know has not said yet whether a named container runs.
    public var awaitsContainers: Bool {
        namedContainers.contains { name in
            switch containers[NamespaceReference(name)]?.finding {
            case nil, .unknown: true
            case .found, .missing: false
            }
        }
    }

    /// Why the namespace of a container is not available.
    func unmetContainer(_ reference: NamespaceReference) -> String {
        let reason: String
        switch containers[reference] {
        case nil: reason = "'nsm-agent run' looks for containers"
        case let known? where known.obstacle != nil: reason = known.obstacle ?? ""
        case .some(let known):
            switch known.finding {
            case .found(let process): reason = "container \(process.name) is not entered yet"
            case .missing(let text), .unknown(let text): reason = text
            }
        }
        return "microservice-available: \(reason)"
    }

    // MARK: - Entering

    /// Opens the namespace of a container that runs, if values name it.
    func enterContainer(_ reference: NamespaceReference) {
        guard openContainer(reference), let state = byReference[reference] else {
            if containers[reference]?.mayPass == true { watcher?.scheduleRecheck() }
            return
        }
        widen(state)
        watch(state)
        if state.isStale { try? refresh() }
        if state.isLost { return }
        if let watcher { watchPlaces(watcher) }
        endUnlessWatched(reference)
        if byReference[reference] == nil { return }
        // What an earlier life of ours left there is found only by a look at everything.
        if state.hasOurs(ownership) { told.needsFullPass = true }
    }

    /// The same, without reading it. Returns whether it is open.
    func openContainer(_ reference: NamespaceReference) -> Bool {
        if byReference[reference] != nil { return true }
        guard declarations.isReferenced(reference), case .found(let process)? = containers[reference]?.finding else {
            return false
        }
        do {
            adopt(try handle(of: process), as: reference)
            containers[reference]?.obstacle = nil
            return true
        } catch {
            containers[reference]?.obstacle = error.text
            containers[reference]?.mayPass = error.mayPass
            return false
        }
    }

    private struct Obstacle: Error {
        var text: String
        var mayPass = false
    }

    /// The namespace of a process that is certainly that of the container: as long as it lives nobody else has its number.
    private func handle(of process: ContainerProcess) throws(Obstacle) -> NetworkNamespace {
        let who = "container \(process.name)"
        let life = cl_pidfd_open(process.pid)
        guard life >= 0 else {
            throw Obstacle(
                text: life == -ESRCH
                    ? "process \(process.pid) of \(who) is not there"
                    : "process \(process.pid) of \(who): \(text(for: KernelError(errno: life)))",
                mayPass: KernelError(errno: life).meansShortage)
        }
        defer { close(life) }
        let handle = try open(process, who)
        guard Self.isIn(process.id, process.pid) else {
            throw Obstacle(
                text: "process \(process.pid) is not in a control group of \(who); "
                    + "an agent in a container needs the host's PID namespace")
        }
        guard cl_wait_readable(life, 0) == 0 else {
            throw Obstacle(text: "process \(process.pid) of \(who) has ended")
        }
        return handle
    }

    private func open(_ process: ContainerProcess, _ who: String) throws(Obstacle) -> NetworkNamespace {
        var path = "/proc/\(process.pid)/ns/net"
        while true {
            do throws(KernelError) {
                let handle = try NetworkNamespace(path: path)
                if byIdentity[handle.identity] == nil { try checkRoom() }
                return handle
            } catch {
                // Processes with rights that we don't have are not ours to look at, files that engines keep are.
                if error.code == EACCES, path != process.namespaceFile, process.namespaceFile.hasPrefix("/") {
                    path = process.namespaceFile
                    continue
                }
                let hint = error.code == EACCES || error.code == EPERM ? "; that takes CAP_SYS_PTRACE" : ""
                throw Obstacle(
                    text: "the namespace of \(who) can't be opened: \(text(for: error))\(hint)",
                    mayPass: error.meansShortage)
            }
        }
    }

    /// Whether a process is in a control group that is called after a container.
    private static func isIn(_ id: String, _ pid: Int32) -> Bool {
        guard id.utf8.count >= 12, let text = read("/proc/\(pid)/cgroup") else { return false }
        return text.split(separator: "\n").contains { line in
            line.split(separator: "/").contains { $0.hasSuffix(id) || $0.hasSuffix(id + ".scope") }
        }
    }

    private static func read(_ path: String) -> String? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = Glibc.read(file, &bytes, bytes.count)
        return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
    }

    // MARK: - Leaving

    /// A process has ended: the containers whose first one it was are gone.
    func endContainers(of pid: Int32) {
        for (reference, known) in containers {
            guard case .found(let process) = known.finding, process.pid == pid, byReference[reference] != nil else {
                continue
            }
            containers[reference]?.obstacle = "process \(pid) of container \(process.name) has ended"
            depart(reference)
            if let name = reference.container { told.keys.insert(name.key) }
            declarations.addKeys(in: reference, to: &told.keys)
        }
    }

    /// Ends a container whose first process ended before somebody listened: its number may be another one's by now.
    func endUnlessWatched(_ reference: NamespaceReference) {
        guard let watcher, byReference[reference] != nil, case .found(let process)? = containers[reference]?.finding,
            !watcher.isWatching(process: process.pid) || !Self.isIn(process.id, process.pid)
        else { return }
        endContainers(of: process.pid)
    }

    /// The process that keeps the namespace behind a reference; nil: there is none.
    func containerProcess(_ reference: NamespaceReference) -> Int32? {
        guard byReference[reference] != nil, case .found(let process)? = containers[reference]?.finding else {
            return nil
        }
        return process.pid
    }

    /// A reference leads nowhere any more. Where nothing else leads, the namespace is kept until what is ours in it has been
    /// removed: another process, or a file, may keep it alive.
    private func depart(_ reference: NamespaceReference) {
        guard let state = byReference[reference] else { return }
        guard state.references == [reference], state.handle != nil, state.hasOurs(ownership) else {
            return release(reference)
        }
        byReference[reference] = nil
        state.reference = .former(state.id)
        byReference[state.reference] = state
        formerNamespaces[state.id] = SteadyClock.monotonic + Self.longestFarewell
    }

    /// How long a namespace is kept in which something of ours can't be removed, nanoseconds.
    private static var longestFarewell: Int64 { 60_000_000_000 }

    /// Lets namespaces go that were left and in which nothing of ours is any more.
    func dropFormer() {
        for (id, end) in formerNamespaces {
            if let state = byReference[.former(id)], state.hasOurs(ownership), SteadyClock.monotonic < end { continue }
            release(.former(id))
            formerNamespaces[id] = nil
        }
    }
}
