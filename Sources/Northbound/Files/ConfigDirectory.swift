internal import CLinux
internal import Glibc

/// Which files changed, as far as that is known.
public enum FileChanges: Sendable, Equatable {
    /// None did.
    case none
    /// Only these, by their paths.
    case files(Set<String>)
    /// Any may have, and directories, too.
    case all

    /// Takes in more changes.
    public mutating func add(_ other: Self) {
        switch (self, other) {
        case (_, .none): break
        case (.none, _), (_, .all): self = other
        case (.all, .files): break
        case (.files(let own), .files(let more)): self = .files(own.union(more))
        }
    }
}

/// Watches the directory that holds the configuration files.
///
/// Sees files written, renamed and removed, also those that links lead to; the symbolic-link swap by which a mounted ConfigMap
/// changes; the directory itself, or one above it, coming, going, moved or mounted over. What it can't watch, ``obstacle`` tells.
/// Used by one thread; put ``descriptor`` and ``mounts`` into an event loop.
public final class ConfigDirectory {
    /// The directory, or a single file.
    public let path: String
    /// Readable when something happened.
    public let descriptor: Int32
    /// Has priority data, as poll(2) calls it, when something was mounted or unmounted.
    public let mounts: Int32
    /// Why changes may go unnoticed, with what to do about it; nil: none do.
    public private(set) var obstacle: String?

    /// A directory, and what in it counts. Whatever happens to the directory itself does.
    private struct Place {
        /// As which directory of configuration files it is known.
        var inside: String?
        /// Names on the way to the configuration, or on the way from links in it to what they lead to.
        var onTheWay: Set<String> = []
        /// Names of files that links lead to, and these links.
        var targets: [String: Set<String>] = [:]
    }

