internal import CLinux
internal import Glibc
internal import Netlink
internal import NetworkTypes

/// The record of links that were moved to other namespaces, which nobody but root can write.
///
/// Root in the namespace that a link was moved to can change its alias. So the alias decides nothing: only links in this record are
/// given back. There is one file for each label and own namespace; the numbers in it hold until the machine starts anew.
final class LoanBook {
    /// One link that was moved.
    struct Entry {
        /// The cookie of the namespace it was moved to, or else the inode of its file.
        var namespace: UInt64
        /// Its index there.
        var index: Int32
        /// Whether it got there. Before that it may still be at home, or have got another index.
        var isMoved: Bool
        /// The name of its kind; no physical device has one.
        let kind: String
        /// The address that its device keeps; nil: it has none.
        let permanentMAC: MACAddress?
        /// What it had at home.
        var loan: Loan

        func isLike(_ link: Link) -> Bool { kind == link.kind.name && permanentMAC == link.permanentMAC }
    }

    /// Where the files are.
    var directory: String {
        get { file.directory }
        set { file.directory = newValue }
    }
    private var file = RecordFile(title: "moved interfaces 1", directory: "/run/nsm-agent/lent")
    private var entries: [Entry] = []
    private var home: UInt64 = 0
    private var ownership: Ownership?
    /// So many links are moved at most.
    private static let mostEntries = 4096

    // MARK: - What is known

    /// What is known of a link as one that was moved; nil: it was not, or it is back.
    func loan(of link: Link, in state: NamespaceState) -> Loan? {
        if entries.isEmpty || link.index <= 0 { return nil }
        let number = state.cookie
        return entries.first { entry in
            guard entry.isLike(link) else { return false }
            // At home others than the host's root set no alias. The kernel brings it back with that of its journey.
            if number == home { return ownership.map { entry.loan.text($0) == link.alias } ?? false }
            guard entry.namespace == number else { return false }
            return entry.index == link.index || !entry.isMoved && entry.permanentMAC != nil
        }?.loan
    }

    // MARK: - Changes

    /// Notes that a link is about to move.
    ///
    /// - Throws: the record can't be written.
    func enter(_ loan: Loan, of link: Link, in state: NamespaceState) throws(KernelError) {
        let former = entries
        guard entries.count < Self.mostEntries else {
            throw KernelError(code: ENOSPC, message: "more than \(Self.mostEntries) interfaces are moved")
        }
        entries.removeAll { $0.namespace == state.cookie && $0.index == link.index }
        entries.append(
            Entry(
                namespace: state.cookie, index: link.index, isMoved: false, kind: link.kind.name,
                permanentMAC: link.permanentMAC, loan: loan))
        do throws(KernelError) {
            try write()
        } catch {
            entries = former
            throw KernelError(
                code: error.code,
                message: "\(link.name) stays where it is, as the record of moved interfaces can't be written: "
                    + (error.message ?? directory))
        }
    }

    /// Notes where a link got to.
    func settle(from old: Int32, as new: Int32, in state: NamespaceState) {
        guard let place = entries.firstIndex(where: { $0.namespace == state.cookie && $0.index == old }) else { return }
        entries[place].index = new
        entries[place].isMoved = true
        // Without it a reader takes the old index, which is nearly always the new one.
        try? write()
    }

    /// A link is in a namespace no more, or never got there.
    func remove(_ index: Int32, in state: NamespaceState) {
        let count = entries.count
        entries.removeAll { $0.namespace == state.cookie && $0.index == index }
        // What is left over names a link that is not there.
        if entries.count != count { try? write() }
    }

    /// Another interface has the link. The file follows with the next change: until then the link is found by what it is.
    func rename(_ loan: Loan, to name: String) {
        for place in entries.indices where entries[place].loan == loan { entries[place].loan.name = name }
    }

    // MARK: - The file

    /// Reads what this agent, or the one before it, has moved out of its own namespace. What is not root's alone is not read.
    func load(_ ownership: Ownership, home state: NamespaceState) {
        if ownership.extent != .namespaces { return }
        (self.ownership, home) = (ownership, state.cookie)
        entries = file.open(of: ownership.label, home: home).prefix(Self.mostEntries).compactMap(Entry.init(line:))
    }

    private func write() throws(KernelError) { try file.write(entries.map(\.line)) }
}

extension LoanBook.Entry {
    /// One line of the file.
    var line: String {
        let words = [
            "\(namespace)", "\(index)", isMoved ? "moved" : "moving", kind, permanentMAC?.description ?? "", loan.name,
            "\(loan.origin)", loan.hostName, loan.isUp ? "up" : "down", loan.alias,
        ]
        return RecordFile.line(words)
    }

    init?(line: Substring) {
        let words = RecordFile.words(line)
        guard words.count == 10, let namespace = UInt64(words[0]), let index = Int32(words[1]), index > 0,
            let origin = UInt64(words[6]), InterfaceName.mistake(in: words[7]) == nil
        else { return nil }
        let mac = MACAddress(words[4])
        if mac == nil, !words[4].isEmpty { return nil }
        self.init(
            namespace: namespace, index: index, isMoved: words[2] == "moved", kind: words[3], permanentMAC: mac,
            loan: Loan(
                name: words[5], origin: origin, hostName: words[7], isUp: words[8] == "up", alias: words[9]))
    }
}

extension NamespaceState {
    /// What tells the namespace from all others since the machine started: its cookie. Before Linux 5.14 it is the inode of its file,
    /// which is used again. 0 as long as it is only planned.
    var cookie: UInt64 {
        if let knownCookie { return knownCookie }
        guard let handle else { return 0 }
        var number: UInt64 = 0
        if cl_namespace_cookie(handle.descriptor, &number) != 0 { number = handle.identity.inode }
        knownCookie = number
        return number
    }
}
