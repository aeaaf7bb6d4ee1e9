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
/// Sees files written, renamed and removed, the symbolic-link swap by which a mounted ConfigMap changes, and the directory
/// itself coming and going. Used by one thread; put ``descriptor`` into an event loop.
public final class ConfigDirectory {
    /// The directory, or a single file.
    public let path: String
    /// Readable when something happened.
    public let descriptor: Int32

    private enum Place {
        /// A directory of configuration files.
        case inside(String)
        /// A directory in which only this name counts: it is on the way to ours.
        case above(String)
    }

    private var places: [Int32: Place] = [:]

    /// Starts without watching anything; ``watch()`` follows. nil when the kernel has no more inotify instances for us.
    public init?(path: String) {
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        descriptor = cl_inotify_create()
        if descriptor < 0 { return nil }
    }

    deinit { close(descriptor) }

    /// Watches what is there now. Returns whether the directory is.
    ///
    /// Call it before the files are read, so that nothing that happens later is missed.
    public func watch() -> Bool {
        let former = places
        places = [:]
        var status = stat()
        let isThere = stat(path, &status) == 0
        watchAbove()
        if isThere, status.st_mode & S_IFMT == S_IFDIR { watchInside(path, depth: 0) }
        for number in former.keys where places[number] == nil { _ = inotify_rm_watch(descriptor, number) }
        return isThere
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
        switch place {
        case .above(let name): return event.name == name ? .all : .none
        case .inside(let folder):
            // The directory itself went.
            if event.name.isEmpty { return .all }
            if event.mask & UInt32(IN_ISDIR) != 0 { return event.name.hasPrefix(".") ? .none : .all }
            if event.name == "..data" { return .all }
            guard Self.isConfiguration(event.name) else { return .none }
            let path = "\(folder)/\(event.name)"
            // A new file is empty; it counts once it was written and closed. Links are complete at once.
            return event.mask & UInt32(IN_CREATE) == 0 || Self.isLink(path) ? .files([path]) : .none
        }
    }

    private static func isConfiguration(_ name: String) -> Bool {
        !name.hasPrefix(".") && [".yaml", ".yml", ".json"].contains { name.hasSuffix($0) }
    }

    private static func isLink(_ path: String) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0 else { return false }
        return status.st_mode & S_IFMT != S_IFREG || status.st_nlink > 1
    }

    /// Watches the nearest directory above that exists, for the next name on the way.
    private func watchAbove() {
        var parent = path
        while let slash = parent.lastIndex(of: "/") {
            let name = String(parent[parent.index(after: slash)...])
            parent = slash == parent.startIndex ? "/" : String(parent[..<slash])
            if add(parent, .above(name)) || parent == "/" { return }
        }
        _ = add(".", .above(parent))
    }

    private func watchInside(_ folder: String, depth: Int) {
        // As deep as files are looked for.
        guard depth < 32, add(folder, .inside(folder)), let directory = opendir(folder) else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            var status = stat()
            let path = "\(folder)/\(name)"
            if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { watchInside(path, depth: depth + 1) }
        }
    }

    private func add(_ folder: String, _ place: Place) -> Bool {
        let number = cl_inotify_add(descriptor, folder, CL_IN_CONFIG_DIRECTORY)
        guard number >= 0 else { return false }
        places[number] = place
        return true
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
