extension IPPrefix {
    /// The fewest prefixes with the same addresses, in order.
    public static func merged(_ prefixes: some Sequence<IPPrefix>) -> [IPPrefix] {
        var merged: [IPPrefix] = []
        for prefix in prefixes.lazy.map(\.network).sorted() {
            // One sorts before those inside it.
            if let last = merged.last, last.length <= prefix.length, last.contains(prefix.address) { continue }
            var next = prefix
            while let last = merged.last, let both = last.joined(with: next) {
                merged.removeLast()
                next = both
            }
            merged.append(next)
        }
        return merged
    }

    /// The prefix that two halves make up; nil when they are not the halves of one.
    func joined(with upper: IPPrefix) -> IPPrefix? {
        guard length > 0, length == upper.length, family == upper.family, address != upper.address,
            let both = IPPrefix(address, length: length - 1), both.network.address == address,
            both.contains(upper.address)
        else { return nil }
        return both
    }

    /// What is left of a prefix without one address: a half, a quarter and so on.
    public func without(_ host: IPAddress) -> [IPPrefix] {
        guard contains(host) else { return [network] }
        var rest: [IPPrefix] = []
        var length = length
        while length < family.bitWidth {
            length += 1
            guard let half = IPPrefix(host, length: length)?.network, let other = half.sibling else { break }
            rest.append(other)
        }
        return rest.sorted()
    }

    /// The other half of the prefix that is one bit shorter.
    private var sibling: IPPrefix? {
        guard length > 0 else { return nil }
        let bit = Int(length) - 1
        let bytes = address.withNetworkOrderBytes { Array($0) }
        var flipped = bytes
        flipped[bit / 8] ^= 0x80 >> UInt8(bit % 8)
        let other = flipped.withUnsafeBytes { IPAddress(networkOrder: $0) }
        return other.flatMap { IPPrefix($0, length: length)?.network }
    }
}
