/// A VLAN of a bridge or of one of its ports, or a range of them.
public struct BridgeVLANSpec: Hashable, Sendable {
    /// The first number, 1 to 4094.
    public let first: UInt16
    /// The last one, which is the same for one VLAN.
    public let last: UInt16
    /// Whether frames that come without a tag belong to it.
    public let isPVID: Bool
    /// Whether its frames leave without a tag.
    public let isUntagged: Bool

    init(_ vlan: Ligato_Linux_Interfaces_BridgeVlan) {
        first = UInt16(clamping: vlan.vid)
        last = vlan.last == 0 ? first : UInt16(clamping: vlan.last)
        isPVID = vlan.pvid
        isUntagged = vlan.untagged
    }

    fileprivate func overlaps(_ other: BridgeVLANSpec) -> Bool { first <= other.last && other.first <= last }

    fileprivate var text: String { first == last ? "\(first)" : "\(first)-\(last)" }
}

extension FieldFindings {
    private static let numbers = range(of: "vid", in: "BridgeVlan")
    private static let lasts = range(of: "last", in: "BridgeVlan")

    /// Checks the VLANs of a bridge or of a port.
    mutating func check(_ vlans: [Ligato_Linux_Interfaces_BridgeVlan], _ path: [PathPart], isFiltering: Bool) {
        if vlans.isEmpty { return }
        if !isFiltering { mistake(path, "are there only with vlanFiltering: true") }
        var seen: [BridgeVLANSpec] = []
        for (index, message) in vlans.enumerated() {
            let path = path + [.element(index)]
            check(message.vid, Self.numbers, path + ["vid"])
            check(message.last, Self.lasts, path + ["last"])
            let vlan = BridgeVLANSpec(message)
            if vlan.last < vlan.first {
                mistake(path + ["last"], value: "\(message.last)", "is less than vid, the first one")
            } else if let other = seen.first(where: vlan.overlaps) {
                mistake(path + ["vid"], value: vlan.text, "is there twice: \(other.text) is listed before")
            }
            if vlan.isPVID, vlan.last > vlan.first {
                mistake(path + ["pvid"], "can't hold for a range, as a frame without a tag belongs to one VLAN")
            } else if vlan.isPVID, let other = seen.first(where: \.isPVID) {
                mistake(path + ["pvid"], "is that of \(other.text) already")
            }
            seen.append(vlan)
        }
    }
}
