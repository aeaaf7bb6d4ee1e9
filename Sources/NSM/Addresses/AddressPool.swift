internal import HeapModule
package import NetworkTypes

/// The addresses of a prefix, of which the lowest free one is given. Giving and freeing cost the same however many are
/// given.
struct AddressPool: Sendable {
    let prefix: IPPrefix
    /// Addresses below this have been given once.
    private var next: IPAddress
    /// Given once and freed, all below `next`.
    private var freed: Heap<IPAddress> = []
    private var taken: Set<IPAddress> = []
    private let last: IPAddress
    private var isUsedUp = false

    /// All addresses of a prefix, less the network's and the broadcast address of IPv4 where the prefix has them.
    init(_ prefix: IPPrefix) {
        self.prefix = prefix.network
        let network = prefix.network.address
        var last = network.last(of: prefix.length)
        var first = network
        if prefix.family == .v4, prefix.length < 31 {
            first = network.successor
            last = last.predecessor
        }
        self.last = last
        next = first
    }

    /// Whether an address can be given.
    func isFree(_ address: IPAddress) -> Bool {
        prefix.contains(address) && !taken.contains(address) && !(address > last)
            && !(prefix.family == .v4 && prefix.length < 31 && address == prefix.address)
    }

    /// Takes a free address out of its order.
    mutating func take(_ address: IPAddress) { taken.insert(address) }

    /// Takes the lowest free address that is in none of these sets.
    mutating func draw(_ excluded: [PrefixSet]) -> IPAddress? {
        var skipped: [IPAddress] = []
        defer { for address in skipped { freed.insert(address) } }
        while let address = freed.popMin() {
            // It may have been taken out of order, or stand in the heap twice.
            if taken.contains(address) { continue }
            if excluded.contains(where: { $0.contains(address) }) {
                skipped.append(address)
                continue
            }
            taken.insert(address)
            return address
        }
        while !isUsedUp {
            let address = next
            if let prefix = Self.obstacle(at: address, excluded) {
                // What is excluded for this client is free for another: only single addresses are remembered, as a
                // prefix could be half of the pool.
                if prefix.isHost { skipped.append(address) }
                if prefix.isHost { advance(past: address) } else { return drawBehind(prefix, excluded) }
                continue
            }
            advance(past: address)
            if taken.contains(address) { continue }
            taken.insert(address)
            return address
        }
        return nil
    }

    /// Frees an address; one that was not taken is left alone.
    mutating func free(_ address: IPAddress) {
        guard taken.remove(address) != nil, address < next || isUsedUp else { return }
        freed.insert(address)
    }

    private mutating func advance(past address: IPAddress) {
        if address == last { isUsedUp = true } else { next = address.successor }
    }

    private static func obstacle(at address: IPAddress, _ excluded: [PrefixSet]) -> IPPrefix? {
        for set in excluded { if let prefix = set.prefix(with: address) { return prefix } }
        return nil
    }

    /// The lowest free address behind an excluded prefix, without moving on for others.
    private mutating func drawBehind(_ prefix: IPPrefix, _ excluded: [PrefixSet]) -> IPAddress? {
        var address = prefix.network.address.last(of: prefix.length)
        while address < last {
            address = address.successor
            if let other = Self.obstacle(at: address, excluded) {
                address = other.network.address.last(of: other.length)
                continue
            }
            if taken.insert(address).inserted { return address }
        }
        return nil
    }
}

extension IPAddress {
    /// The one that follows.
    package var successor: IPAddress { offset(by: 1) }
    /// The one before.
    var predecessor: IPAddress {
        family == .v4 ? IPAddress(v4: v4Bits &- 1) : IPAddress(high: low == 0 ? high &- 1 : high, low: low &- 1)
    }
    /// The highest address of the prefix of this length that this one lies in.
    func last(of length: UInt8) -> IPAddress {
        switch family {
        case .v4: return IPAddress(v4: v4Bits | (length >= 32 ? 0 : UInt32.max >> UInt32(length)))
        case .v6:
            let highMask = length >= 64 ? 0 : UInt64.max >> UInt64(length)
            let lowMask = length <= 64 ? UInt64.max : length >= 128 ? 0 : UInt64.max >> UInt64(length - 64)
            return IPAddress(high: high | highMask, low: low | lowMask)
        }
    }

    private func offset(by step: UInt64) -> IPAddress {
        if family == .v4 { return IPAddress(v4: v4Bits &+ UInt32(truncatingIfNeeded: step)) }
        let (sum, overflow) = low.addingReportingOverflow(step)
        return IPAddress(high: overflow ? high &+ 1 : high, low: sum)
    }
}

extension IPAddress {
    fileprivate var v4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }
}
