package import NetworkTypes

/// The parts of one network, each of which is given once. A part that was given back is given again only after all others, so
/// that who lost it for a moment can have it again.
package struct PrefixPool: Sendable {
    /// What is divided.
    package let network: IPPrefix
    /// The length of its parts.
    package let length: UInt8
    private var taken: Set<IPPrefix> = []
    private var next: IPAddress

    /// Divides a network.
    ///
    /// - Parameter length: Of the parts; from that of the network up to two bits less than a single address. Nil for others.
    package init?(_ network: IPPrefix, length: UInt8) {
        guard network.length <= length, length <= network.family.bitWidth - 2 else { return nil }
        self.network = network.network
        self.length = length
        next = network.network.address
    }

    /// How many parts are given.
    package var count: Int { taken.count }

    /// How many there are, as far as that can be counted.
    package var size: Int { 1 << Int(min(length - network.length, 40)) }

    /// Takes a part.
    ///
    /// - Parameters:
    ///   - wanted: Which one, if it is free; another one otherwise.
    ///   - excluded: What it must not overlap.
    ///   - reserved: Parts that are kept for somebody else, though they are free: how many there may be, and whether one is. The
    ///     part that is wanted is given all the same.
    /// - Returns: the part; nil when none is left.
    package mutating func take(
        _ wanted: IPPrefix? = nil, excluding excluded: [IPPrefix] = [],
        sparing reserved: (count: Int, contains: (IPPrefix) -> Bool) = (0, { _ in false })
    ) -> IPPrefix? {
        let excluded = excluded.filter { $0.overlaps(network) }
        if excluded.contains(where: { $0.length <= network.length }) { return nil }
        if let wanted = wanted?.network, wanted.length == length, network.contains(wanted.address),
            !excluded.contains(where: wanted.overlaps), taken.insert(wanted).inserted
        {
            // After a start of ours others had what comes before it, and it comes last as well when it is given back.
            if !(wanted.address < next) { advance(behind: wanted) }
            return wanted
        }
        // Each step leaves a part that is taken behind, or what is excluded, and going round once is enough.
        for _ in 0...2 * (taken.count + excluded.count + reserved.count + 1) {
            guard let part = IPPrefix(next, length: length) else { return nil }
            if let obstacle = excluded.first(where: part.overlaps) {
                advance(behind: obstacle.length < length ? obstacle : part)
                continue
            }
            advance(behind: part)
            if !reserved.contains(part), taken.insert(part).inserted { return part }
        }
        return nil
    }

    /// Whether a prefix is a part that nobody has.
    package func isFree(_ part: IPPrefix) -> Bool {
        part.length == length && network.contains(part.address) && !taken.contains(part)
    }

    /// Gives a part back; one that was not taken is left alone.
    package mutating func free(_ part: IPPrefix) { taken.remove(part.network) }

    private mutating func advance(behind part: IPPrefix) {
        let last = part.network.address.last(of: part.length)
        next = last < network.address.last(of: network.length) ? last.successor : network.address
    }
}

extension IPPrefix {
    /// Whether an address lies in both.
    package func overlaps(_ other: IPPrefix) -> Bool { contains(other.address) || other.contains(address) }

    /// Whether all of another one lies in it.
    package func contains(_ other: IPPrefix) -> Bool { length <= other.length && contains(other.address) }
}
