import Glibc
import Testing

@testable import MeshTransport

/// What listeners leave alone, and which modes they give.
@Suite("Listeners", .serialized)
struct ListenerTests {
    private let directory: String

    init() throws {
        directory = "/tmp/nsm-listen-\(UInt64.random(in: 0...UInt64.max))"
        guard mkdir(directory, 0o700) == 0 else { throw TransportError("mkdir") }
    }

    private func mode(_ path: String) -> UInt32? {
        var status = stat()
        return lstat(path, &status) == 0 ? UInt32(status.st_mode) : nil
    }

    /// A socket that its listener has left.
    private func abandon(_ path: String) throws {
        let moved = path + "-"
        do {
            let listener = try ServerListener(.unix(path))
            #expect(rename(path, moved) == 0)
            withExtendedLifetime(listener) {}
        }
        #expect(rename(moved, path) == 0)
        #expect(SocketAddress.unix(path).isAbandoned)
    }

    @Test("what is not a socket stays, and the error says what is there")
    func others() throws {
        let path = directory + "/file"
        let file = open(path, O_CREAT | O_WRONLY, 0o644)
        write(file, "mine", 4)
        close(file)
        #expect(throws: ListenFailure.notASocket(path)) { try ServerListener(path: path, mode: 0o600) }
        let folder = directory + "/folder"
        #expect(mkdir(folder, 0o755) == 0)
        #expect(throws: ListenFailure.notASocket(folder)) { try ServerListener(path: folder, mode: 0o600) }
        // Links are not followed, wherever they lead.
        let left = directory + "/left"
        try abandon(left)
        for target in [path, left, directory + "/nowhere"] {
            let link = directory + "/link"
            #expect(symlink(target, link) == 0)
            #expect(throws: ListenFailure.notASocket(link)) { try ServerListener(path: link, mode: 0o600) }
            #expect(mode(link) != nil)
            unlink(link)
        }
        #expect(mode(path).map { $0 & S_IFMT } == S_IFREG && mode(left).map { $0 & S_IFMT } == S_IFSOCK)
    }

    @Test("a socket that was left is replaced, one that is listened on is not, and each goes with its listener")
    func sockets() throws {
        for name in ["/short", "/" + String(repeating: "x", count: 80)] {
            let path = directory + name
            try abandon(path)
            do {
                let listener = try ServerListener(path: path, mode: 0o600)
                #expect(throws: ListenFailure.inUse(path)) { try ServerListener(path: path, mode: 0o600) }
                #expect(listener.address.probe() == 0)
            }
            #expect(mode(path) == nil)
            // Not when another one has taken its place.
            do {
                let first = try ServerListener(path: path, mode: 0o600)
                unlink(path)
                let second = try ServerListener(path: path, mode: 0o600)
                first.removeFile()
                #expect(second.address.probe() == 0)
                second.removeFile()
                #expect(mode(path) == nil)
            }
        }
    }

    @Test("modes do not depend on the umask", arguments: [0, 0o777] as [mode_t])
    func modes(mask: mode_t) throws {
        let before = umask(mask)
        defer { umask(before) }
        for (name, wanted) in [("control", 0o600), ("workload", 0o777)] as [(String, UInt32)] {
            let path = "\(directory)/a\(mask)\(name)/b/\(name).sock"
            let listener = try ServerListener(path: path, mode: wanted)
            #expect(mode(path) == S_IFSOCK | wanted)
            for part in ["/b", ""] {
                #expect(mode("\(directory)/a\(mask)\(name)\(part)") == S_IFDIR | 0o755)
            }
            withExtendedLifetime(listener) {}
        }
        // What was there keeps its mode.
        let old = "\(directory)/old\(mask)"
        #expect(mkdir(old, 0) == 0 && chmod(old, 0o710) == 0)
        let listener = try ServerListener(path: old + "/x.sock", mode: 0o600)
        #expect(mode(old) == S_IFDIR | 0o710)
        withExtendedLifetime(listener) {}
    }

    @Test("a port that is none is an error")
    func port() {
        #expect(throws: TransportError.self) { try ServerListener(.tcp(host: "127.0.0.1", port: 70_000)) }
    }
}
