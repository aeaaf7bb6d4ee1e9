internal import Glibc

/// Whose an address is, as far as that can be told: who has one of IPv6 has the 2^64 of its network.
package enum PeerNetwork {
    /// The address itself, or the network of 64 bits of an IPv6 address.
    package static func name(of address: String) -> String {
        var bytes = in6_addr()
        let plain = address.prefix { $0 != "%" }
        guard inet_pton(AF_INET6, String(plain), &bytes) == 1 else { return address }
        let words = withUnsafeBytes(of: &bytes) { Array($0) }
        // An IPv4 address in the clothes of IPv6 is one host.
        if words.prefix(10).allSatisfy({ $0 == 0 }), words[10] == 0xff { return address }
        return words.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "/64"
    }
}
