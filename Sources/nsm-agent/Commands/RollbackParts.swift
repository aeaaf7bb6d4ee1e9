internal import Agent
internal import Concurrency
internal import Glibc
internal import LinuxKinds
internal import Model
internal import Northbound
internal import YAML

/// A past configuration, and the files that it is to take the place of.
struct RollbackTarget {
    /// What is to be declared.
    let config: LoadedConfig
    private let content: String
    private let name: String
    private let directory: String
    private let present: [String]

    /// - Throws: when it can't be put in the place of the files, in words for the operator.
    init(_ values: [ModelValue], _ sequence: UInt64, directory: String, label: String) throws {
        self.directory = directory
        name = "rollback-\(sequence).yaml"
        content = YAMLWriter.write(ConfigDocument.whole(of: values))
        do {
            present = try FileReplacement.present(in: directory)
        } catch {
            throw Failure("\(error); nothing was changed")
        }
        for path in present where Self.holdsResources(path) {
            throw Failure(
                "\(path) holds Kubernetes objects, which may be for others, too; take it out of \(directory) first. Nothing was changed"
            )
        }
        config = ConfigLoader.load(bytes: Array(content.utf8), name: name, label: label, names: HostNames.resolver)
        if config.isValid { return }
        Failure.write(OneShot.mistakes(of: config))
        throw Failure("what was declared then has mistakes now; nothing was changed")
    }

    /// - Throws: when others than files declare something.
    func requireFilesAlone(_ sources: [String]) throws(Failure) {
        if sources.isEmpty { return }
        throw Failure(
            "\(sources.joined(separator: ", ")) may declare values, too, which no file can take back; return to the past there. "
                + "'nsm-agent history show NUMBER' writes what was declared. Nothing was changed")
    }

    /// - Throws: when there are files that the daemon has not read.
    func requireRead(_ files: [String]) throws(Failure) {
        let unread = Set(present).subtracting(files).sorted()
        if let first = unread.first {
            throw Failure("\(first) was not read by the daemon; see 'nsm-agent status'. Nothing was changed")
        }
        guard Set(files).isSubset(of: present) else {
            throw Failure(
                "the daemon's files are not those in \(directory) here: run this where the daemon runs. Nothing was changed"
            )
        }
    }

    /// What becomes of the files, for people.
    var text: String {
        let files = Text.count(present.count, "file")
        return "\(directory): \(name) takes the place of \(files), kept as *.orig.\n"
    }

    func replaceFiles() throws(Failure) -> FileReplacement {
        do {
            return try FileReplacement(of: directory, name: name, by: content, files: present)
        } catch {
            throw Failure("\(error); nothing was changed")
        }
    }

    func undo(_ replacement: FileReplacement) throws(Failure) {
        do { try replacement.undo() } catch { throw Failure("the files can't be put back: \(error)") }
    }

    private static func holdsResources(_ path: String) -> Bool {
        // What can't be read is a mistake already, and stays beside the new file.
        guard let text = FileReplacement.text(of: path) else { return false }
        let tree = YAMLTree(parsing: text)
        return tree.documents.contains { root in
            tree.kind(of: root) == .mapping && tree.pair("apiVersion", in: root) != nil
        }
    }
}

/// A daemon that follows its files.
struct RollbackDaemon {
    let socket: SocketOptions

    /// Asks on this thread.
    private func ask<Answer: Sendable>(_ question: @escaping @Sendable (ControlClient) async throws -> Answer) throws
        -> Answer
    {
        let client = try socket.client()
        let answer = Promise<Answer>()
        try Foreground.run { answer.keep(try await client.answer { try await question($0) }) }
        guard let value = answer.present else { throw Failure("the daemon gave no answer") }
        return value
    }

    /// What was declared when a transaction was done.
    func past(_ sequence: UInt64) throws -> Nsmagent_Control_ConfigurationResponse {
        try ask { try await $0.configuration(after: sequence) }
    }

    /// Has the files read.
    ///
    /// - Throws: when they have mistakes.
    func takeIn() throws {
        let mistakes = try ask { try await $0.reload() }.mistakes
        if mistakes.isEmpty { return }
        Failure.write(mistakes.map { $0 + "\n" }.joined())
        throw Failure("the daemon finds mistakes in the files, and changes nothing", status: ExitStatus.invalid)
    }

    /// Waits until nothing is pending or tried again, and says what is not as it should be. Returns whether all is.
    func isSettled(within time: Duration) throws -> Bool {
        let end = Timestamp.now.advanced(by: time)
        var report = try status()
        while !report.isGood, Timestamp.now < end {
            usleep(100_000)
            report = try status()
        }
        if !report.isGood {
            Failure.write(report.text(Terminal(descriptor: STDERR_FILENO), showsKeys: false, isShort: false))
        }
        if report.isGood { Show.line("The daemon has made it so.") }
        return report.isGood
    }

    private func status() throws -> StatusReport {
        StatusReport(
            try ask { try await $0.status(Nsmagent_Control_StatusRequest()) }, filter: .init(problems: true))
    }
}

/// What a daemon that does not run left on the disk.
struct RollbackFiles {
    private let store: HistoryStore
    /// The sources beside files that declared something.
    let sources: [String]

    init(history: String, journal: String) throws {
        do {
            let opened = try HistoryStore.open(history)
            for warning in opened.warnings { Failure.tell("warning: \(warning)") }
            store = opened.store
            let clients = try ClientJournal.declares(journal) ? ["set and the APIs"] : []
            sources = clients + opened.sources
        } catch {
            throw Failure("\(error)")
        }
    }

    /// What was declared when a transaction was done.
    func values(_ sequence: UInt64) throws -> [ModelValue] {
        let (store, answer) = (store, Promise<HistoryStore.Past>())
        try Foreground.run { answer.keep(await store.past(sequence)) }
        switch answer.present {
        case .values(let values, _)?: return values
        case .unknown(let range)?: throw HistoryFailure.unknown(sequence, range?.first ?? 0, range?.last ?? 0)
        case .unreadable(let count)?: throw HistoryFailure.unreadable(sequence, count)
        case nil: throw HistoryFailure.unknown(sequence, 0, 0)
        }
    }
}
