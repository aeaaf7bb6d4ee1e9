internal import Netlink

extension LinkState {
    /// Its IPv4 addresses, by their places in ``addresses``, in the order of the kernel: secondary ones last, and of the others
    /// those of the widest scope. Source: `__inet_insert_ifa`, net/ipv4/devinet.c.
    var orderOfV4: [Int] {
        func rank(_ index: Int) -> Int {
            let address = addresses[index].address
            return address.flags & Address.secondary != 0 ? 256 : 255 - Int(address.scope)
        }
        return addresses.indices.filter { addresses[$0].address.local.family == .v4 }
            .sorted { (rank($0), $0) < (rank($1), $1) }
    }
}
