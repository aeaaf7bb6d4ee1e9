import Glibc
import Testing

@testable import Northbound

@Suite("One file in the place of others")
struct FileReplacementTests {
    private final class Folder {
        let path: String

        init() throws {
            var template = Array("/tmp/nsm-agent-files.XXXXXX".utf8CString)
            path = try template.withUnsafeMutableBufferPointer { buffer in
                let start = try #require(buffer.baseAddress)
                return String(cString: try #require(mkdtemp(start)))
            }
        }

        deinit {
            for name in all { unlink("\(path)/\(name)") }
            rmdir("\(path)/sub")
            rmdir(path)
        }

        func write(_ name: String, _ text: String, mode: mode_t = 0o644) {
            let file = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode)
            _ = text.withCString { Glibc.write(file, $0, strlen($0)) }
            close(file)
            chmod("\(path)/\(name)", mode)
        }

        func text(_ name: String) -> String? {
            guard let content = try? ConfigFile.read("\(path)/\(name)") else { return nil }
            return String(decoding: content.bytes, as: UTF8.self)
        }

        var all: [String] {
            ["", "sub/"].flatMap { folder -> [String] in
                guard let directory = opendir("\(path)/\(folder)") else { return [] }
                defer { closedir(directory) }
                var names: [String] = []
                while let entry = readdir(directory) {
                    let name = withUnsafePointer(to: &entry.pointee.d_name) {
                        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                    }
                    if name != ".", name != "..", name != "sub" { names.append(folder + name) }
                }
                return names
            }.sorted()
        }
    }

    @Test("others are kept beside it, in their folders, and come back")
    func kept() throws {
        let folder = try Folder()
        mkdir("\(folder.path)/sub", 0o755)
        folder.write("a.yaml", "a", mode: 0o600)
        folder.write("sub/b.json", "b")
        folder.write("a.yaml.orig", "older")
        folder.write("README", "r")
        let before = folder.all
        let present = try FileReplacement.present(in: folder.path)
        #expect(present == ["a.yaml", "sub/b.json"].map { "\(folder.path)/\($0)" })
        let replacement = try FileReplacement(of: folder.path, name: "n.yaml", by: "new", files: present)
        #expect(folder.all == ["README", "a.yaml.orig", "a.yaml.orig.1", "n.yaml", "sub/b.json.orig"])
        #expect(folder.text("a.yaml.orig") == "older" && folder.text("a.yaml.orig.1") == "a")
        #expect(folder.text("sub/b.json.orig") == "b" && folder.text("n.yaml") == "new")
        var status = stat()
        #expect(stat("\(folder.path)/n.yaml", &status) == 0 && status.st_mode & 0o777 == 0o600, "as those before")
        try replacement.undo()
        #expect(folder.all == before)
        #expect(
            folder.text("a.yaml") == "a" && folder.text("sub/b.json") == "b" && folder.text("a.yaml.orig") == "older")
    }

    @Test("a file of the same name, and a single file, are replaced by themselves")
    func sameName() throws {
        for isSingle in [false, true] {
            let folder = try Folder()
            folder.write("n.yaml", "old")
            let directory = isSingle ? folder.path + "/n.yaml" : folder.path
            let present = try FileReplacement.present(in: directory)
            let replacement = try FileReplacement(of: directory, name: "n.yaml", by: "new", files: present)
            #expect(folder.all == ["n.yaml", "n.yaml.orig"])
            #expect(folder.text("n.yaml") == "new" && folder.text("n.yaml.orig") == "old")
            try replacement.undo()
            #expect(folder.all == ["n.yaml"] && folder.text("n.yaml") == "old")
        }
    }

    @Test("nobody may read the new file who may not read all that it replaces")
    func modes() throws {
        let folder = try Folder()
        folder.write("a.yaml", "a", mode: 0o644)
        folder.write("b.yaml", "b", mode: 0o640)
        folder.write("c.yaml", "c", mode: 0o604)
        let present = try FileReplacement.present(in: folder.path)
        _ = try FileReplacement(of: folder.path, name: "n.yaml", by: "new", files: present)
        var status = stat()
        #expect(stat("\(folder.path)/n.yaml", &status) == 0 && status.st_mode & 0o777 == 0o600)
    }

    @Test("what somebody writes meanwhile is not overwritten")
    func writtenMeanwhile() throws {
        for name in ["a.yaml", "n.yaml"] {
            let folder = try Folder()
            folder.write("a.yaml", "a")
            folder.write("b.yaml", "b")
            let present = try FileReplacement.present(in: folder.path)
            let replacement = try FileReplacement(of: folder.path, name: "n.yaml", by: "new", files: present)
            folder.write(name, "theirs")
            #expect(throws: FileReplacement.Failure.self) { try replacement.undo() }
            #expect(folder.text(name) == "theirs" && folder.text("b.yaml") == "b")
            if name == "a.yaml" {
                #expect(folder.all == ["a.yaml", "a.yaml.orig", "b.yaml"] && folder.text("a.yaml.orig") == "a")
            } else {
                #expect(folder.all == ["a.yaml", "b.yaml", "n.yaml"] && folder.text("a.yaml") == "a")
            }
        }
    }

    @Test("what fails leaves all as it was")
    func failures() throws {
        let folder = try Folder()
        folder.write("a.yaml", "a")
        let gone = folder.path + "/gone.yaml"
        #expect(throws: FileReplacement.Failure.self) {
            try FileReplacement(
                of: folder.path, name: "n.yaml", by: "new", files: try FileReplacement.present(in: folder.path) + [gone]
            )
        }
        #expect(folder.all == ["a.yaml"] && folder.text("a.yaml") == "a")
        symlink("a.yaml", "\(folder.path)/l.yaml")
        #expect(throws: FileReplacement.Failure.self) { try FileReplacement.present(in: folder.path) }
        #expect(throws: FileReplacement.Failure.self) { try FileReplacement.present(in: gone) }
    }
}
