public import Model

/// The files of a configuration: what they say, and what changes when some of them do.
///
/// Every file keeps what was read from it. Only files that changed are read again, and only those whose content changed are
/// parsed again. Where a watched directory says which files changed, the others are not looked at; else each costs one stat(2).
public struct ConfigFiles: Sendable {
    /// The most bytes that all files together may have.
    static let maximumByteCount = 256 << 20
    /// The most files that are read.
    static let maximumFileCount = 100_000

    /// What is known of a file that was read.
    private struct Known: Sendable {
        var identity: ConfigFile.Identity?
        var isSettled: Bool
        var byteCount: Int
        /// Equal for equal contents, within this process.
        var hash: Int
        var usesNames: Bool
        var isLink = false
        /// Whether it says what is wanted, or fails to: see `ConfigText.saysSomething`.
        var speaks: Bool
    }

    /// What it means that files say nothing: that they are empty, gone, or for other programs.
    public enum Silence: Sendable {
        /// A mistake: nothing is wanted only if that is said.
        case isMistake
        /// A mistake if they said something before. At first, that nothing is known yet.
        case isMistakeAfterWords
    }

    private let paths: [String]
    private let label: String
    private let names: NameResolver
    private let silence: Silence
    private var texts = ConfigSet()
    /// Folders without files.
    private var absent: Set<String> = []
    /// Files that said something when all was last without mistakes.
    private var spoken: Set<String> = []
    /// Files that may say something else than when all was last without mistakes.
    private var touched: Set<String> = []
    /// How many of the known files say something.
    private var speaking = 0
    private var known: [String: Known] = [:]
    /// What came by standard input, which can be read only once.
    private var input: ConfigFile.Content?
    private var last = ConfigDifference()
    /// What the names of files in the one directory begin with, when all files are known; nil: they are to be listed.
    private var root: String?
    private var byteCount = 0
    /// Files that are links, which may change unnoticed.
    private var links: Set<String> = []
    /// How many times a text was parsed.
    private(set) var parses = 0

    /// Nothing is read yet.
    ///
    /// - Parameters:
    ///   - paths: Files and directories (their `*.yaml`, `*.yml`, `*.json`, recursively) in this order; `-` is standard
    ///     input.
    ///   - label: The microservice this agent is; resources take items for others.
    ///   - names: What names of this host stand for.
    ///   - silence: What it means that they say nothing.
    public init(paths: [String], label: String, names: NameResolver, silence: Silence = .isMistake) {
        self.silence = silence
        self.paths = paths
        self.label = label
        self.names = names
    }

    /// Reads all files, once.
    ///
    /// - Returns: What they say; beyond 64 MiB in a file, 256 MiB or 100 000 files in all, that this is too much.
    public static func load(paths: [String], label: String, names: NameResolver) -> LoadedConfig {
        var files = ConfigFiles(paths: paths, label: label, names: names)
        let difference = files.refresh()
        // All is new.
        if difference.isValid { return LoadedConfig(items: difference.changed, findings: difference.findings) }
        return files.config
    }

    /// What the files said when they were last read.
    public var config: LoadedConfig { texts.whole(last) }

    /// Makes the next ``refresh()`` parse the files again in which names of this host stand, as those may mean something
    /// else now.
    public mutating func forgetNames() {
        for (path, file) in known where file.usesNames { known[path] = nil }
        root = nil
    }

    /// Reads what changed since the last time.
    ///
    /// - Returns: How the values differ from those that were last returned without mistakes; at first these are all values.
    public mutating func refresh() -> ConfigDifference {
        absent = []
        var found: [String] = []
        var seen: Set<String> = []
        byteCount = 0
        root = paths.count == 1 && paths[0] != "/" ? paths[0].hasSuffix("/") ? paths[0] : paths[0] + "/" : nil
        for path in paths {
            do throws(ConfigFile.Failure) {
                let files = try ConfigFile.list(path)
                if files.isEmpty || files[0].path == path { root = nil }
                if files.isEmpty, seen.insert(path).inserted {
                    found.append(path)
                    texts.set(.absent(name: path, warning: "holds no *.yaml, *.yml or *.json file"))
                    absent.insert(path)
                }
                for file in files where seen.insert(file.path).inserted {
                    guard seen.count <= Self.maximumFileCount else {
                        throw ConfigFile.Failure(
                            text: "holds more than \(Self.maximumFileCount) files; put them together")
                    }
                    try refresh(file)
                    found.append(file.path)
                }
            } catch {
                root = nil
                known[path] = nil
                texts.set(.unreadable(name: path, error.text))
                if seen.insert(path).inserted || !found.contains(path) { found.append(path) }
            }
        }
        texts.arrange(found)
        // A file that comes back is one that is not known.
        for path in known.keys where !seen.contains(path) { known[path] = nil }
        links = Set(known.lazy.filter(\.value.isLink).map(\.key))
        speaking = known.values.count(where: \.speaks)
        touched.formUnion(found)
        touched.formUnion(spoken)
        refuseSilence(found)
        return settled()
    }

