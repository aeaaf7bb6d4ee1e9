import Glibc
import Testing

@testable import Netlink

/// The files as iproute2 reads them.
@Suite("files of names")
struct NameFileTests {
    /// Folders in the places of /etc/iproute2 and those below /usr.
    private final class Place {
        let path: String
        let files: NameFiles

        init() throws {
            var template = Array("/tmp/nsm-agent-names.XXXXXX".utf8CString)
            path = try template.withUnsafeMutableBufferPointer { buffer in
                let start = try #require(buffer.baseAddress)
                return String(cString: try #require(mkdtemp(start)))
            }
            files = NameFiles(own: "\(path)/etc", others: ["\(path)/share", "\(path)/lib"])
            for folder in ["etc", "share", "lib"] {
                mkdir("\(path)/\(folder)", 0o755)
                mkdir("\(path)/\(folder)/rt_tables.d", 0o755)
            }
        }

        func write(_ name: String, _ text: String) throws {
            let file = try #require(fopen("\(path)/\(name)", "w"))
            fputs(text, file)
            fclose(file)
        }

        deinit {
            for folder in ["etc", "share", "lib"] {
                for name in ["rt_tables.d/a.conf", "rt_tables.d/b.conf", "rt_tables.d/c.txt", "rt_tables"] {
                    unlink("\(path)/\(folder)/\(name)")
                }
                rmdir("\(path)/\(folder)/rt_tables.d")
                rmdir("\(path)/\(folder)")
            }
            rmdir(path)
        }
    }

    private func names(_ place: Place) -> [String] {
        place.files.entries(of: "rt_tables").map { "\($0.number) \($0.name)" }
    }

    @Test("the administrator's file counts more than the distribution's, and folders add to either")
    func places() throws {
        let place = try Place()
        #expect(names(place) == [])
        try place.write("lib/rt_tables", "1 old\n")
        #expect(names(place) == ["1 old"])
        try place.write("share/rt_tables", "1 usr\n")
        try place.write("share/rt_tables.d/a.conf", "2 usr-a\n")
        try place.write("share/rt_tables.d/b.conf", "3 usr-b\n")
        #expect(names(place) == ["1 usr", "2 usr-a", "3 usr-b"])
        try place.write("etc/rt_tables.d/b.conf", "4 etc-b\n")
        try place.write("etc/rt_tables.d/c.txt", "5 no\n")
        #expect(names(place) == ["1 usr", "2 usr-a", "4 etc-b"])
        try place.write("etc/rt_tables", "6 etc\n")
        #expect(names(place) == ["6 etc", "2 usr-a", "4 etc-b"])
    }

    @Test("lines are a number and a name; others are left out")
    func lines() {
        let text =
            "# 1 no\n\n 7\tblue # a colour\n0x10 red\r\n8\nx y\n-1 minus\n4294967295 last\n4294967296 over\n9 a b\n"
        #expect(
            NameFiles.parse(text).map { "\($0.number) \($0.name)" } == ["7 blue", "16 red", "4294967295 last", "9 a"])
    }
}
