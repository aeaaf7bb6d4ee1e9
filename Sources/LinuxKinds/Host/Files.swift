internal import CLinux
internal import Glibc
internal import Netlink

extension LinuxWorld {
    /// Writes a file below /proc/sys in a namespace.
    func writeSysctl(_ path: String, _ value: String, in state: NamespaceState) throws {
        try inside(state) {
            let file = open(path, O_WRONLY | O_CLOEXEC)
            guard file >= 0 else { throw KernelError(code: errno, message: path) }
            defer { close(file) }
            guard write(file, value, value.utf8.count) == value.utf8.count else {
                throw KernelError(code: errno, message: "'\(value)' was refused for \(path)")
            }
        }
    }

    /// Writes files below /proc/sys in a namespace. Those that are not there, or that can't be opened, are left out.
    func writeIfPossible(_ settings: [KernelSetting], in state: NamespaceState) throws {
        try inside(state) {
            for setting in settings {
                let file = open(setting.path, O_WRONLY | O_CLOEXEC)
                if file < 0, [ENOENT, EROFS, EACCES].contains(errno) { continue }
                guard file >= 0 else { throw KernelError(code: errno, message: setting.path) }
                defer { close(file) }
                _ = write(file, setting.value, setting.value.utf8.count)
            }
        }
    }

    /// The content of a file below /proc/sys in a namespace, without the line end; nil when there is no such file.
    func readSysctl(_ path: String, in state: NamespaceState) -> String? {
        try? inside(state) { SysctlFile.read(path) }
    }

    func inside<Result>(_ state: NamespaceState, _ body: () throws -> Result) throws -> Result {
        guard let handle = state.handle else { throw KernelError(code: ENOENT, message: "the namespace is gone") }
        // What belongs to our own namespace needs no move.
        if state.reference == .own { return try body() }
        return try handle.run(body)
    }

    // MARK: - Offloads

    /// Whether checksums are left to the device; nil when the driver does not say.
    func offload(of name: String, receive: Bool, in state: NamespaceState) -> Bool? {
        let answer = try? withControlSocket(in: state) { socket in
            cl_ethtool_get(socket, name, receive ? CL_ETHTOOL_GRXCSUM : CL_ETHTOOL_GTXCSUM)
        }
        guard let answer, answer >= 0 else { return nil }
        return answer == 1
    }

    func setOffload(_ index: Int32, receive: Bool?, transmit: Bool?, in state: NamespaceState) throws {
        guard let link = state.links[madeIndexes[index] ?? index] else { throw KernelError(code: ENODEV) }
        try withControlSocket(in: state) { socket in
            for (command, on) in [(CL_ETHTOOL_SRXCSUM, receive), (CL_ETHTOOL_STXCSUM, transmit)] {
                guard let on else { continue }
                let result = cl_ethtool_set(socket, link.link.name, command, on)
                guard result == 0 else { throw KernelError(errno: result) }
            }
        }
    }

    func withControlSocket<Result>(in state: NamespaceState, _ body: (Int32) throws -> Result) throws -> Result {
        try inside(state) {
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw KernelError(errno: errno) }
            defer { close(descriptor) }
            return try body(descriptor)
        }
    }

    // MARK: - Named namespaces

    func createNamespace(_ name: String, isImplied: Bool?) throws {
        let state = NamespaceClass.plan(name, isImplied: isImplied, self)
        guard state.handle == nil else { return }
        waitForRemoval(of: name)
        // Before it is made: one that can't be kept open could not be worked in.
        try checkRoom()
        let mark = isImplied.map(namespaceGroup)
        let owner = mark.map { _ in ownership.label }
        let handle = try NetworkNamespace.create(named: name, directory: namespaceDirectory, owner: owner) {
            handle throws(KernelError) in
            guard let mark else { return }
            var loopback = LinkAttributes(index: 1)
            loopback.group = mark
            try RouteSocket(in: handle).perform(.setLink(loopback))
        }
        state.handle = handle
        state.wasRead = true
        state.isMadeByUs = true
        byIdentity[handle.identity] = state
        // Whether that succeeds shows when all are watched.
        try? watcher?.watch(state, groups: groups(for: state))
    }

    /// `ip netns delete` unmounts a namespace and removes its file a moment later; made anew in between, the removal
    /// would fail. A file that is still no namespace after 100 ms was left behind long ago.
    private func waitForRemoval(of name: String) {
        let path = "\(namespaceDirectory)/\(name)"
        for _ in 0..<20 where access(path, F_OK) == 0 && cl_is_namespace_file(path) != 1 { usleep(5000) }
    }

    /// What marks the loopback interface in namespaces that were declared, or made because values are in them.
    func namespaceGroup(isImplied: Bool) -> UInt32 {
        isImplied ? ownership.impliedNamespaceGroup : ownership.namespaceGroup
    }

    /// The loopback interface's group says why the namespace was made.
    func markNamespace(_ name: String, isImplied: Bool) throws {
        guard let state = byReference[.named(name)] else { throw KernelError(code: ENOENT) }
        var attributes = LinkAttributes(index: 1)
        attributes.group = namespaceGroup(isImplied: isImplied)
        try routeSocket(state).perform(.setLink(attributes))
    }

    func removeNamespace(_ name: String) throws {
        guard let state = byReference[.named(name)] else {
            leftNames.removeAll { $0 == name }
            return try NetworkNamespace.removeLeftName(name, of: ownership.label, in: namespaceDirectory)
        }
        if keptLinks.contains(state.id) {
            throw KernelError(code: EBUSY, message: "a link that could not be given back is in namespace \(name)")
        }
        let path = "\(namespaceDirectory)/\(name)"
        if let handle = state.handle, let identity = NetworkNamespace.identity(path: path), identity != handle.identity
        {
            // Somebody gave the name to another namespace meanwhile.
            return drop(state)
        }
        do throws(KernelError) {
            try NetworkNamespace.remove(named: name, directory: namespaceDirectory, owner: ownership.label)
        } catch {
            // What is gone already needs no removing.
            if error.code != ENOENT { throw error }
        }
        drop(state)
    }
}

/// Files below /proc/sys, of the namespace that the thread is in.
enum SysctlFile {
    /// The content without the line end; nil when there is no such file.
    static func read(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(file, &text, text.count)
        guard count > 0 else { return nil }
        return String(decoding: text[..<count], as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
    }
}
