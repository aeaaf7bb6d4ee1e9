internal import Concurrency
internal import Glibc
public import Model
public import Reconciler
internal import Synchronization

/// Keeps what was done, and what was declared when, in files that outlive the agent.
///
/// Records are added at the end of a file. When it is full it becomes the second one, which takes the place of the one before,
/// and a new one begins with all that is declared. So what is kept has a bound, and each file says by itself what was declared.
/// A record that was being written when the program or the machine died is cut off. Nothing is promised to anybody: the kernel
/// brings the records to the disk when it wants to. Where nothing can be written the history stays in memory, with less room.
public actor HistoryStore {
    /// The most bytes of a file, where there are no other limits.
    public static let usualLimit = 8 << 20
    /// The most bytes of each of the two parts that are kept in memory where no file can be written.
    private static let memoryLimit = 1 << 20
    /// The most transactions that an earlier life of the agent hands over.
    private static let mostTransactions = 500
    /// The most notes that wait for a slow disk. Of what goes beyond, only what is declared is kept.
    private static let mostWaiting = 500
    /// How long after a failure the disk is tried again, nanoseconds.
    private static let rest: Int64 = 10_000_000_000
    /// How often another program that holds the file is waited for, 50 ms each.
    private static let patience = 20

    /// The transactions of which is known what was declared then.
    public struct Range: Sendable, Hashable {
        /// The first.
        public var first: UInt64
        /// The last.
        public var last: UInt64
    }

    /// What was declared when a transaction was done.
    public enum Past: Sendable {
        /// The values, sorted by key, and the sources beside files that declared some of them.
        case values([ModelValue], sources: [String])
        /// It is not known; nil: of no transaction.
        case unknown(Range?)
        /// Values are of models that this version of the agent can't read: so many.
        case unreadable(Int)
    }

    private nonisolated let thread: ThreadExecutor
    private nonisolated let queue = Mutex<[HistoryNote]>([])
    /// Why nothing reaches the disk; nil: it does.
    private nonisolated let trouble = Mutex<String?>(nil)
    /// Nil: it is kept in memory on purpose.
    private let path: String?
    private let limit: Int
    private var file: Int32 = -1
    /// Bytes of the file that are whole records.
    private var length: Int
    /// When the disk is tried again, nanoseconds of CLOCK_MONOTONIC.
    private var nextTry: Int64 = 0
    /// What is kept while nothing can be written: the part before, and the present one.
    private var memory: (old: [UInt8], new: [UInt8]) = ([], [])
    /// What was declared at the last note; nil: there was none yet in this life.
    private var declared: [Key: ModelValue]?
    /// What an earlier life declared last, until the first note; nil: that is not known.
    private var recovered: HistoryRecord.Declared
    private var sources: [String]
    /// How many values were too much to be kept, so that it is not known what is declared; 0: it is known.
    private var omittedCount = 0

    /// The history's own thread, as disks are slow.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// What was found when a history was opened.
    public struct Opened: Sendable {
        /// The history.
        public var store: HistoryStore
        /// What was done in earlier lives of the agent, oldest first: the last 500 transactions.
        public var transactions: [Transaction]
        /// The sources beside files that declared something last.
        public var sources: [String]
        /// What could not be read, for the operator.
        public var warnings: [String]
    }

    /// Opens a history. Nothing is written until there is something to write, and nothing that is wrong with files is an error:
    /// the agent starts without.
    ///
    /// - Parameters:
    ///   - path: the file; another one beside it has the suffix `.1`. nil: all is kept in memory.
    ///   - limit: the most bytes of each of the two files.
    /// - Throws: ``JournalFailure`` when the process may not have another thread.
    public static func open(_ path: String?, limit: Int = usualLimit) throws(JournalFailure) -> Opened {
        var content = Content()
        if let path {
            content.read(path + ".1", limit: limit)
            content.read(path, limit: limit)
        }
        let store = HistoryStore(path: path, limit: limit, content, thread: try JournalFile.thread())
        return Opened(
            store: store, transactions: content.transactions.suffix(mostTransactions), sources: content.sources,
            warnings: content.warnings)
    }

    private init(path: String?, limit: Int, _ content: Content, thread: ThreadExecutor) {
        self.path = path
        self.limit = limit
        self.thread = thread
        length = content.length
        recovered = content.declared
        sources = content.sources
    }

    deinit { if file >= 0 { close(file) } }

    /// Why the history is in memory only, for the operator; nil: it is on the disk, or is not meant to be.
    public nonisolated var obstacle: String? { trouble.withLock { $0 } }

    // MARK: - Taking in

    /// Takes in what was done. The order of the calls is that of the records.
    public nonisolated func note(_ note: HistoryNote) {
        queue.withLock { notes in
            if notes.count >= Self.mostWaiting {
                // A disk that hangs: what is declared is not lost, what was done is.
                let lost = notes.removeFirst()
                notes[0].changes = lost.changes.merging(notes[0].changes) { $1 }
            }
            notes.append(note)
        }
        // The disk works while the agent goes on.
        Task { await settle() }
    }

    /// Returns once all that was taken in is written, or kept in memory.
    public func settle() {
        let notes = queue.withLock { notes in
            defer { notes = [] }
            return notes
        }
        for note in notes { take(note) }
    }

    private func take(_ note: HistoryNote) {
        var changes = note.changes
        var isWhole = false
        if declared == nil {
            // The first note of this life has everything: what is as an earlier life left it is no change.
            isWhole = recovered == nil
            for (key, kept) in recovered ?? [:] {
                if let new = changes[key] {
                    // A value that this version can't read is none that is declared.
                    if new != nil, new == HistoryRecord.value(kept) { changes[key] = nil }
                } else {
                    changes[key] = .some(nil)
                }
            }
            recovered = nil
            declared = note.changes.compactMapValues { $0 }
        } else {
            for (key, value) in changes { declared?[key] = value }
        }
        sources = note.sources
        let count = declared?.count ?? 0
        if isWhole || count < omittedCount {
            // What was too much may be less now.
            changes = (declared ?? [:]).mapValues { Optional($0) }
            isWhole = true
        }
        let record = record(note, changes, replacesAll: isWhole)
        if record.omitsValues { omittedCount = count } else if isWhole { omittedCount = 0 }
        write(record)
    }

    private func record(
        _ note: HistoryNote, _ changes: [Key: ModelValue?], replacesAll: Bool
    ) -> Nsmagent_History_Record {
        var record = Nsmagent_History_Record()
        record.transaction = Nsmagent_History_Transaction(note.transaction.cut(to: limit / 16))
        record.sources = note.sources
        record.replacesAll = replacesAll
        Self.add(changes, to: &record, limit: limit / 2)
        return record
    }

    /// All that is declared, as a record.
    private var whole: Nsmagent_History_Record { Self.record(of: declared ?? [:], sources, limit: limit / 2) }

    private static func record(
        of values: [Key: ModelValue], _ sources: [String], limit: Int
    ) -> Nsmagent_History_Record {
        var record = Nsmagent_History_Record()
        record.sources = sources
        record.replacesAll = true
        add(values.mapValues { Optional($0) }, to: &record, limit: limit)
        return record
    }

    private static func add(_ changes: [Key: ModelValue?], to record: inout Nsmagent_History_Record, limit: Int) {
        var rest = limit
        // Beside the record: to change a field of a large message copies what the field holds, each time.
        var (values, removed): ([Nsmagent_History_Value], [String]) = ([], [])
        for (key, value) in changes.sorted(by: { $0.key < $1.key }) {
            guard let value else {
                removed.append(key)
                rest -= key.utf8.count + 8
                continue
            }
            guard let kept = try? HistoryRecord.kept(key, value) else {
                rest = -1
                break
            }
            rest -= kept.key.utf8.count + kept.model.utf8.count + kept.message.count + 16
            if rest < 0 { break }
            values.append(kept)
        }
        record.omitsValues = rest < 0
        if rest >= 0 { (record.values, record.removed) = (values, removed) }
    }

    // MARK: - The disk

    /// Adds a record. Where one has nothing to build on it stands behind all that is declared once it is done.
    private func write(_ record: Nsmagent_History_Record) {
        guard let bytes = Self.encode(record) else { return }
        guard let path else { return remember(bytes) }
        let now = SteadyClock.monotonic
        if obstacle != nil, now < nextTry { return remember(bytes) }
        do throws(JournalFailure) {
            if file < 0 { try open(path) }
            var missing: [UInt8] = []
            if !memory.new.isEmpty {
                // What could not be written before, or at least what it led to.
                missing = memory.old + memory.new
                if length + missing.count + bytes.count > limit { missing = Self.encode(whole) ?? [] }
            }
            if length + missing.count + bytes.count > limit {
                try rotate(path, Self.encode(whole) ?? [], bytes)
            } else {
                try append(missing + bytes, path)
            }
            memory = ([], [])
            trouble.withLock { $0 = nil }
        } catch {
            trouble.withLock { $0 = "the history is kept in memory only: \(error)" }
            nextTry = now + Self.rest
            remember(bytes)
        }
    }

    private static func encode(_ record: Nsmagent_History_Record) -> [UInt8]? {
        (try? record.serializedBytes()).map { RecordFrame.encode($0) }
    }

    /// Keeps a record in memory, behind what it builds on.
    private func remember(_ bytes: [UInt8]) {
        let limit = min(limit, Self.memoryLimit)
        if memory.new.isEmpty || memory.new.count + bytes.count > limit {
            memory = (memory.new, Self.encode(whole) ?? [])
        }
        if memory.new.count + bytes.count <= 2 * limit { memory.new += bytes }
    }

    private func open(_ path: String) throws(JournalFailure) {
        try JournalFile.makeDirectory(of: path)
        let opened = try JournalFile.open(path, patience: Self.patience)
        do throws(JournalFailure) {
            if length < HistoryRecord.magic.count {
                // What it is instead was reported when it was read.
                try JournalFile.truncate(opened, to: 0, path)
                try JournalFile.add(HistoryRecord.magic, to: opened, at: 0, path)
                length = HistoryRecord.magic.count
            } else {
                try JournalFile.truncate(opened, to: length, path)
            }
        } catch {
            close(opened)
            throw error
        }
        file = opened
    }

    private func append(_ bytes: [UInt8], _ path: String) throws(JournalFailure) {
        do throws(JournalFailure) {
            try JournalFile.add(bytes, to: file, at: length, path)
        } catch {
            // What was written of it must not stand before what comes next.
            try? JournalFile.truncate(file, to: length, path)
            throw error
        }
        length += bytes.count
    }

    /// Begins a new file with what was declared so far.
    private func rotate(_ path: String, _ start: [UInt8], _ bytes: [UInt8]) throws(JournalFailure) {
        let content = HistoryRecord.magic + start + bytes
        // Room first: an old part is not given away for nothing.
        let new = try JournalFile.write(content, to: path + ".next", isLocked: true)
        do throws(JournalFailure) {
            guard rename(path, path + ".1") == 0 else { throw JournalFailure("rename", path, errno) }
            guard rename(path + ".next", path) == 0 else { throw JournalFailure("rename", path + ".next", errno) }
        } catch {
            close(new)
            close(file)
            file = -1
            throw error
        }
        try? JournalFile.syncDirectory(of: path)
        close(file)
        (file, length) = (new, content.count)
    }

    // MARK: - Looking back

    /// What was declared when a transaction was done.
    public func past(_ sequence: UInt64) -> Past {
        settle()
        var range: Range?
        var found: (values: [Nsmagent_History_Value], sources: [String])?
        for part in parts {
            var declared: HistoryRecord.Declared = nil
            _ = HistoryRecord.read(part, limit: limit) { record in
                HistoryRecord.follow(record, from: &declared)
                guard record.hasTransaction, let declared else { return }
                let number = record.transaction.sequence
                range = Range(first: min(range?.first ?? number, number), last: max(range?.last ?? number, number))
                if number == sequence { found = (Array(declared.values), record.sources) }
            }
        }
        guard let found else { return .unknown(range) }
        let values = found.values.sorted { $0.key < $1.key }.map(HistoryRecord.value)
        let unreadable = values.count { $0 == nil }
        return unreadable > 0 ? .unreadable(unreadable) : .values(values.compactMap { $0 }, sources: found.sources)
    }

    /// All that is kept, oldest first.
    private var parts: [[UInt8]] {
        var parts: [[UInt8]] = []
        if let path {
            for name in [path + ".1", path] {
                if let bytes = try? JournalFile.read(name, limit: 2 * limit) { parts.append(bytes) }
            }
        }
        for part in [memory.old, memory.new] where !part.isEmpty { parts.append(HistoryRecord.magic + part) }
        return parts
    }

    // MARK: - Reading files

    /// What files say.
    struct Content {
        var transactions: [Transaction] = []
        var declared: HistoryRecord.Declared = nil
        var sources: [String] = []
        var warnings: [String] = []
        /// Bytes of whole records in the last file.
        var length = 0

        mutating func read(_ path: String, limit: Int) {
            // Each file says by itself what was declared.
            (length, declared) = (0, nil)
            let bytes: [UInt8]
            do throws(JournalFailure) {
                guard let content = try JournalFile.read(path, limit: 4 * limit) else { return }
                bytes = content
            } catch {
                warnings.append("what was done before can't be read: \(error)")
                return
            }
            let outcome = HistoryRecord.read(bytes, limit: limit) { record in
                HistoryRecord.follow(record, from: &declared)
                sources = record.sources
                if let transaction = record.hasTransaction ? record.transaction.transaction : nil {
                    // Numbers only grow: what was written twice is the same.
                    while let last = transactions.last, last.sequence >= transaction.sequence {
                        transactions.removeLast()
                    }
                    transactions.append(transaction)
                }
            }
            length = outcome.length
            let lost = bytes[outcome.length...]
            if lost.contains(where: { $0 != 0 }) {
                warnings.append(
                    "\(path) is damaged at byte \(outcome.length): \(lost.count) bytes of past transactions are cut off"
                )
            }
        }
    }
}
