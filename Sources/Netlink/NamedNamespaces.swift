import CLinux
import Glibc

extension NetworkNamespace {
    /// Where ip-netns(8) keeps its names.
    public static let standardDirectory = "/run/netns"

    /// Makes a new namespace with a name, as `ip netns add` does, and opens it.
    ///
    /// The directory becomes a shared mount point, so that the name shows up in other mount namespaces; where that is
    /// not allowed the name exists in this one only. A file that is not a namespace, left by a reboot or a kill
    /// between two steps, is replaced. The device `lo` stays down. The calling thread does not move.
    ///
    /// - Parameters:
    ///   - owner: who may take the file away when a kill left it without its namespace; nil: nobody does.
    ///   - prepare: runs in the namespace before it has its name, and so before other processes can see it.
    /// - Throws: `EEXIST` when the name is taken; `EINVAL` when it is not a file name; `EPERM` without `CAP_SYS_ADMIN`.
    public static func create(
        named name: String, directory: String = standardDirectory, owner: String? = nil,
        prepare: (NetworkNamespace) throws(KernelError) -> Void = { _ in }
    ) throws(KernelError) -> NetworkNamespace {
        let path = try path(of: name, in: directory)
        if cl_is_namespace_file(path) == 1 { throw KernelError(code: EEXIST) }
        let namespace = try scratch()
        try prepare(namespace)
        if mkdir(directory, 0o755) != 0, errno != EEXIST { throw KernelError(errno: errno) }
        _ = cl_share_mount_point(directory)
        // Nobody takes it for a left one until it is mounted on.
        let file = try createMountPoint(path, in: directory, owner: owner)
        defer { close(file) }
        let result = cl_bind_mount("/proc/self/fd/\(namespace.descriptor)", path)
        guard result >= 0 else {
            unlink(path)
            throw KernelError(errno: result)
        }
        // Where the directory is shared and mounts in it are not, others see the file alone: now it is not a left one.
        if owner != nil { _ = cl_unmark(file) }
        return namespace
    }

    /// Takes a name away, as `ip netns delete` does. The namespace itself goes with its last user.
    ///
    /// - Parameter owner: who may take the file away when a kill leaves it without its namespace; nil: nobody does.
    /// - Throws: `ENOENT` when there is no such name; `EINVAL` when it is not a file name.
    public static func remove(
        named name: String, directory: String = standardDirectory, owner: String? = nil
    ) throws(KernelError) {
        let path = try path(of: name, in: directory)
        // Without it, a kill before the last step leaves a file that nobody takes away.
        let file = owner.map { cl_mark_beneath(directory, name, $0) } ?? -ENOENT
        defer { if file >= 0 { close(file) } }
        let result = cl_unmount_detach(path)
        // EINVAL: a stale file, not a mount point.
        guard result == 0 || result == -EINVAL else { throw KernelError(errno: result) }
        guard unlink(path) == 0 else { throw KernelError(errno: errno) }
    }

    /// The names in a directory that lead to namespaces, in order. A missing directory holds none.
    public static func list(directory: String = standardDirectory) throws(KernelError) -> [String] {
        try names(in: directory).filter { cl_is_namespace_file("\(directory)/\($0)") == 1 }
    }

    /// The names in a directory that led to namespaces of an owner, when a kill came between two steps.
    ///
    /// - Parameter others: Names of which it is known that they lead to namespaces: these are not looked at.
    public static func leftNames(of owner: String, in directory: String, besides others: [String]) -> [String] {
        let others = Set(others)
        let names = (try? names(in: directory)) ?? []
        return names.filter { !others.contains($0) && cl_remove_marked("\(directory)/\($0)", owner, true) == 0 }
    }

    /// Takes such a name away. Does nothing when it leads to a namespace again.
    public static func removeLeftName(_ name: String, of owner: String, in directory: String) throws(KernelError) {
        let result = cl_remove_marked("\(directory)/\(name)", owner, false)
        guard [0, -ENOENT, -EBUSY].contains(result) else { throw KernelError(errno: result) }
    }

    /// All names in a directory, in order, wherever they lead. A missing directory holds none.
    public static func names(in directory: String) throws(KernelError) -> [String] {
        guard let stream = opendir(directory) else {
            if errno == ENOENT { return [] }
            throw KernelError(errno: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func path(of name: String, in directory: String) throws(KernelError) -> String {
        let count = name.utf8.count
        guard (1...255).contains(count), name != ".", name != "..", !name.utf8.contains(where: { $0 == 0 || $0 == 47 })
        else {
            throw KernelError(code: EINVAL, message: "a namespace's name is a file name of 1 to 255 bytes without '/'")
        }
        return "\(directory)/\(name)"
    }

    /// Makes the empty file that the namespace is mounted on, and returns its descriptor.
    private static func createMountPoint(
        _ path: String, in directory: String, owner: String?
    ) throws(KernelError) -> Int32 {
        func create() -> Int32 {
            if let owner { return cl_create_marked(directory, path, owner) }
            let file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0)
            return file < 0 ? -errno : file
        }
        var file = create()
        if file == -EEXIST {
            if cl_is_namespace_file(path) == 1 { throw KernelError(code: EEXIST) }
            guard unlink(path) == 0 else { throw KernelError(errno: errno) }
            file = create()
        }
        guard file >= 0 else { throw KernelError(errno: file) }
        return file
    }
}
