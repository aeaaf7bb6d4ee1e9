internal import Netlink

extension Forwarder {
    /// What can be seen of a connection in the kernel.
    struct Look: Sendable {
        /// What the first end carried: the client's, or the one that is on this host. Nil: the link is gone.
        var traffic: LinkTraffic?
        /// The identifier of its tunnel; 0: it has none.
        var vni: UInt32
        /// Bytes; 0: the kernel's choice.
        var mtu: UInt32
    }

    /// Looks at connections. Those that were not made here are left out.
    func look(at ids: [String]) -> [String: Look] {
        var looks: [String: Look] = [:]
        for id in ids {
            guard let made = made[id] else { continue }
            var look = Look(traffic: nil, vni: made.form.tunnel?.vni ?? 0, mtu: made.form.mtu ?? 0)
            // A link that can't be asked has no traffic to show; its connection says what is wrong elsewhere.
            if let index = made.links.first?.index, let socket = try? socket(made.namespace) {
                look.traffic = (try? socket.traffic(index: index)) ?? nil
            }
            looks[id] = look
        }
        return looks
    }
}
