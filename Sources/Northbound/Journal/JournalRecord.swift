internal import Concurrency
internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// Records of the journal: length, hash and a change each, the numbers in little-endian order.
enum JournalRecord {
    /// What a journal begins with; the last byte is the version of the format.
    static let magic: [UInt8] = Array("NSMJRNL1".utf8)
    /// Bytes before the change: 4 of its length, 8 of its FNV-1a hash.
    static let headSize = 12

    /// - Throws: when a value can't be encoded, which is a fault of the program.
    static func encode(_ request: ConfigurationRequest) throws -> [UInt8] {
        var change = Nsmagent_Journal_Change()
        change.source = request.source
        change.origin = request.origin
        change.removed = request.removed
        change.replacesAll = request.replacesAll
        change.values = try request.values.map { value in
            var kept = Nsmagent_Journal_Value()
            kept.model = value.model.name
            kept.message = try value.message.serializedBytes()
            return kept
        }
        let payload: [UInt8] = try change.serializedBytes()
        var record: [UInt8] = []
        record.reserveCapacity(headSize + payload.count)
        append(UInt64(payload.count), bytes: 4, to: &record)
        append(FNV1a.hash64(payload), bytes: 8, to: &record)
        return record + payload
    }

    private static func append(_ number: UInt64, bytes: Int, to record: inout [UInt8]) {
        for index in 0..<bytes { record.append(UInt8(truncatingIfNeeded: number >> (8 * UInt64(index)))) }
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// What a journal's bytes say.
    struct Content {
        var changes: [ConfigurationRequest] = []
        /// Bytes of whole records, with the magic.
        var length = 0
        /// Values of models that this program does not know, or can't read.
        var unknown = 0
        /// Whether something follows that is more than a record that was being written.
        var isDamaged = false
    }

    /// Reads records until one is not whole.
    static func decode(_ bytes: [UInt8]) -> Content {
        var content = Content()
        var rest = bytes[...].dropFirst(magic.count)
        content.length = min(magic.count, bytes.count)
        while rest.count >= headSize {
            let size = number(rest.prefix(4))
            let hash = number(rest.dropFirst(4).prefix(8))
            let payload = rest.dropFirst(headSize)
            guard size <= payload.count else {
                content.isDamaged = size > ClientJournal.limit
                break
            }
            let body = payload.prefix(Int(size))
            guard FNV1a.hash64(body) == hash else {
                // Of what was written last, blocks that never reached the disk are zero.
                content.isDamaged = payload.dropFirst(Int(size)).contains { $0 != 0 }
                break
            }
            guard let change = try? Nsmagent_Journal_Change(serializedBytes: Array(body)) else {
                content.isDamaged = true
                break
            }
            content.add(change)
            content.length += headSize + Int(size)
            rest = payload.dropFirst(Int(size))
        }
        return content
    }
}

extension JournalRecord.Content {
    fileprivate mutating func add(_ change: Nsmagent_Journal_Change) {
        let values = change.values.compactMap { kept -> ModelValue? in
            guard let model = ModelRegistry.model(named: kept.model) else { return nil }
            return try? ModelValue(model.kind, serializedBytes: kept.message)
        }
        unknown += change.values.count - values.count
        changes.append(
            ConfigurationRequest(
                source: change.source, origin: change.origin, values: values, removed: change.removed,
                replacesAll: change.replacesAll))
    }
}
