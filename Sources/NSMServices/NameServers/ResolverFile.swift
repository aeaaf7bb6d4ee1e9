internal import CLinux
internal import Glibc
internal import NetworkTypes

/// The resolver's file, with the mesh's name servers while there are any, and as it was afterwards.
struct ResolverFile: Sendable {
    /// Why the file can't be read or written.
    struct Failure: Error, Hashable, CustomStringConvertible {
        let description: String

        init(_ path: String, _ what: String, _ code: Int32) {
            description = "\(path) can't be \(what): \(String(cString: strerror(code)))"
        }
    }

    private struct Present {
        var content: [UInt8]
        /// nil: it is no link.
        var target: String?
        var isThere: Bool
        var mode: mode_t
    }

    let path: String
    /// More is no resolver's file.
    private static let largest = 1 << 20

    /// Whether the file is one that we wrote.
    var isOurs: Bool { (try? read()).map { ResolverText.original(of: $0.content) != nil } ?? false }

    /// What the file says, or said before we wrote it.
    func original() throws(Failure) -> ResolverConfiguration { ResolverText.configuration(of: try read().content) }

    /// The server that the file names alone, when it is one that we wrote.
    var onlyServer: IPAddress? {
        guard let content = try? read().content, ResolverText.original(of: content) != nil else { return nil }
        let servers = ResolverText.configuration(of: content, isPresent: true).servers
        return servers.count == 1 ? IPAddress(servers[0]) : nil
    }

    /// Writes the name servers into the file. One that says so already is left alone.
    ///
    /// - Parameter isAlone: Whether the servers that were there are left out.
    func write(_ servers: ResolverConfiguration, isAlone: Bool = false) throws(Failure) {
        let present = try read()
        let original: ResolverText.Original
        if let known = ResolverText.original(of: present.content) {
            original = known
        } else if let target = present.target {
            original = .link(target: target, present.content)
        } else {
            original = present.isThere ? .file(present.content) : .absent
        }
        let text = ResolverText.render(original, servers, isAlone: isAlone)
        if present.target == nil, text == present.content { return }
        try replace(text, present)
    }

    /// Puts back what was there before. A file that we did not write is left alone.
    func restore() throws(Failure) {
        let present = try read()
        switch ResolverText.original(of: present.content) {
        case nil: return
        case .file(let content): try replace(content, present)
        case .link(let target, let content): try restoreLink(target, content, present)
        case .absent:
            if unlink(path) == 0 || errno == ENOENT { return }
            // It can't go where it is mounted.
            try replace([], present)
        }
    }

    // MARK: - Files

    private func read() throws(Failure) -> Present {
        var present = Present(content: [], target: nil, isThere: true, mode: 0o644)
        var status = stat()
        if lstat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFLNK {
                var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
                let count = readlink(path, &buffer, buffer.count)
                guard count >= 0 else { throw Failure(path, "read", errno) }
                present.target = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            } else {
                present.mode = status.st_mode & 0o7777
            }
        } else if errno == ENOENT {
            present.isThere = false
            return present
        } else {
            throw Failure(path, "read", errno)
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        // A link that leads nowhere has no content.
        if descriptor < 0, errno == ENOENT { return present }
        guard descriptor >= 0 else { throw Failure(path, "read", errno) }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure(path, "read", errno) }
            if count == 0 { return present }
            present.content += buffer[..<count]
            guard present.content.count <= Self.largest else { throw Failure(path, "read", EFBIG) }
        }
    }

    /// At once, by a new file in its place; in place where that can't be, as a mounted file has no other.
    private func replace(_ text: [UInt8], _ present: Present) throws(Failure) {
        let temporary = "\(path).nsm-agent"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, present.mode)
        guard descriptor >= 0 else { return try writeInPlace(text, isLink: present.target != nil) }
        let isWritten = Self.write(text, to: descriptor) && fchmod(descriptor, present.mode) == 0
        let code = errno
        close(descriptor)
        if isWritten, rename(temporary, path) == 0 { return }
        let isMounted = isWritten && (errno == EBUSY || errno == EXDEV)
        unlink(temporary)
        guard isMounted else { throw Failure(path, "replaced", isWritten ? errno : code) }
        try writeInPlace(text, isLink: false)
    }

    private func writeInPlace(_ text: [UInt8], isLink: Bool) throws(Failure) {
        // What a link leads to is somebody else's file.
        guard !isLink else { throw Failure(path, "replaced", EACCES) }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw Failure(path, "written", errno) }
        defer { close(descriptor) }
        // Cut last, so that at no time it holds less than it should.
        guard Self.write(text, to: descriptor), ftruncate(descriptor, off_t(text.count)) == 0 else {
            throw Failure(path, "written", errno)
        }
    }

    private func restoreLink(
        _ target: String, _ content: [UInt8], _ present: Present
    ) throws(Failure) {
        let temporary = "\(path).nsm-agent"
        unlink(temporary)
        guard symlink(target, temporary) == 0 else { return try replace(content, present) }
        if rename(temporary, path) == 0 { return }
        let code = errno
        unlink(temporary)
        throw Failure(path, "replaced", code)
    }

    private static func write(_ text: [UInt8], to descriptor: Int32) -> Bool {
        cl_write_all(descriptor, text, text.count) == 0
    }
}
