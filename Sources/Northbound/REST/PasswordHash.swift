internal import Glibc

/// A password as a hash of bcrypt, such as `$2a$10$…`.
///
/// The system's libcrypt knows the algorithm. It is loaded when it is needed, so that others do not need it.
public struct PasswordHash: Sendable, Hashable {
    private let text: String

    /// Hashing takes twice the time with each more: from 10 on it is slow enough, and beyond 14 a second and more.
    private static let costs = 4...14

    /// Nil when the text is not such a hash.
    public init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard text.utf8.count == 60, text.utf8.allSatisfy({ $0 < 0x80 }), parts.count == 4, parts[0].isEmpty,
            ["2a", "2b", "2y"].contains(parts[1]), let cost = Int(parts[2]), Self.costs.contains(cost)
        else { return nil }
        self.text = text
    }

    /// A hash of no password, to be as slow for unknown names as for known ones.
    static let ofNobody = PasswordHash("$2a$10$abcdefghijklmnopqrstuu4T826PRnz0Hu6YlprUuxkZxOOj5Fw5S")

    /// Whether hashes can be made here.
    public static var isPossible: Bool { ofNobody.flatMap { hash("", $0.text) } != nil }

    /// Whether it is the hash of a password. It takes some tenths of a second.
    func matches(_ password: String) -> Bool {
        // A C string ends at a zero, and bcrypt looks at 72 bytes.
        guard password.utf8.count <= 72, !password.utf8.contains(0), let made = Self.hash(password, text) else {
            return false
        }
        return Secret.isSame(Array(made.utf8), Array(text.utf8))
    }

    /// Source: crypt_ra(3) of libxcrypt.
    private typealias Crypt =
        @convention(c) (
            UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeMutablePointer<UnsafeMutableRawPointer?>,
            UnsafeMutablePointer<CInt>
        ) -> UnsafeMutablePointer<CChar>?

    private static func hash(_ password: String, _ setting: String) -> String? {
        guard let library = dlopen("libcrypt.so.1", RTLD_NOW) ?? dlopen("libcrypt.so.2", RTLD_NOW) else { return nil }
        defer { dlclose(library) }
        guard let symbol = dlsym(library, "crypt_ra") else { return nil }
        let crypt = unsafeBitCast(symbol, to: Crypt.self)
        var memory: UnsafeMutableRawPointer?
        var size: CInt = 0
        defer {
            if let memory {
                // It holds the password.
                explicit_bzero(memory, Int(size))
                free(memory)
            }
        }
        guard let made = crypt(password, setting, &memory, &size) else { return nil }
        let text = String(cString: made)
        // What failed begins with an asterisk.
        return text.hasPrefix("$2") ? text : nil
    }
}

/// Comparing what is secret.
enum Secret {
    /// As long for a wrong one as for the right one.
    static func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        var difference = left.count ^ right.count
        for index in 0..<right.count {
            difference |= Int(right[index] ^ (index < left.count ? left[index] : ~right[index]))
        }
        return difference == 0
    }
}
