internal import Concurrency
internal import Glibc
internal import Synchronization

/// Keeps what clients declare in a file, so that it is declared again when the agent starts.
///
/// Records are added at the end and are on the disk when ``keep(_:)`` returns, however many there were: those who wait are
/// served by one fdatasync(2). A record that was being written when the program or the machine died is left out when the file
/// is read. From time to time the file is replaced by a shorter one that says the same.
public actor ClientJournal {
    /// The most bytes that are kept.
    public static let limit = 64 << 20
    /// A file of this size is worth being replaced by one of half the size.
    private static let leastSize = 1 << 20
    /// How long the agent before us may take to end.
    private static let patience = 200

    /// Where a record stands in the order of all.
    public struct Ticket: Sendable { fileprivate var number: UInt64 }

    /// What is to be written, in the order in which it was declared.
    private struct Queue {
        /// Replaces the file; nil: what follows is added to it.
        var snapshot: [UInt8]?
        var records: [UInt8] = []
        var last: UInt64 = 0
        /// Bytes of the file once all this is written.
        var size: Int
        /// Bytes of the file when it was last as short as it can be.
        var shortest: Int
    }

    private let path: String
    private nonisolated let thread: ThreadExecutor
    private let queue: Mutex<Queue>
    private var file: Int32
    /// The last record that is on the disk.
    private var written: UInt64 = 0
    /// Bytes of the file that are whole records.
    private var length: Int
    /// Why the last writing failed; nil: it did not.
    private var failure: JournalFailure?
    /// Records did not reach the disk: the next thing to be written is everything.
    private let isBroken = Mutex(false)

    /// The journal's own thread, as disks are slow.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// What was found when a journal was opened.
    public struct Opened: Sendable {
        /// The journal.
        public var journal: ClientJournal
        /// What was declared, in its order.
        public var changes: [ConfigurationRequest]
        /// What could not be read, for the operator.
        public var warnings: [String]
    }

    /// Opens a journal, or makes an empty one with its directory.
    ///
    /// - Parameter waits: Whether to wait for an agent that is ending, up to 10 s.
    /// - Throws: ``JournalFailure``.
    public static func open(_ path: String, waits: Bool = true) throws(JournalFailure) -> Opened {
        try JournalFile.makeDirectory(of: path)
        let file = try JournalFile.open(path, patience: waits ? patience : 0)
        do throws(JournalFailure) {
            let bytes = try JournalFile.read(file, path, limit: 4 * limit)
            guard JournalRecord.magic.starts(with: bytes.prefix(JournalRecord.magic.count)) else {
                throw JournalFailure("\(path) is not a journal of clients' values; move it away")
            }
            let content = JournalRecord.decode(bytes)
            var warnings: [String] = []
            if content.isDamaged {
                try JournalFile.write(bytes, to: path + ".damaged")
                warnings.append(
                    "\(path) is damaged at byte \(content.length): what clients declared later is lost; it is kept as \(path).damaged"
                )
            }
            if content.unknown > 0 {
                warnings.append("\(path): \(content.unknown) values are of models that this version can't read")
            }
            if content.length < JournalRecord.magic.count {
                try JournalFile.replace(file, at: 0, with: JournalRecord.magic, path)
                try JournalFile.syncDirectory(of: path)
            } else if content.length < bytes.count {
                // Most likely a record that was being written. It is kept for those who know better.
                if !content.isDamaged, bytes[content.length...].contains(where: { $0 != 0 }) {
                    try JournalFile.write(bytes, to: path + ".damaged")
                }
                try JournalFile.truncate(file, to: content.length, path)
            }
            let journal = ClientJournal(
                path: path, file: file, length: max(content.length, JournalRecord.magic.count),
                thread: try JournalFile.thread())
            return Opened(journal: journal, changes: content.changes, warnings: warnings)
        } catch {
            close(file)
            throw error
        }
    }

    /// Whether clients declare something by a journal; false, too, when there is none.
    ///
    /// - Throws: when it can't be read.
    public static func declares(_ path: String) throws(JournalFailure) -> Bool {
        guard let bytes = try JournalFile.read(path, limit: 4 * limit) else { return false }
        // Those of one source replace or withdraw others of it.
        var keys: [String: Set<String>] = [:]
        for change in JournalRecord.decode(bytes).changes {
            if change.replacesAll { keys[change.source] = [] }
            keys[change.source, default: []].formUnion(change.values.map(\.key))
            keys[change.source]?.subtract(change.removed)
        }
        return keys.values.contains { !$0.isEmpty }
    }

    private init(path: String, file: Int32, length: Int, thread: ThreadExecutor) {
        self.path = path
        self.file = file
        self.length = length
        self.thread = thread
        queue = Mutex(Queue(size: length, shortest: length))
    }

    deinit { close(file) }

    // MARK: - What is to be kept

    /// Whether records are missing, so that the next change has to be written with everything else.
    public nonisolated var isIncomplete: Bool { isBroken.withLock { $0 } }

    /// Whether the file is worth being replaced by a shorter one.
    public nonisolated var isLong: Bool {
        queue.withLock { $0.size > max(Self.leastSize, 2 * $0.shortest) }
    }

    /// Takes in a change. The order of the calls is that of the records.
    ///
    /// - Throws: ``JournalFailure`` when more is declared than is kept; nothing is taken in then.
    public nonisolated func note(_ change: ConfigurationRequest) throws(JournalFailure) -> Ticket {
        let record: [UInt8]
        do { record = try JournalRecord.encode(change) } catch { throw JournalFailure("\(error)") }
        let ticket = queue.withLock { queue -> Ticket? in
            guard queue.size + record.count <= 2 * Self.limit else { return nil }
            queue.records += record
            queue.size += record.count
            queue.last += 1
            return Ticket(number: queue.last)
        }
        guard let ticket else {
            throw JournalFailure("clients declare more than the \(Self.limit >> 20) MiB that are kept")
        }
        return ticket
    }

    /// Takes in all that is declared, which replaces what was taken in before.
    ///
    /// - Throws: ``JournalFailure`` when more is declared than is kept; nothing is taken in then.
    public nonisolated func note(all changes: [ConfigurationRequest]) throws(JournalFailure) {
        var bytes = JournalRecord.magic
        do {
            for change in changes { bytes += try JournalRecord.encode(change) }
        } catch { throw JournalFailure("\(error)") }
        guard bytes.count <= Self.limit else {
            throw JournalFailure("clients declare more than the \(Self.limit >> 20) MiB that are kept")
        }
        isBroken.withLock { $0 = false }
        queue.withLock { queue in
            queue.snapshot = bytes
            queue.records = []
            (queue.size, queue.shortest) = (bytes.count, bytes.count)
            queue.last += 1
        }
    }

    // MARK: - The disk

    /// Returns once a record, and all before it, is on the disk.
    ///
    /// - Throws: ``JournalFailure`` when it can't be written.
    public func keep(_ ticket: Ticket) throws(JournalFailure) {
        if written >= ticket.number { return }
        let next = queue.withLock { queue in
            defer { (queue.snapshot, queue.records) = (nil, []) }
            return queue
        }
        do throws(JournalFailure) {
            if let snapshot = next.snapshot { try replace(snapshot + next.records) } else { try append(next.records) }
            written = next.last
            failure = nil
        } catch {
            failure = error
            isBroken.withLock { $0 = true }
            throw error
        }
    }

    private func append(_ bytes: [UInt8]) throws(JournalFailure) {
        if isBroken.withLock({ $0 }) { throw failure ?? JournalFailure("\(path): earlier records are missing") }
        do throws(JournalFailure) {
            try JournalFile.replace(file, at: length, with: bytes, path)
        } catch {
            // What was written of it must not stand before what comes next.
            try? JournalFile.truncate(file, to: length, path)
            throw error
        }
        length += bytes.count
    }

    private func replace(_ bytes: [UInt8]) throws(JournalFailure) {
        let new = try JournalFile.write(bytes, to: path, isLocked: true)
        close(file)
        file = new
        length = bytes.count
    }
}

/// The journal can't be read or written, in words for the operator.
public struct JournalFailure: Error, Sendable, CustomStringConvertible {
    /// What is wrong and what to do.
    public let description: String

    /// Makes a failure.
    package init(_ description: String) { self.description = description }

    /// A call that the kernel refused.
    init(_ call: String, _ path: String, _ code: Int32) {
        self.init("\(path): \(call): \(String(cString: strerror(code)))")
    }
}
