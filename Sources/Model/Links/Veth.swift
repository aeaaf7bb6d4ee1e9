/// One end of a pair.
public struct VethSpec: CheckedLinkSpec {
    /// `VETH`
    public static let word = "VETH"
    /// Source: `ETH_DATA_LEN`, linux/if_ether.h.
    public static let defaultMTU: UInt32? = 1500
    static let block: LinkBlock? = LinkBlock("veth") { if case .veth = $0 { true } else { false } }

    /// The logical name of the other end.
    public let other: String
    /// Whether checksums are checked by the receiver; nil: the kernel's default.
    public let receiveOffload: Bool?
    /// Whether checksums are left to the receiver; nil: the kernel's default.
    public let transmitOffload: Bool?

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let veth = message.veth
        if veth.peerIfName.isEmpty {
            findings.mistake(["veth", "peer_if_name"], "is missing; name the other half of the pair")
        }
        other = veth.peerIfName
        receiveOffload = findings.offload(veth.rxChecksumOffloading, "rx_checksum_offloading")
        transmitOffload = findings.offload(veth.txChecksumOffloading, "tx_checksum_offloading")
    }

    var peer: String? { other }

    func check(_ check: inout InterfaceCheck) {
        let path: [PathPart] = ["veth", "peer_if_name"]
        guard other != check.interface.name else { return check.report(path, other, "is the interface itself") }
        guard let (ref, peer) = check.declared(other) else {
            return check.reportMissing(path, other, "is not declared; both halves of a pair are")
        }
        let place = check.set.place(ref)
        guard let back = peer.checkedLink.peer else {
            return check.report(path, other, "is a \(peer.word), not a VETH (\(place))", with: ref)
        }
        if back != check.interface.name {
            check.report(
                path, other, "names \(back.inQuotes) as its peer, not \(check.interface.name.inQuotes) (\(place))",
                with: ref)
        }
    }
}

extension FieldFindings {
    /// nil: the kernel's default.
    fileprivate mutating func offload(
        _ setting: Ligato_Linux_Interfaces_VethLink.ChecksumOffloading, _ field: String
    ) -> Bool? {
        switch setting {
        case .chksmOffloadDefault: return nil
        case .chksmOffloadEnabled: return true
        case .chksmOffloadDisabled: return false
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.VethLink.ChecksumOffloading", ["veth", .field(field)])
            return nil
        }
    }
}
