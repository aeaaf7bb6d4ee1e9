internal import Netlink
internal import NetworkTypes

/// Where a link came from that was moved for an interface of type EXISTING, as its alias says: the kernel keeps that, so that the link is
/// given back after a crash, too.
///
/// `/vnf-agent-lent/LABEL/NAME`, a tab, the number of the namespace, a colon, and the name it had, with `:up` if it was up; then,
/// after another tab, the alias it had. No logical name can hold a tab, and none of a link a colon. Agents that know nothing of it take the link for somebody else's.
struct Loan: Hashable {
    /// The logical name of the interface it was moved for.
    var name: String
    /// The number of the namespace it came from: the inode of its file.
    let origin: UInt64
    /// The name it had there.
    let hostName: String
    /// Whether it was up.
    let isUp: Bool
    /// The alias it had; empty: none.
    let alias: String

    /// What is given back, as of a link that is not moved yet.
    init(of link: Link, to name: String, from origin: UInt64) {
        self.name = name
        self.origin = origin
        hostName = link.name
        isUp = link.isUp
        alias = link.alias ?? ""
    }

    /// Reads an alias; nil: it is none of a link that an owner has moved.
    init?(alias: String?, _ ownership: Ownership) {
        let prefix = ownership.lentPrefix
        guard let alias, alias.hasPrefix(prefix) else { return nil }
        let parts = alias.dropFirst(prefix.count).split(separator: "\t", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2 else { return nil }
        let words = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard words.count >= 2, let origin = UInt64(words[0]), InterfaceName.mistake(in: words[1]) == nil else {
            return nil
        }
        name = String(parts[0])
        self.origin = origin
        hostName = String(words[1])
        isUp = words.count > 2 && words[2] == "up"
        self.alias = parts.count > 2 ? String(parts[2]) : ""
    }

    /// The alias that says so.
    func text(_ ownership: Ownership) -> String {
        "\(ownership.lentPrefix)\(name)\t\(origin):\(hostName)\(isUp ? ":up" : "")\(alias.isEmpty ? "" : "\t\(alias)")"
    }
}

extension Ownership {
    /// What the aliases of links that we moved start with; the logical name of the interface follows.
    var lentPrefix: String { "\(Marks.lentAlias)\(label)/" }
}

/// How a link gets to another namespace.
struct LinkMove: Sendable {
    /// Its index where it is.
    var index: Int32
    /// Number of the namespace it goes to.
    var target: Int
    /// Its name there.
    var name: String
    /// Its alias there; empty: none.
    var alias: String
    /// Whether it comes up there. On its way it goes down.
    var isUp: Bool
    /// The negative index it has until it is there. Where its own is taken, the kernel gives it another one.
    var planned: Int32
}
