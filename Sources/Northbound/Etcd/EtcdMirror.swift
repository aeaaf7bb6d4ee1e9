internal import Concurrency
internal import EtcdClient
internal import Model
internal import Reconciler

/// What the agent knows of its part of etcd, and what follows when that changes.
///
/// Pure: it neither talks to etcd nor to the engine.
struct EtcdMirror {
    /// What is to be declared, and what is to be said.
    struct Change: Equatable {
        var values: [ModelValue] = []
        /// The revision in which the entry of each was written.
        var revisions: [Int64] = []
        var removed: [Key] = []
        /// Whether the values are all there are.
        var replacesAll = false
        var problems: [Problem] = []

        var isEmpty: Bool { values.isEmpty && removed.isEmpty && !replacesAll }
    }

    /// An entry that can't be used.
    struct Problem: Equatable {
        var key: String
        var text: String
    }

    /// What a look at etcd leads to.
    enum Outcome: Equatable {
        case change(Change)
        /// The last state is kept: etcd seems to have lost its mind.
        case keep(String)
    }

    /// An entry that was seen.
    private struct Known {
        /// Equal for equal contents, within this process.
        var content: Int
        /// The same in every process.
        var digest: UInt64
        /// Under which it is declared; nil: it is not, as it can't be used.
        var key: Key?
    }

    /// What etcd holds while the last state is kept.
    private struct Doubt {
        var cluster: UInt64
        var revision: Int64
        var entries: [String: EtcdEntry]
        var wasWritten = false
    }

    /// What all keys of this agent begin with, such as `/vnf-agent/vpp1/`.
    let prefix: String
    private let expand: ((String) -> String)?
    /// By key behind the prefix.
    private var known: [String: Known] = [:]
    /// The cluster, and the newest revision that was seen of it; nil: nothing was read yet.
    private(set) var position: (cluster: UInt64, revision: Int64)?
    private var doubt: Doubt?
    /// What is known.
    private var content = EtcdMemory.Content()
    /// What an earlier life of the agent saw; nil once something was read, or if that is not known.
    private var past: EtcdMemory?

    /// - Parameters:
    ///   - expand: Puts the values of variables in a text.
    ///   - past: What an earlier life of the agent saw.
    init(prefix: String, expand: ((String) -> String)? = nil, past: EtcdMemory? = nil) {
        self.prefix = prefix
        self.past = past.flatMap { $0.prefix == prefix ? $0 : nil }
        self.expand = expand
    }

    /// The keys that are configuration.
    var range: EtcdRange { .prefix(prefix + "config/") }

    /// What is to be known after a restart; nil: nothing was read yet.
    var memory: EtcdMemory? {
        position.map { EtcdMemory(prefix: prefix, cluster: $0.cluster, revision: $0.revision, content: content) }
    }

    /// Whether somebody wrote a key since the last state is kept.
    var wasWrittenInDoubt: Bool { doubt?.wasWritten ?? false }
    /// Whether the last state is kept.
    var isInDoubt: Bool { doubt != nil }

    // MARK: - Looking

    /// What was seen last, in this life or an earlier one, if etcd has to be asked whether it still knows it: the same
    /// cluster holds something else by now. An etcd that was set back to an earlier time gets on to the same revision by what
    /// is written to it since, so the number alone proves nothing.
    func unproven(by snapshot: EtcdSnapshot) -> EtcdMemory? {
        guard let last = memory ?? past, last.content.count > 0, last.cluster == snapshot.cluster,
            last.revision <= snapshot.revision, last.content != EtcdMemory.Content(snapshot.entries)
        else { return nil }
        return last
    }

    /// Takes in all that etcd holds.
    ///
    /// - Parameter hasOtherPast: Whether it holds something else for the revision that was seen last.
    mutating func take(_ snapshot: EtcdSnapshot, hasOtherPast: Bool = false) -> Outcome {
        var entries: [String: EtcdEntry] = [:]
        for entry in snapshot.entries { entries[name(entry.key)] = entry }
        let reason =
            position.map { reasonToDoubt(snapshot, $0, entries, hasOtherPast) }
            ?? reasonToDoubtFirst(snapshot, hasOtherPast)
        if let reason {
            let isSame = doubt.map { $0.cluster == snapshot.cluster && $0.revision <= snapshot.revision } ?? false
            let last = isSame ? doubt?.revision ?? 0 : snapshot.revision
            doubt = Doubt(
                cluster: snapshot.cluster, revision: snapshot.revision, entries: entries,
                wasWritten: snapshot.entries.contains { $0.modRevision > last } || doubt?.wasWritten == true && isSame)
            return .keep(reason)
        }
        doubt = nil
        return .change(settle(snapshot.cluster, snapshot.revision, entries))
    }

    /// Takes in what happened since.
    mutating func take(_ events: [EtcdEvent], revision: Int64) -> Change {
        if doubt != nil {
            note(events, revision)
            return Change()
        }
        position?.revision = revision
        // What was written several times counts as it was left.
        var last: [String: EtcdEvent] = [:]
        for event in events { last[name(event.key)] = event }
        var change = Change()
        for (name, event) in last.sorted(by: { $0.key < $1.key }) {
            switch event {
            case .put(let entry): put(name, entry, &change)
            case .delete: remove(name, &change)
            }
        }
        return change
    }

