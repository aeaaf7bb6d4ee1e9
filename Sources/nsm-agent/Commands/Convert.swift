internal import ArgumentParser
internal import Glibc
internal import Model
internal import Northbound

struct Convert: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Make a configuration file of files of another program.",
        discussion: """
            Reads files of netplan (version 2), systemd-networkd (.network and .netdev), nmstate, ifstate or CNI, writes what has a \
            counterpart as a file of nsm-agent, and lists the rest on standard error, each with file, line and what to do. Nothing \
            is applied: look at the result with 'nsm-agent check' and 'nsm-agent plan'.

            Interfaces that the files don't make, such as network cards, become EXISTING ones. Of CNI, which is for any number of \
            containers, the result is the host's side and one container, with the first address.
            """)

    @Argument(
        help: ArgumentHelp("Files and directories of one program; '-' is standard input.", valueName: "path"),
        completion: .file())
    var paths: [String]
    @Option(
        help: "Which program the files are for: \(formats). (default: what they look like)", completion: .list(names))
    var from: String?
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "Write to this file instead of standard output. What it held stays beside it, as FILE.orig.",
            valueName: "file"),
        completion: .file())
    var output: String?
    @Flag(help: "Fail if something was left out.")
    var strict = false
    @Option(
        help: ArgumentHelp(
            "Network namespace that stands for the container, of CNI. (default: the name of the network)",
            valueName: "name"),
        completion: Completions.namespaces)
    var namespace: String?

    private static let names = ForeignFormat.allCases.map(\.rawValue)
    private static let formats = names.joined(separator: ", ")

    mutating func validate() throws {
        if let from, ForeignFormat(rawValue: from) == nil {
            throw ValidationError("--from '\(from)': it is one of \(Self.formats)")
        }
        if paths.isEmpty { throw ValidationError("name the files to convert") }
    }

    func run() throws {
        let conversion = try convert()
        let text = YAMLWriter.write(conversion.document)
        if let output { try Self.write(text, to: output) } else { Show.text(text) }
        Failure.write(
            OneShot.lines(conversion.leftOut, conversion.omitted, "thing left out") { "\($0)" })
        let count = conversion.leftOutCount
        if count > 0 { Failure.tell("\(Text.count(count, "thing")) left out") }
        OneShot.finish(strict && count > 0 ? ExitStatus.failure : ExitStatus.success)
    }

    private func convert() throws -> Conversion {
        let files: [ForeignFile]
        do throws(Mistake) { files = try ForeignFiles.read(paths) } catch {
            throw Failure("\(error)", status: ExitStatus.invalid)
        }
        do throws(ConversionFailure) {
            return try Conversion(files, from: from.flatMap { ForeignFormat(rawValue: $0) }, namespace: namespace)
        } catch {
            var excerpts = SourceExcerpts()
            excerpts.hide(error.mistakes)
            for mistake in error.mistakes { Failure.write("\(mistake)\n" + excerpts.text(mistake.position)) }
            Failure.write(OneShot.lines([Mistake](), error.omitted, "mistake") { "\($0)" })
            throw Failure.said(status: ExitStatus.invalid)
        }
    }

    private static func write(_ text: String, to path: String) throws {
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        let full = folder == "/" ? "/\(name)" : "\(folder)/\(name)"
        var status = stat()
        let isThere = lstat(full, &status) == 0
        guard !name.isEmpty, !isThere || status.st_mode & S_IFMT == S_IFREG else {
            throw Failure("\(path) is not a file to write to", status: ExitStatus.usage)
        }
        do {
            _ = try FileReplacement(of: folder, name: name, by: text, files: isThere ? [full] : [])
        } catch {
            throw Failure("\(error)")
        }
    }
}
