internal import CLinux
internal import Glibc
internal import Netlink

/// The descriptors that tell of changes: one multicast socket for each namespace, the directory of named namespaces,
/// the processes whose namespaces are in use.
final class Watcher {
    /// Tokens in the event loop; those of namespaces are ``namespaces`` or ``filters`` plus their number.
    enum Token {
        static let namespaces: UInt64 = 1 << 32
        static let directory: UInt64 = 1 << 33
        static let mounts: UInt64 = directory + 1
        static let timer: UInt64 = directory + 2
        static let holders: UInt64 = directory + 3
        static let filters: UInt64 = 3 << 32
        static let processes: UInt64 = 1 << 34
    }

    /// How long after a change of the directory, or while a process is awaited, it is looked at again, milliseconds.
    static let recheck: Int64 = 1000

    let loop: EventLoop
    private let inotify: Int32
    private let mounts: Int32
    private var mountTable: Int32 = -1
    private let timer: Int32
    /// Numbers of watches, by directory.
    private var directories: [String: Int32] = [:]
    /// Descriptors of processes, by their number.
    private var processes: [Int32: Int32] = [:]
    /// Other agents, which have namespaces that we wait for.
    private var holders: [NamespaceLock.Holder] = []

    /// How many directories and processes are watched.
    var count: Int { directories.count + processes.count }

    init(loop: EventLoop) throws(KernelError) {
        self.loop = loop
        inotify = cl_inotify_create()
        guard inotify >= 0 else { throw KernelError(errno: inotify) }
        mounts = cl_mount_watch(&mountTable)
        timer = cl_timerfd()
        guard timer >= 0 else { throw KernelError(errno: timer) }
        try loop.add(inotify, token: Token.directory)
        try loop.add(timer, token: Token.timer)
        if mounts >= 0 { try loop.add(mounts, token: Token.mounts) }
    }

    deinit {
        forgetHolders()
        for descriptor in [inotify, mounts, mountTable, timer] + Array(processes.values) where descriptor >= 0 {
            try? loop.remove(descriptor)
            close(descriptor)
        }
    }

    /// Listens in a namespace, if it is open.
    func watch(_ state: NamespaceState, groups: EventSocket.Groups) throws(KernelError) {
        if let events = state.events, state.eventGroups != groups {
            try? events.subscribe(to: groups)
            state.eventGroups = groups
        }
        guard let handle = state.handle, state.events == nil else { return }
        // Where we are already no move is needed, which would take CAP_SYS_ADMIN.
        let place = state.reference == .own ? nil : handle
        let events = try EventSocket(in: place, groups: groups)
        try loop.add(events.descriptor, token: Token.namespaces + UInt64(state.id))
        state.eventGroups = groups
        state.events = events
    }

    /// Listens for changes of tables in a namespace, or no more.
    func watchFilters(_ state: NamespaceState, _ isWanted: Bool) throws(KernelError) {
        guard let handle = state.handle, (state.filterEvents != nil) != isWanted else { return }
        if !isWanted {
            forgetFilters(state)
            return
        }
        let events = try FilterEvents(in: state.reference == .own ? nil : handle)
        try loop.add(events.descriptor, token: Token.filters + UInt64(state.id))
        state.filterEvents = events
    }

    private func forgetFilters(_ state: NamespaceState) {
        guard let events = state.filterEvents else { return }
        try? loop.remove(events.descriptor)
        state.filterEvents = nil
    }

    /// Stops listening in a namespace.
    func forget(_ state: NamespaceState) {
        forgetFilters(state)
        guard let events = state.events else { return }
        try? loop.remove(events.descriptor)
        state.events = nil
    }

    /// Watches these directories, as far as they exist, and no others.
    func watch(directories wanted: Set<String>) {
        let former = directories
        directories = [:]
        for directory in wanted {
            let number = cl_inotify_add(inotify, directory, CL_IN_NAMESPACE_DIRECTORY)
            if number >= 0 { directories[directory] = number }
        }
        // Two paths may lead to one directory, which has one watch.
        let used = Set(directories.values)
        for number in former.values where !used.contains(number) { _ = inotify_rm_watch(inotify, number) }
    }

    /// Watches the ends of these processes, and of no others.
    func watch(processes wanted: Set<Int32>) {
        for process in processes.keys where !wanted.contains(process) { forget(process: process) }
        for process in wanted { watch(process: process) }
    }

    private func watch(process: Int32) {
        guard processes[process] == nil else { return }
        let descriptor = cl_pidfd_open(process)
        guard descriptor >= 0 else {
            // It has ended, or no descriptor is left: its namespace tells.
            scheduleRecheck()
            return
        }
        processes[process] = descriptor
        try? loop.add(descriptor, token: Token.processes + UInt64(UInt32(bitPattern: process)))
    }

    /// Whether the end of a process will be reported.
    func isWatching(process: Int32) -> Bool { processes[process] != nil }

    func forget(process: Int32) {
        guard let descriptor = processes.removeValue(forKey: process) else { return }
        try? loop.remove(descriptor)
        close(descriptor)
    }

    /// Waits for the end of an agent that has a namespace.
    func watch(_ holder: NamespaceLock.Holder) {
        guard (try? loop.add(holder.descriptor, token: Token.holders)) != nil else { return scheduleRecheck() }
        holders.append(holder)
    }

    /// One of the holders released something: those that still hold a namespace are found again.
    func forgetHolders() {
        for holder in holders { try? loop.remove(holder.descriptor) }
        holders.removeAll()
    }

    /// Looks again in a while.
    func scheduleRecheck(after milliseconds: Int64 = recheck) { _ = cl_timerfd_set(timer, milliseconds) }

    /// Empties the descriptors that only say that something happened.
    func drain() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while read(inotify, &buffer, buffer.count) > 0 {}
        while read(timer, &buffer, 8) > 0 {}
        if mounts >= 0 { cl_mount_watch_reset(mounts) }
    }
}
