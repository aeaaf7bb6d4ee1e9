import Glibc
import Synchronization

@testable import MeshTransport

/// The reading end of a pipe that holds a text.
func pipe(_ text: String) throws -> Descriptor {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw DescriptorError("pipe") }
    _ = write(ends[1], text, text.utf8.count)
    close(ends[1])
    let descriptor = try Descriptor(owning: ends[0])
    pipes.withLock { _ = $0.insert(descriptor.inode.number) }
    return descriptor
}

/// Inodes of the pipes that were made to be sent.
private let pipes = Mutex<Set<UInt64>>([])

func content(_ descriptor: Descriptor) throws -> String {
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = read(descriptor.number, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
}

/// Descriptors of pipes that were made to be sent. Other tests run beside this one and open other things.
func openDescriptors() throws -> Int {
    let pipes = pipes.withLock { $0 }
    guard let directory = opendir("/proc/self/fd") else { throw DescriptorError("/proc/self/fd") }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) {
        let number = withUnsafeBytes(of: entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        var status = stat()
        guard let number = Int32(number), fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else {
            continue
        }
        if pipes.contains(UInt64(status.st_ino)) { count += 1 }
    }
    return count
}
