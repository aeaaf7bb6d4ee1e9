internal import Concurrency
public import Model
public import Reconciler
internal import SwiftProtobuf

/// A transaction as the history keeps it, with what was declared from then on.
public struct HistoryNote: Sendable {
    /// What was done; its start is a time of the wall clock.
    public var transaction: Transaction
    /// What is declared otherwise than at the last note, by key; nil: it is not declared any more. In the first note all that is
    /// declared.
    public var changes: [Key: ModelValue?]
    /// The sources beside files that declare something.
    public var sources: [String]

    /// Makes a note.
    public init(transaction: Transaction, changes: [Key: ModelValue?], sources: [String]) {
        self.transaction = transaction
        self.changes = changes
        self.sources = sources
    }
}

/// Records of the history, a transaction and what is declared otherwise since then each.
enum HistoryRecord {
    /// What a file of the history begins with; the last byte is the version of the format.
    static let magic: [UInt8] = Array("NSMHIST1".utf8)

    /// What is declared, by key; nil: it is not known, as it is too much to be kept.
    typealias Declared = [Key: Nsmagent_History_Value]?

    /// Reads the records of a file, or of a part of memory that is like one.
    static func read(
        _ bytes: [UInt8], limit: Int, take: (Nsmagent_History_Record) -> Void
    ) -> RecordFrame.Outcome {
        guard bytes.starts(with: magic) else {
            // What is shorter was being begun.
            return RecordFrame.Outcome(length: 0, isDamaged: !magic.starts(with: bytes))
        }
        return RecordFrame.read(bytes, behind: magic.count, limit: limit) { body in
            guard let record = try? Nsmagent_History_Record(serializedBytes: Array(body)) else { return false }
            take(record)
            return true
        }
    }

    /// What is declared behind a record.
    static func follow(_ record: Nsmagent_History_Record, from declared: inout Declared) {
        if record.omitsValues {
            declared = nil
            return
        }
        if record.replacesAll { declared = [:] }
        for value in record.values { declared?[value.key] = value }
        for key in record.removed { declared?[key] = nil }
    }

    /// A value as it is kept.
    ///
    /// - Throws: when it can't be encoded, which is a fault of the program.
    static func kept(_ key: Key, _ value: ModelValue) throws -> Nsmagent_History_Value {
        var kept = Nsmagent_History_Value()
        kept.key = key
        kept.model = value.model.name
        kept.message = try value.message.serializedBytes()
        return kept
    }

    /// A value that was kept; nil: this version of the program can't read it.
    static func value(_ kept: Nsmagent_History_Value) -> ModelValue? {
        guard let model = ModelRegistry.model(named: kept.model) else { return nil }
        return try? ModelValue(model.kind, serializedBytes: kept.message)
    }
}

extension Nsmagent_History_Transaction {
    init(_ transaction: Transaction) {
        self.init()
        sequence = transaction.sequence
        reason = transaction.reason.text
        if case .source = transaction.reason { isSource = true }
        start = transaction.start.nanoseconds
        let (seconds, attoseconds) = transaction.duration.components
        duration = Int64(clamping: Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000))
        operations = transaction.entries.map { entry in
            var operation = Nsmagent_History_Operation()
            operation.verb = entry.verb.rawValue
            operation.key = entry.key
            operation.summary = entry.summary
            operation.before = Int32(entry.before.rawValue)
            operation.after = Int32(entry.after.rawValue)
            operation.error = entry.error
            return operation
        }
        omitted = UInt64(clamping: transaction.omitted)
        reverted = transaction.reverted
        losses = transaction.losses
        first = transaction.isFirst
        if transaction.found.isEmpty { return }
        found.inPlace = UInt64(clamping: transaction.found.inPlace)
        found.missing = UInt64(clamping: transaction.found.missing)
        found.different = UInt64(clamping: transaction.found.different)
        found.leftovers = UInt64(clamping: transaction.found.leftovers)
        found.details = transaction.found.details
    }

    /// The transaction; nil: this version of the program does not know what started it. Operations that it does not know are
    /// counted as those that are not kept.
    var transaction: Transaction? {
        guard let reason = isSource ? .source(reason) : Transaction.Reason(text: reason) else { return nil }
        let entries = operations.compactMap { operation -> Transaction.Entry? in
            guard let verb = Transaction.Verb(rawValue: operation.verb),
                let before = ValueState(rawValue: Int(operation.before)),
                let after = ValueState(rawValue: Int(operation.after))
            else { return nil }
            return Transaction.Entry(
                verb: verb, key: operation.key, summary: operation.summary, before: before, after: after,
                error: operation.error)
        }
        var known = Transaction.Found()
        if hasFound {
            known.inPlace = Int(clamping: found.inPlace)
            known.missing = Int(clamping: found.missing)
            known.different = Int(clamping: found.different)
            known.leftovers = Int(clamping: found.leftovers)
            known.details = found.details
        }
        return Transaction(
            sequence: sequence, reason: reason, start: Timestamp(nanoseconds: start),
            duration: .nanoseconds(duration), entries: entries,
            omitted: Int(clamping: omitted).addingClamped(operations.count - entries.count), reverted: reverted,
            losses: losses, found: known, isFirst: first)
    }
}

extension Int {
    fileprivate func addingClamped(_ other: Int) -> Int {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}

extension Transaction.Reason {
    /// The reason that ``text`` calls so, unless it is the name of a source; nil: there is none.
    init?(text: String) {
        let plain: [Self] = [
            .apply, .start, .files, .services, .signal, .request, .dump, .resync, .retry, .drift, .event,
        ]
        guard let reason = plain.first(where: { $0.text == text }) else { return nil }
        self = reason
    }
}
