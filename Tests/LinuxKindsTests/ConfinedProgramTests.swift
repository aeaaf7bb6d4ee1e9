import Netlink
import TestSupport
import Testing

@testable import LinuxKinds

@Suite("programs that read a user's text", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ConfinedProgramTests {
    static let python = Program(name: "python3", package: "python3")

    static func run(
        _ name: String, _ arguments: [String], input: String = "", in namespace: NetworkNamespace? = nil,
        limits: ConfinedProgram.Limits = .init(), landlock: Bool = true
    ) throws -> ProgramResult {
        try ConfinedProgram(Program(name: name, package: name), usesLandlock: landlock)
            .run(arguments, input: input, in: namespace, limits: limits)
    }

    @Test("they read what they are given, and answer", arguments: [true, false])
    func streams(landlock: Bool) throws {
        let text = String(repeating: "0123456789\n", count: 50_000)
        let result = try Self.run("cat", [], input: text, landlock: landlock)
        #expect(result.output == text)
        #expect((result.status, result.words) == (0, ""))
        #expect(try Self.run("cat", ["/dev/stdin"], input: "a", landlock: landlock).output == "a")
    }

    @Test("they read no files and write none", arguments: [true, false])
    func files(landlock: Bool) throws {
        for path in ["/etc/shadow", "/etc/passwd", "/proc/self/environ", "/root", "/run"] {
            let result = try Self.run("cat", [path], landlock: landlock)
            #expect(result.status != 0)
            #expect(result.output == "")
        }
        for path in ["/tmp/x", "/run/x", "/usr/lib/x", "/x", "/dev/x", "/etc/iproute2/x"] {
            #expect(try Self.run("touch", [path], landlock: landlock).status != 0)
        }
        #expect(try Self.run("env", ["id"], landlock: landlock).status != 0)
    }

    @Test("they may change networks, and nothing else", arguments: [true, false])
    func rights(landlock: Bool) throws {
        let script = """
            import ctypes
            libc = ctypes.CDLL(None)
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            sets = (ctypes.c_uint32 * 6)()
            libc.capget(header, sets)
            print(list(sets), libc.prctl(39, 0, 0, 0, 0), [c for c in range(41) if libc.prctl(23, c, 0, 0, 0) == 1])
            """
        let result = try Self.run("python3", ["-I", "-S", "-c", script], landlock: landlock)
        // CAP_NET_ADMIN is 12; no_new_privs is set.
        #expect(result.output == "[4096, 4096, 4096, 0, 0, 0] 1 [12]\n", "\(result.words)")
    }

    @Test("they get no descriptors and no environment", arguments: [true, false])
    func inheritance(landlock: Bool) throws {
        let script = """
            import os
            def there(n):
                try: os.fstat(n); return True
                except OSError: return False
            print(sorted(os.environ), [n for n in range(4096) if there(n)], os.umask(0), os.getcwd())
            """
        let result = try Self.run("python3", ["-I", "-S", "-c", script], landlock: landlock)
        #expect(result.output == "['LC_ALL', 'PATH'] [0, 1, 2] 63 /\n", "\(result.words)")
    }

    @Test("they work in the namespace they are sent to")
    func namespace() throws {
        let scratch = try NetworkNamespace.scratch()
        let text = "table inet t { chain c { accept; }; }\n"
        #expect(try Self.run("nft", ["-f", "-"], input: text, in: scratch).status == 0)
        #expect(try Self.run("nft", ["list", "tables"], in: scratch).output == "table inet t\n")
        #expect(try Self.run("nft", ["list", "tables"], in: NetworkNamespace.scratch()).output == "")
    }

    @Test("one that took too long is not run again for a while, and others are")
    func pause() throws {
        let programs = Programs()
        let (sleep, limits) = (Program(name: "sleep", package: "sleep"), ConfinedProgram.Limits(milliseconds: 50))
        for _ in 0..<3 {
            #expect(throws: ProgramError.tookTooLong(sleep, seconds: 0)) {
                try programs.run(sleep, ["1000"], in: nil, limits: limits)
            }
        }
        #expect(programs.runs == 1)
        try programs.run(sleep, ["0"], in: nil)
        #expect(programs.runs == 2)
        let lengths = ["", String(repeating: "x", count: 1 << 20), String(repeating: "x", count: 9 << 20)]
        #expect(lengths.map { ConfinedProgram.Limits(for: $0).milliseconds } == [5_000, 15_485, 20_000])
    }

    @Test("one that takes too long, writes too much or is not there is an error")
    func limits() throws {
        let limits = ConfinedProgram.Limits(milliseconds: 50, bytes: 100_000)
        let sleep = Program(name: "sleep", package: "sleep")
        #expect(throws: ProgramError.tookTooLong(sleep, seconds: 0)) {
            _ = try Self.run("sleep", ["1000"], limits: limits)
        }
        #expect(throws: ProgramError.wroteTooMuch(Program(name: "head", package: "head"))) {
            _ = try Self.run(
                "head", ["-c", "200000"], input: String(repeating: "x", count: 200_000),
                limits: limits)
        }
        let missing = Program(name: "no-such-program", package: "the-package")
        #expect(throws: ProgramError.missing(missing)) { _ = try ConfinedProgram(missing) }
        #expect("\(ProgramError.missing(missing))".contains("the package the-package brings it"))
    }
}
