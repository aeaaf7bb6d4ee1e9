internal import Model
internal import Netlink

extension BridgeVLANs {
    /// What the kernel is to have; without any, what it has by itself.
    init(_ vlans: [BridgeVLANSpec]) {
        self = .kernelDefault
        if vlans.isEmpty { return }
        self.init(vlans.map { Range($0.first, $0.last, isPVID: $0.isPVID, isUntagged: $0.isUntagged) })
    }

    /// As a user would write it.
    var messages: [Ligato_Linux_Interfaces_BridgeVlan] {
        if self == .kernelDefault { return [] }
        return ranges.map { range in
            var message = Ligato_Linux_Interfaces_BridgeVlan()
            message.vid = UInt32(range.first)
            if range.last != range.first { message.last = UInt32(range.last) }
            message.pvid = range.isPVID
            message.untagged = range.isUntagged
            return message
        }
    }
}