    /// Takes what etcd holds for what is wanted, whatever was there before.
    mutating func settleDoubt() -> Change {
        guard let doubt else { return Change() }
        self.doubt = nil
        return settle(doubt.cluster, doubt.revision, doubt.entries)
    }

    private mutating func settle(_ cluster: UInt64, _ revision: Int64, _ entries: [String: EtcdEntry]) -> Change {
        let isFirst = position == nil
        position = (cluster, revision)
        past = nil
        var change = replace(with: entries)
        change.replacesAll = isFirst
        return change
    }

    private func name(_ key: [UInt8]) -> String { String(decoding: key.dropFirst(prefix.utf8.count), as: UTF8.self) }

    // MARK: - Doubting

    private func reasonToDoubt(
        _ snapshot: EtcdSnapshot, _ position: (cluster: UInt64, revision: Int64), _ entries: [String: EtcdEntry],
        _ hasOtherPast: Bool
    ) -> String? {
        if known.isEmpty { return nil }
        let text: String
        if entries.isEmpty {
            text = "nothing is left under \(prefix)config/, where \(known.count) keys were"
        } else if snapshot.cluster != position.cluster {
            text = "another cluster answers than before"
        } else if snapshot.revision < position.revision {
            text = "revision \(snapshot.revision) is older than \(position.revision), which was there before"
        } else if hasOtherPast {
            text = "revision \(position.revision) holds something else than the one which was there before"
        } else {
            return nil
        }
        // An etcd that holds all known entries unchanged has lost nothing.
        let isSame = known.allSatisfy { name, known in entries[name].map { Self.hash($0.value) } == known.content }
        return isSame ? nil : text
    }

    /// The same before anything was read, by what an earlier life of the agent saw.
    private func reasonToDoubtFirst(_ snapshot: EtcdSnapshot, _ hasOtherPast: Bool) -> String? {
        let isEmpty = snapshot.entries.isEmpty
        guard let past else { return isEmpty ? "nothing is under \(prefix)config/" : nil }
        if isEmpty, past.content.count > 0 {
            return "nothing is left under \(prefix)config/, where \(past.content.count) keys were before the restart"
        }
        let text: String
        if snapshot.cluster != past.cluster {
            text = "another cluster answers than before the restart"
        } else if snapshot.revision < past.revision {
            text = "revision \(snapshot.revision) is older than \(past.revision), which was there before the restart"
        } else if hasOtherPast {
            text = "revision \(past.revision) holds something else than the one which was there before the restart"
        } else {
            return nil
        }
        return EtcdMemory.Content(snapshot.entries) == past.content && !isEmpty ? nil : text
    }

    private mutating func note(_ events: [EtcdEvent], _ revision: Int64) {
        guard var doubt else { return }
        doubt.revision = revision
        for event in events {
            switch event {
            case .put(let entry):
                doubt.entries[name(entry.key)] = entry
                doubt.wasWritten = true
            case .delete(let key, _): doubt.entries[name(key)] = nil
            }
        }
        self.doubt = doubt
    }

    // MARK: - Differences

    private mutating func replace(with entries: [String: EtcdEntry]) -> Change {
        var change = Change()
        for name in known.keys.filter({ entries[$0] == nil }).sorted() { remove(name, &change) }
        // As they came to be, which is the same after a restart.
        let sorted = entries.sorted { ($0.value.createRevision, $0.key) < ($1.value.createRevision, $1.key) }
        for (name, entry) in sorted { put(name, entry, &change) }
        return change
    }

    private mutating func remove(_ name: String, _ change: inout Change) {
        guard let old = known.removeValue(forKey: name) else { return }
        content.remove(old.digest)
        guard let key = old.key else { return }
        change.removed.append(key)
    }

    private mutating func put(_ name: String, _ entry: EtcdEntry, _ change: inout Change) {
        let (hash, digest) = (Self.hash(entry.value), EtcdMemory.Content.digest(entry))
        if known[name]?.content == hash { return }
        if let old = known[name] { content.remove(old.digest) }
        content.add(digest)
        do {
            let value = try decode(name, entry)
            known[name] = Known(content: hash, digest: digest, key: value.key)
            change.values.append(value)
            change.revisions.append(entry.modRevision)
        } catch {
            // What was good before stays.
            known[name] = Known(content: hash, digest: digest, key: known[name]?.key)
            change.problems.append(Problem(key: prefix + name, text: error.text))
        }
    }

    private func decode(_ name: String, _ entry: EtcdEntry) throws(Unusable) -> ModelValue {
        guard let model = ModelRegistry.model(forKey: name) else {
            let isForeign = name.hasPrefix("config/vpp/")
            throw Unusable(text: isForeign ? "there is no VPP here" : "no model has such keys")
        }
        var text = entry.value
        if let expand { text = Array(expand(String(decoding: text, as: UTF8.self)).utf8) }
        let value: ModelValue
        do throws(Mistake) {
            value = try ModelValue(model.kind, text: text, name: "value")
        } catch {
            throw Unusable(text: "\(error)")
        }
        guard value.key == name else {
            throw Unusable(text: "the value belongs under \(prefix)\(value.key)")
        }
        return value
    }

    private struct Unusable: Error {
        let text: String
    }

    /// Keyed anew in each process, so nobody can make two contents that have the same.
    private static func hash(_ bytes: [UInt8]) -> Int {
        var hasher = Hasher()
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}
