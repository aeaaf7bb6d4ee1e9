internal import YAML

/// Files that other programs read. Somebody may give them by mistake; ``Conversion`` makes ours of them.
public enum ForeignFormat: String, Sendable, CaseIterable {
    /// Netplan, version 2: YAML.
    case netplan
    /// Units of systemd-networkd: `.network` and `.netdev`.
    case networkd
    /// A state of nmstate: YAML or JSON.
    case nmstate
    /// IfState: YAML.
    case ifstate
    /// A configuration of the Container Network Interface, a list or a single one: JSON.
    case cni

    /// What it is, for a mistake's text.
    var words: String {
        switch self {
        case .netplan: "a file of netplan"
        case .nmstate: "a state of nmstate"
        case .ifstate: "a file of ifstate"
        case .cni: "a CNI configuration"
        case .networkd: "a unit of systemd-networkd"
        }
    }

    /// For which program a document is; nil: none that is known.
    static func of(_ tree: YAMLTree, _ root: YAMLTree.Index) -> ForeignFormat? {
        if tree.kind(of: root) == .sequence {
            // `[Match]` at the start of a unit reads as a list of one word.
            let elements = Array(tree.elements(of: root).prefix(2))
            guard elements.count == 1, tree.kind(of: elements[0]).isScalar else { return nil }
            let sections = ["Match", "NetDev", "Network", "Link"]
            return sections.contains(tree.string(of: elements[0])) ? .networkd : nil
        }
        guard tree.kind(of: root) == .mapping else { return nil }
        if tree.pair("cniVersion", in: root) != nil { return .cni }
        if let network = tree.pair("network", in: root)?.value, tree.kind(of: network) == .mapping { return .netplan }
        guard let interfaces = tree.pair("interfaces", in: root)?.value else {
            let isState = tree.pair("dns-resolver", "route-rules", "desiredState", in: root) != nil
            return isState ? .nmstate : nil
        }
        // Version 2 of IfState names its interfaces by keys.
        if tree.kind(of: interfaces) == .mapping { return .ifstate }
        guard tree.kind(of: interfaces) == .sequence else { return nil }
        let first = tree.elements(of: interfaces).first { tree.kind(of: $0) == .mapping }
        return first.map { tree.pair("link", in: $0) != nil } == true ? .ifstate : .nmstate
    }
}

extension ConfigReader {
    /// Which other program a document is for; nil: none that is known.
    func foreignFormat(of root: Int) -> ForeignFormat? {
        // With a word of ours in it, it is ours, with a mistake.
        if tree.kind(of: root) == .mapping,
            tree.pairs(of: root).contains(where: { Self.groups.contains(tree.string(of: $0.0)) })
        {
            return nil
        }
        return ForeignFormat.of(tree, root)
    }

    /// What is said of a document of another program.
    static func text(of format: ForeignFormat) -> String {
        "this is \(format.words), which nsm-agent does not read; 'nsm-agent convert' makes a file of its own of it. Those begin "
            + "with \(groups.joined(separator: ", ")) ('nsm-agent explain' lists what they can say)"
    }
}
