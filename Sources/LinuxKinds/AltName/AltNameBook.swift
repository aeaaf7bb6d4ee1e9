internal import Netlink
internal import NetworkTypes

/// The record of alternative names that we gave links of others, which nobody but root can write: nothing in the kernel says whose
/// a name is.
///
/// A name is taken for ours if it is in the record for that very link: one of that index and kind in that namespace, with that
/// permanent address. It is written after the names were given: what a crash comes between stays where it is.
final class AltNameBook {
    /// One name of a link.
    struct Entry: Hashable {
        /// What tells the namespace of the link from others since the machine started.
        let namespace: UInt64
        let index: Int32
        /// The name of its kind; no physical device has one.
        let kind: String
        /// The address that its device keeps; nil: it has none.
        let permanentMAC: MACAddress?
        let name: String

        func isOf(_ link: Link) -> Bool {
            index == link.index && kind == link.kind.name && permanentMAC == link.permanentMAC
                && link.altNames.contains(name)
        }
    }

    /// Whether the record says other than what is known: names were given or taken since it was written, or have gone.
    var isStale = false
    private var file = RecordFile(title: "alternative names 1", directory: "/run/nsm-agent/altnames")
    private var ownership: Ownership?
    /// Those in namespaces that were not read yet.
    private var waiting: [Entry] = []
    /// So many names are kept at most.
    private static let mostEntries = 4096

    /// Reads what the agent before this one left.
    func load(_ ownership: Ownership, home state: NamespaceState) {
        if ownership.extent != .namespaces { return }
        self.ownership = ownership
        waiting = file.open(of: ownership.label, home: state.cookie).prefix(Self.mostEntries).compactMap(
            Entry.init(line:))
    }

    /// The names in a namespace that was read for the first time, if links of others have them still. What is gone leaves the
    /// record, too: who gives such a name later owns it.
    func take(in state: NamespaceState) -> [(link: LinkState, name: String)] {
        if waiting.isEmpty || state.handle == nil { return [] }
        let number = state.cookie
        let here = waiting.filter { $0.namespace == number }
        if here.isEmpty { return [] }
        waiting.removeAll { $0.namespace == number }
        let found: [(link: LinkState, name: String)] = here.compactMap { entry in
            guard let link = state.links[entry.index], entry.isOf(link.link),
                ownership?.owns(alias: link.link.alias) != true
            else { return nil }
            return (link, entry.name)
        }
        if found.count < here.count { isStale = true }
        return found
    }

    /// Writes down what is known now. Where that fails, it is tried again: names too few in the record stay with links, but
    /// names too many would cost others theirs.
    func save(_ states: NamespaceTable) {
        guard isStale, let ownership else { return }
        var entries = waiting
        for state in states where state.handle != nil {
            for link in state.links.values where !link.addedAltNames.isEmpty && link.link.index > 0 {
                if ownership.owns(alias: link.link.alias) { continue }
                // What an undo gave back belongs to no value.
                for name in link.addedAltNames.sorted() where link.altNameClaims[name] != nil {
                    entries.append(
                        Entry(
                            namespace: state.cookie, index: link.link.index, kind: link.link.kind.name,
                            permanentMAC: link.link.permanentMAC, name: name))
                }
            }
        }
        isStale = (try? file.write(entries.suffix(Self.mostEntries).map(\.line))) == nil
    }
}

extension AltNameBook.Entry {
    /// One line of the file.
    var line: String {
        RecordFile.line(["\(namespace)", "\(index)", kind, permanentMAC?.description ?? "", name])
    }

    init?(line: Substring) {
        let words = RecordFile.words(line)
        guard words.count == 5, let namespace = UInt64(words[0]), let index = Int32(words[1]), index > 0 else {
            return nil
        }
        let mac = MACAddress(words[3])
        if mac == nil, !words[3].isEmpty { return nil }
        self.init(namespace: namespace, index: index, kind: words[2], permanentMAC: mac, name: words[4])
    }
}
