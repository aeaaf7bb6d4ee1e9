internal import Netlink
internal import NetworkTypes

/// What a link had that was moved for an interface of type EXISTING, so that it can be given back. ``LoanBook`` keeps it.
///
/// The alias of such a link says it, too, for people: `/vnf-agent-lent/LABEL/NAME`, a tab, the number of the namespace, a colon, and the
/// name it had, with `:up` if it was up; then, after another tab, the alias it had. No agent takes such a link for one of its own.
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

    /// What was written down.
    init(name: String, origin: UInt64, hostName: String, isUp: Bool, alias: String) {
        (self.name, self.origin, self.hostName, self.isUp, self.alias) = (name, origin, hostName, isUp, alias)
    }

    /// What is given back, as of a link that is not moved yet. An alias that is the mark of an agent or a mesh is none of it.
    init(of link: Link, to name: String, from origin: UInt64) {
        self.name = name
        self.origin = origin
        hostName = link.name
        isUp = link.isUp
        let alias = link.alias ?? ""
        let marks = [Marks.agentAlias, Marks.lentAlias, Marks.meshAlias]
        self.alias = marks.contains(where: alias.hasPrefix) ? "" : alias
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
    /// What it has to be given back with; nil: it is given back by this.
    var loan: Loan?
    /// Whether it comes up there. On its way it goes down.
    var isUp: Bool
    /// The negative index it has until it is there. Where its own is taken, the kernel gives it another one.
    var planned: Int32
}
