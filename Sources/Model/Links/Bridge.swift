/// A bridge.
public struct BridgeSpec: CheckedLinkSpec {
    /// `BRIDGE`
    public static let word = "BRIDGE"
    static let block: LinkBlock? = LinkBlock("bridge") { if case .bridge = $0 { true } else { false } }

    /// Logical names of the interfaces that are its ports.
    public let ports: [String]
    /// Whether the kernel's spanning tree protocol runs.
    public let isSTP: Bool
    /// Whether the bridge separates frames by VLAN.
    public let isFilteringVLANs: Bool
    /// How long an address is kept that is not seen any more, in seconds.
    public let ageingTime: UInt32
    /// How long a port listens and learns before it forwards, in seconds.
    public let forwardDelay: UInt32
    /// What is declared for single ports, by logical name.
    public let portSettings: [String: BridgePortSpec]

    /// VLANs of the bridge itself; empty: the kernel's own.
    public let vlans: [BridgeVLANSpec]

    /// The kernel's own. Source: `br_dev_setup`, net/bridge/br_device.c.
    public static let defaultAgeingTime: UInt32 = 300
    /// The kernel's own.
    public static let defaultForwardDelay: UInt32 = 15

    private static let ageingTimes = FieldFindings.range(of: "ageing_time", in: "BridgeLink")
    private static let forwardDelays = FieldFindings.range(of: "forward_delay", in: "BridgeLink")

    /// Whatever is not set has the kernel's default, so that taking it out of the configuration takes it back.
    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let bridge = message.bridge
        findings.check(bridge.ageingTime, Self.ageingTimes, ["bridge", "ageing_time"])
        findings.check(bridge.forwardDelay, Self.forwardDelays, ["bridge", "forward_delay"])
        // Source: `BR_MIN_FORWARD_DELAY`, net/bridge/br_private.h.
        if bridge.forwardDelay == 1 {
            findings.mistake(["bridge", "forward_delay"], value: "1", "is out of range (2–30, 0 for the default)")
        }
        findings.check(bridge.vlans, ["bridge", "vlans"], isFiltering: bridge.vlanFiltering)
        vlans = bridge.vlans.map(BridgeVLANSpec.init)
        ports = bridge.ports
        portSettings = findings.portSettings(bridge)
        isSTP = bridge.stp
        isFilteringVLANs = bridge.vlanFiltering
        ageingTime = bridge.ageingTime == 0 ? Self.defaultAgeingTime : bridge.ageingTime
        forwardDelay = bridge.forwardDelay == 0 ? Self.defaultForwardDelay : bridge.forwardDelay
    }

    func check(_ check: inout InterfaceCheck) {
        check.checkPorts(
            ports, ["bridge", "ports"], refusing: [BridgeSpec.self, LoopbackSpec.self, WireGuardSpec.self])
    }
}
