import CLinux
import Glibc
import Testing

@Suite("Writing all of it")
struct WriteAllTests {
    @Test("more than a pipe holds arrives whole, and a reader that is gone is told")
    func pipes() async throws {
        signal(SIGPIPE, SIG_IGN)
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let (reading, writing) = (ends[0], ends[1])
        async let written = Task.detached {
            defer { close(writing) }
            return cl_write_all(writing, bytes, bytes.count)
        }.value
        var got: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while case let count = read(reading, &part, part.count), count > 0 { got += part[..<count] }
        #expect(await written == 0)
        #expect(got == bytes)
        close(reading)

        try #require(pipe(&ends) == 0)
        close(ends[0])
        #expect(cl_write_all(ends[1], bytes, bytes.count) == -EPIPE)
        close(ends[1])
        #expect(cl_write_all(-1, bytes, bytes.count) == -EBADF)
        #expect(cl_write_all(-1, bytes, 0) == 0)
    }
}
