/// A persistent TAP or TUN device.
public struct TunTapSpec: CheckedLinkSpec {
    /// `TAP`
    public static let word = "TAP"
    static let block: LinkBlock? = LinkBlock("tuntap") { if case .tuntap = $0 { true } else { false } }

    /// Whether it carries IP packets instead of Ethernet frames.
    public let isTUN: Bool
    /// Whether several queues can be opened.
    public let isMultiQueue: Bool
    /// The user who may open it; nil: root.
    public let owner: UInt32?
    /// The group that may open it; nil: root.
    public let group: UInt32?
    /// Whether each frame begins with a virtio header.
    public let hasVNETHeader: Bool

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let tap = message.tuntap
        if case .UNRECOGNIZED(let number) = tap.mode {
            findings.unknown(number, "ligato.linux.interfaces.TunTapLink.Mode", ["tuntap", "mode"])
        }
        isTUN = tap.mode == .tun
        isMultiQueue = tap.multiQueue
        owner = tap.hasOwner ? tap.owner : nil
        group = tap.hasGroup ? tap.group : nil
        hasVNETHeader = tap.vnetHeader
    }

    var noMAC: String? { isTUN ? "a TUN device carries no Ethernet frames" : nil }
}
