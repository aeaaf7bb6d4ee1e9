/// A virtual routing and forwarding device.
public struct VRFSpec: CheckedLinkSpec {
    /// `VRF_DEVICE`
    public static let word = "VRF_DEVICE"
    static let block: LinkBlock? = LinkBlock("vrf_dev") { if case .vrfDev = $0 { true } else { false } }
    static let mtuRange: ClosedRange<UInt32>? = 1280...65575

    /// Its routing table.
    public let table: UInt32

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        table = message.vrfDev.routingTable
        if table == 0 {
            findings.mistake(["vrf_dev", "routing_table"], "is missing; give the VRF a table of its own")
        }
        if !message.vrfMasterInterface.isEmpty {
            findings.mistake(["vrf_master_interface"], "is not possible: a VRF can't be a member of a VRF")
        }
    }

    var noMAC: String? { "a VRF has no MAC address of its own" }
}
