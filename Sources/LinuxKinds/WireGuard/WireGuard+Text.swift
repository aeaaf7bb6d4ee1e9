internal import Netlink
internal import NetworkTypes

extension WireGuardChange {
    /// As the arguments of `wg set`, without any key but public ones: ` listen-port 51820 private-key (hidden)`.
    var text: String {
        var words: [String] = []
        if let listenPort { words.append("listen-port \(listenPort)") }
        if let firewallMark { words.append("fwmark \(firewallMark)") }
        if let privateKey { words.append("private-key \(privateKey)") }
        words += peers.prefix(4).map(\.text)
        if peers.count > 4 { words.append("and \(peers.count - 4) more peers") }
        return words.map { " \($0)" }.joined()
    }
}

extension WireGuardChange.Peer {
    fileprivate var text: String {
        var words = ["peer \(key)"]
        if verb == .remove { words.append("remove") }
        if let presharedKey { words.append("preshared-key \(presharedKey)") }
        if let endpoint { words.append("endpoint \(endpoint)") }
        if let keepalive { words.append("persistent-keepalive \(keepalive)") }
        if let allowedIPs {
            let rest = allowedIPs.count > 8 ? " and \(allowedIPs.count - 8) more" : ""
            words.append("allowed-ips \(allowedIPs.prefix(8).map(\.description).joined(separator: ","))\(rest)")
        }
        return words.joined(separator: " ")
    }
}