    /// What tells one directory from another that takes its path.
    private struct Identity: Equatable {
        var device: UInt64
        var inode: UInt64

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
        }
    }

    /// A watch that was asked for.
    private struct Watch {
        var number: Int32
        var hasContent: Bool
        var identity: Identity?
    }

    private var places: [Int32: Place] = [:]
    private var watches: [String: Watch] = [:]

    /// Starts without watching anything; ``watch()`` follows. nil when the kernel has no more inotify instances for us.
    public init?(path: String) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        descriptor = cl_inotify_create()
        if descriptor < 0 { return nil }
        mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC)
    }

    deinit {
        close(descriptor)
        if mounts >= 0 { close(mounts) }
    }

    /// Watches what is there now. Returns whether the directory is.
    ///
    /// Call it before the files are read, so that nothing that happens later is missed.
    public func watch() -> Bool {
        let former = places
        places = [:]
        watches = [:]
        obstacle = mounts < 0 ? "mounts can't be watched: /proc/self/mountinfo can't be read; mount /proc" : nil
        var status = stat()
        let isThere = stat(path, &status) == 0
        watchWay(to: path, from: nil)
        if isThere, status.st_mode & S_IFMT == S_IFDIR { watchInside(path, depth: 0) }
        for number in former.keys where places[number] == nil { _ = inotify_rm_watch(descriptor, number) }
        return isThere
    }

    /// To be called when something was mounted or unmounted. Returns what may concern the configuration.
    public func takeMounts() -> FileChanges {
        watches.allSatisfy { Identity($0.key) == $0.value.identity } ? .none : .all
    }

    /// Empties the queue. Returns what may concern the configuration.
    ///
    /// Unless it is ``FileChanges/all``, what is watched is what there is.
    public func takeEvents() -> FileChanges {
        var changes = FileChanges.none
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            guard count > 0 else { return changes }
            var events = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            while let event = Event(&events) { changes.add(self.changes(by: event)) }
        }
    }

    private func changes(by event: Event) -> FileChanges {
        if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return .all }
        guard let place = places[event.watch] else { return .none }
        // The directory itself went.
        if event.name.isEmpty || place.onTheWay.contains(event.name) { return .all }
        var changes = FileChanges.none
        if let links = place.targets[event.name] {
            if event.mask & UInt32(IN_CLOSE_WRITE) == 0 { return .all }
            changes = .files(links)
        }
        if let folder = place.inside { changes.add(self.changes(by: event, in: folder)) }
        return changes
    }

    private func changes(by event: Event, in folder: String) -> FileChanges {
        if event.mask & UInt32(IN_ISDIR) != 0 { return event.name.hasPrefix(".") ? .none : .all }
        if event.name == "..data" { return .all }
        guard Self.isConfiguration(event.name) else { return .none }
        let path = "\(folder)/\(event.name)"
        guard event.mask & UInt32(IN_CREATE | IN_MOVED_TO) != 0 else { return .files([path]) }
        var status = stat()
        guard lstat(path, &status) == 0 else { return event.mask & UInt32(IN_CREATE) == 0 ? .files([path]) : .none }
        // What a new link leads to is to be watched, too.
        if status.st_mode & S_IFMT == S_IFLNK { return .all }
        // A new file is empty; it counts once it was written and closed. Links are complete at once.
        let isWritten =
            event.mask & UInt32(IN_CREATE) != 0 && status.st_mode & S_IFMT == S_IFREG && status.st_nlink == 1
        return isWritten ? .none : .files([path])
    }

    private static func isConfiguration(_ name: String) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    /// Watches every directory through which a path leads, and those through which its links do. What does not exist yet
    /// is waited for where it would be.
    ///
    /// - Parameter link: the configuration file whose path it is; nil: the way to all of them.
    private func watchWay(to path: String, from link: String?) {
        var place = path.hasPrefix("/") ? "/" : "."
        var rest = Self.names(path)
        var linksLeft = 40
        while let name = rest.popLast() {
            let next = place == "/" ? "/\(name)" : "\(place)/\(name)"
            var status = stat()
            let exists = lstat(next, &status) == 0
            let isLink = exists && status.st_mode & S_IFMT == S_IFLNK
            if exists, !isLink, !rest.isEmpty {
                // Nobody is woken by what else happens in it.
                add(place, hasContent: false) { _ in }
                place = next
                continue
            }
            add(place, hasContent: true) {
                if let link, !isLink { $0.targets[name, default: []].insert(link) } else { $0.onTheWay.insert(name) }
            }
            guard isLink, linksLeft > 0, let target = Self.target(of: next) else { return }
            linksLeft -= 1
            if target.hasPrefix("/") { place = "/" }
            rest += Self.names(target)
        }
    }

    /// The names of which a path consists, the last one first.
    private static func names(_ path: String) -> [String] {
        path.split(separator: "/").reversed().filter { $0 != "." }.map(String.init)
    }

    private static func target(of link: String) -> String? {
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            count = start.withMemoryRebound(to: CChar.self, capacity: buffer.count) {
                max(readlink(link, $0, buffer.count), 0)
            }
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    private func watchInside(_ folder: String, depth: Int) {
        // As deep as files are looked for.
        guard depth < 32 else { return }
        add(folder, hasContent: true) { $0.inside = folder }
        guard let directory = opendir(folder) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            var status = stat()
            let path = "\(folder)/\(name)"
            guard lstat(path, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                watchInside(path, depth: depth + 1)
            } else if status.st_mode & S_IFMT == S_IFLNK, Self.isConfiguration(name) {
                watchWay(to: path, from: path)
            }
        }
    }

    /// Watches a directory, or more of one that is watched.
    private func add(_ folder: String, hasContent: Bool, _ change: (inout Place) -> Void) {
        if let watch = watches[folder], watch.hasContent || !hasContent {
            change(&places[watch.number, default: Place()])
            return
        }
        // By several paths a directory is watched once, for all that is wanted of it in any.
        let mask = hasContent ? CL_IN_CONFIG_DIRECTORY : CL_IN_ITSELF
        var number = cl_inotify_add(descriptor, folder, mask)
        if number >= 0, places[number] != nil {
            number = cl_inotify_add(descriptor, folder, CL_IN_CONFIG_DIRECTORY)
        }
        guard number >= 0 else { return note(-number, folder) }
        watches[folder] = Watch(number: number, hasContent: hasContent, identity: Identity(folder))
        change(&places[number, default: Place()])
    }

    private func note(_ code: Int32, _ folder: String) {
        switch code {
        // It went at this moment, of which its own directory tells.
        case ENOENT, ENOTDIR: return
        case ENOSPC:
            obstacle = "\(folder) can't be watched: no inotify watch is left; raise fs.inotify.max_user_watches"
        default: obstacle = "\(folder) can't be watched: \(String(cString: strerror(code)))"
        }
    }

    /// One event: inotify(7).
    private struct Event {
        var watch: Int32
        var mask: UInt32
        var name: String

        /// Takes the first event off the bytes.
        init?(_ bytes: inout UnsafeRawBufferPointer) {
            let header = MemoryLayout<inotify_event>.size
            guard bytes.count >= header else { return nil }
            watch = bytes.loadUnaligned(fromByteOffset: 0, as: Int32.self)
            mask = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
            let length = Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            guard bytes.count >= header + length else { return nil }
            name = String(decoding: bytes[header..<header + length].prefix { $0 != 0 }, as: UTF8.self)
            bytes = UnsafeRawBufferPointer(rebasing: bytes[(header + length)...])
        }
    }
}
