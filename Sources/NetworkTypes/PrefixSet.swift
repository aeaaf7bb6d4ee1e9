/// The addresses of many prefixes. Looking one up costs the logarithm of their number.
public struct PrefixSet: Hashable, Sendable {
    /// The fewest prefixes with these addresses, in order.
    public private(set) var prefixes: [IPPrefix]

    /// The addresses of all of them together.
    public init(_ prefixes: some Sequence<IPPrefix>) { self.prefixes = IPPrefix.merged(prefixes) }

    /// Whether an address is one of them.
    public func contains(_ address: IPAddress) -> Bool { prefix(with: address) != nil }

    /// The prefix that an address lies in; nil when it is in none.
    public func prefix(with address: IPAddress) -> IPPrefix? {
        let place = self.place(of: address)
        guard place > 0, prefixes[place - 1].contains(address) else { return nil }
        return prefixes[place - 1]
    }

    /// Whether all addresses of a prefix are in them.
    public func contains(allOf prefix: IPPrefix) -> Bool {
        self.prefix(with: prefix.network.address).map { $0.length <= prefix.length } ?? false
    }

    /// Takes in one address. What it costs depends on the number of prefixes, not of addresses.
    public mutating func insert(_ address: IPAddress) {
        var place = self.place(of: address)
        if place > 0, prefixes[place - 1].contains(address) { return }
        var prefix = IPPrefix(host: address)
        var end = place
        while true {
            if place > 0, let both = prefixes[place - 1].joined(with: prefix) {
                prefix = both
                place -= 1
            } else if end < prefixes.count, let both = prefix.joined(with: prefixes[end]) {
                prefix = both
                end += 1
            } else {
                break
            }
        }
        prefixes.replaceSubrange(place..<end, with: CollectionOfOne(prefix))
    }

    /// Takes out one address.
    public mutating func remove(_ address: IPAddress) {
        let place = self.place(of: address)
        guard place > 0, prefixes[place - 1].contains(address) else { return }
        prefixes.replaceSubrange((place - 1)..<place, with: prefixes[place - 1].without(address))
    }

    /// How many prefixes begin at the address or before it.
    private func place(of address: IPAddress) -> Int {
        var low = 0
        var high = prefixes.count
        while low < high {
            let middle = (low + high) / 2
            if prefixes[middle].address > address { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
