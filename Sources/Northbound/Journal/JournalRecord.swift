internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// Records of the journal, a change each.
enum JournalRecord {
    /// What a journal begins with; the last byte is the version of the format.
    static let magic: [UInt8] = Array("NSMJRNL1".utf8)

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
        return RecordFrame.encode(try change.serializedBytes())
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
        let frames = RecordFrame.read(bytes, behind: magic.count, limit: ClientJournal.limit) { body in
            guard let change = try? Nsmagent_Journal_Change(serializedBytes: Array(body)) else { return false }
            content.add(change)
            return true
        }
        (content.length, content.isDamaged) = (frames.length, frames.isDamaged)
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
