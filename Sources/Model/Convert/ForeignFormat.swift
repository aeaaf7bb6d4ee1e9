internal import YAML

/// Files that other programs read, and which somebody may give by mistake.
enum ForeignFormat {
    case netplan
    case nmstate
    case ifstate
    case cni
    case networkd

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
}

extension ConfigReader {
    /// Which other program a document is for; nil: none that is known.
    func foreignFormat(of root: Int) -> ForeignFormat? {
        if tree.kind(of: root) == .sequence {
            // `[Match]` at the start of a unit reads as a list of one word.
            let words = tree.elements(of: root).prefix(2).map { tree.string(of: $0) }
            return words.count == 1 && ["Match", "NetDev", "Network", "Link"].contains(words[0]) ? .networkd : nil
        }
        guard tree.kind(of: root) == .mapping else { return nil }
        // With a word of ours in it, it is ours, with a mistake.
        if tree.pairs(of: root).contains(where: { Self.groups.contains(tree.string(of: $0.0)) }) { return nil }
        if tree.pair("cniVersion", in: root) != nil { return .cni }
        if let network = tree.pair("network", in: root)?.value, tree.kind(of: network) == .mapping { return .netplan }
        guard let interfaces = tree.pair("interfaces", in: root)?.value, tree.kind(of: interfaces) == .sequence else {
            let isState = tree.pair("dns-resolver", in: root) != nil || tree.pair("route-rules", in: root) != nil
            return isState || tree.pair("desiredState", in: root) != nil ? .nmstate : nil
        }
        let first = tree.elements(of: interfaces).first { tree.kind(of: $0) == .mapping }
        return first.map { tree.pair("link", in: $0) != nil } == true ? .ifstate : .nmstate
    }

    /// What is said of a document of another program.
    static func text(of format: ForeignFormat) -> String {
        "this is \(format.words), which nsm-agent does not read; its own files begin with \(groups.joined(separator: ", ")) "
            + "('nsm-agent explain' lists what they can say)"
    }
}