    /// Reads what changed since the last time, as far as a watch has told what that may be.
    public mutating func refresh(_ changes: FileChanges) -> ConfigDifference {
        guard case .files(let paths) = changes, let root, paths.allSatisfy({ $0.hasPrefix(root) }) else {
            return refresh()
        }
        do throws(ConfigFile.Failure) {
            for path in paths.union(links).sorted(by: ConfigFile.isBefore) { try refresh(path) }
        } catch {
            return refresh()
        }
        touched.formUnion(paths)
        touched.formUnion(links)
        // What it means that files say nothing, only a look at all of them can tell.
        let isSilent = speaking == 0 || touched.contains { known[$0]?.speaks == false }
        return isSilent ? refresh() : settled()
    }

    /// - Throws: when only a look at all files can tell.
    private mutating func refresh(_ path: String) throws(ConfigFile.Failure) {
        if known[path]?.speaks == true { speaking -= 1 }
        defer { if known[path]?.speaks == true { speaking += 1 } }
        let file = try ConfigFile.look(at: path)
        byteCount -= known[path]?.byteCount ?? 0
        guard let file else {
            known[path] = nil
            links.remove(path)
            return texts.remove(path)
        }
        if known[path] == nil, known.count >= Self.maximumFileCount { throw ConfigFile.Failure(text: "too many") }
        try refresh(file)
        if file.isLink { links.insert(path) } else { links.remove(path) }
        texts.arrange(newcomer: path, isBefore: ConfigFile.isBefore)
    }

    private mutating func settled() -> ConfigDifference {
        last = settle()
        texts.forgetPlaces()
        if last.isValid {
            for path in touched {
                if known[path]?.speaks == true { spoken.insert(path) } else { spoken.remove(path) }
            }
            touched = []
        }
        defer { (last.changed, last.moved) = ([], []) }
        return last
    }

    /// Nothing is not everything: what empty files would remove stays, until somebody says that it is to go.
    private mutating func refuseSilence(_ found: [String]) {
        let silent = found.filter { known[$0].map { !$0.speaks } ?? absent.contains($0) }
        let fallen = silent.filter(spoken.contains)
        for path in fallen {
            refuse(
                path,
                "declares nothing any more; what it declared stays in force until the file goes, or says 'linuxConfig: {}'"
            )
        }
        guard fallen.isEmpty, silent.count == found.count else { return }
        let isFirst = spoken.isEmpty
        switch silence {
        case .isMistake: break
        case .isMistakeAfterWords: if isFirst { return }
        }
        for path in silent {
            let what = absent.contains(path) ? "holds no *.yaml, *.yml or *.json file" : "declares nothing"
            refuse(
                path,
                isFirst
                    ? "\(what); if nothing is wanted, say so with 'linuxConfig: {}', or with 'nsm-agent delete --all'"
                    : "\(what), so what is in force stays; if nothing is wanted, say so with 'linuxConfig: {}'")
        }
    }

    private mutating func refuse(_ path: String, _ mistake: String) {
        texts.add(mistake: mistake, to: path)
        // Looked at again the next time, as all are: what others say then may make it right.
        known[path] = nil
        root = nil
    }

    private mutating func settle() -> ConfigDifference {
        let (known, label, names, input) = (known, label, names, input)
        return texts.settle { path in
            // Only the same text has the same places.
            guard let content = path == "-" ? input : try? ConfigFile.read(path),
                Self.hash(content.bytes) == known[path]?.hash
            else { return nil }
            return Self.parse(content.bytes, path, label, names)
        }
    }

    /// - Throws: when no other file is to be read.
    private mutating func refresh(_ file: ConfigFile) throws(ConfigFile.Failure) {
        let path = file.path
        if let old = known[path], old.isSettled, old.identity == file.identity {
            byteCount += old.byteCount
            return
        }
        let content: ConfigFile.Content
        do throws(ConfigFile.Failure) {
            content = try path == "-" ? readInput() : ConfigFile.read(path)
        } catch {
            known[path] = nil
            return texts.set(.unreadable(name: path, error.text))
        }
        byteCount += content.bytes.count
        guard byteCount <= Self.maximumByteCount else {
            throw ConfigFile.Failure(
                text: "makes more than \(Self.maximumByteCount >> 20) MiB of files; declare less")
        }
        let hash = Self.hash(content.bytes)
        var new = Known(
            identity: content.identity, isSettled: content.isSettled, byteCount: content.bytes.count, hash: hash,
            usesNames: false, isLink: file.isLink, speaks: true)
        if let old = known[path], old.hash == hash, old.byteCount == new.byteCount {
            new.usesNames = old.usesNames
            new.speaks = old.speaks
        } else {
            let text = Self.parse(content.bytes, path, label, names, former: texts.text(named: path))
            parses += 1
            new.usesNames = text.usesNames
            new.speaks = text.saysSomething || !text.isComplete
            texts.set(text)
        }
        known[path] = new
    }

    private mutating func readInput() throws(ConfigFile.Failure) -> ConfigFile.Content {
        if let input { return input }
        let content = try ConfigFile.read("-")
        input = content
        return content
    }

    private static func parse(
        _ bytes: [UInt8], _ name: String, _ label: String, _ names: NameResolver, former: ConfigText? = nil
    ) -> ConfigText {
        bytes.withUnsafeBytes { ConfigText($0, name: name, label: label, names: names, former: former) }
    }

    /// Keyed anew in each process, so nobody can make two contents that have the same.
    private static func hash(_ bytes: [UInt8]) -> Int {
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}
