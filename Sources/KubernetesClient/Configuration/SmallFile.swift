internal import Glibc

/// Files that hold a token, a certificate or settings.
enum SmallFile {
    /// What a file looks like from outside; another one means that its content may be another.
    struct Stamp: Hashable {
        var seconds = 0
        var nanoseconds = 0
        var size = 0
        var inode: UInt64 = 0

        init(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return }
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
            size = Int(status.st_size)
            inode = UInt64(status.st_ino)
        }
    }

    /// Reads a file that is not longer than a limit.
    static func read(_ path: String, limit: Int = 1 << 20) throws(KubernetesError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16384)
        while true {
            let count = Glibc.read(descriptor, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(path) }
            if count == 0 { return content }
            content += part[..<count]
            guard content.count <= limit else {
                throw KubernetesError(.badConfiguration, "\(path): longer than \(limit) bytes")
            }
        }
    }

    private static func failure(_ path: String) -> KubernetesError {
        KubernetesError(.badConfiguration, "\(path): can't be read: \(String(cString: strerror(errno)))")
    }
}

/// Base64 as RFC 4648 has it, line breaks allowed.
enum Base64 {
    /// The bytes; nil when the text is no Base64.
    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var (bits, count, padding): (UInt32, Int, Int) = (0, 0, 0)
        for byte in text.utf8 {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte + 4
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            case UInt8(ascii: "="):
                padding += 1
                continue
            case 0x20, 0x0a, 0x0d, 0x09: continue
            default: return nil
            }
            guard padding == 0 else { return nil }
            bits = bits << 6 | UInt32(digit)
            count += 1
            if count % 4 != 0 { continue }
            out += [UInt8(bits >> 16 & 255), UInt8(bits >> 8 & 255), UInt8(bits & 255)]
            bits = 0
        }
        switch count % 4 {
        case 0: return padding == 0 ? out : nil
        case 2: return out + [UInt8(bits >> 4 & 255)]
        case 3: return out + [UInt8(bits >> 10 & 255), UInt8(bits >> 2 & 255)]
        default: return nil
        }
    }
}
