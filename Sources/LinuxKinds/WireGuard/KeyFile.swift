internal import Glibc
internal import NetworkTypes

/// What is wrong with a file that is to hold a key. Nothing of what is in it is repeated.
struct KeyFileError: Error, CustomStringConvertible {
    let path: String
    let reason: String

    var description: String { "\(path) \(reason)" }
}

/// Files with a private or shared key of WireGuard.
enum KeyFile {
    /// More than a key and blanks around it is not read.
    private static let mostBytes = 256

    /// The key in a file, as `wg genkey` and `wg genpsk` write it.
    ///
    /// - Throws: when the file can't be read, is not a regular one of root's or ours, can be read or written by others, or does
    ///   not hold one key.
    static func read(_ path: String) throws(KeyFileError) -> WireGuardSecret {
        func mistake(_ reason: String) -> KeyFileError { KeyFileError(path: path, reason: reason) }
        // What is no regular file must not hold us up.
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard file >= 0 else { throw mistake("can't be opened: \(String(cString: strerror(errno)))") }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw mistake("can't be read: \(String(cString: strerror(errno)))") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw mistake("is not a regular file") }
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw mistake("belongs to user \(status.st_uid); it has to be root's")
        }
        let mode = status.st_mode & 0o7777
        guard mode & 0o027 == 0 else {
            let text = String(mode, radix: 8)
            throw mistake("has mode 0\(text), so that others can read or write it; chmod 0600 it")
        }
        var bytes = [UInt8](repeating: 0, count: mostBytes)
        defer { explicit_bzero(&bytes, bytes.count) }
        let count = Glibc.read(file, &bytes, bytes.count)
        guard count >= 0 else { throw mistake("can't be read: \(String(cString: strerror(errno)))") }
        let isBlank: (UInt8) -> Bool = { [0x20, 0x09, 0x0a, 0x0d].contains($0) }
        let text = bytes[..<count].drop(while: isBlank)
        let end = text.lastIndex { !isBlank($0) }.map { $0 + 1 } ?? text.startIndex
        guard let key = WireGuardSecret(base64: text[text.startIndex..<end]), !key.isZero else {
            throw mistake("does not hold one key of 44 characters of base64, as `wg genkey` writes it")
        }
        return key
    }
}
