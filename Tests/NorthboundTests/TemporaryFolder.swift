import Glibc
import Testing

/// A folder that is removed after the test.
final class TemporaryFolder {
    let path: String
    private var made: [String] = []

    init() throws {
        var template = Array("/tmp/nsm-agent-model.XXXXXX".utf8CString)
        path = try template.withUnsafeMutableBufferPointer { buffer in
            let start = try #require(buffer.baseAddress)
            return String(cString: try #require(mkdtemp(start)))
        }
    }

    func write(_ name: String, _ text: String) throws {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
        made.append("\(path)/\(name)")
    }

    func folder(_ name: String) {
        mkdir("\(path)/\(name)", 0o755)
        made.append("\(path)/\(name)")
    }

    func link(_ name: String, to target: String) {
        symlink(target, "\(path)/\(name)")
        made.append("\(path)/\(name)")
    }

    func remove() {
        for entry in made.reversed() { Glibc.remove(entry) }
        rmdir(path)
    }
}
