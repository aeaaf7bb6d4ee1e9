import CLinux

/// A `bridge`. `IFLA_BR_*`, linux/if_link.h. Times are in the kernel's unit, USER_HZ (1/100 s).
public struct BridgeAttributes: LinkKindAttributes, LinkKindCodec {
    /// `bridge`
    public static let kindName = "bridge"

    /// `IFLA_BR_STP_STATE`: 0 off, 1 kernel STP, 2 user-space STP.
    public var stpState: UInt32?
    /// `IFLA_BR_VLAN_FILTERING`.
    public var vlanFiltering: Bool?
    /// `IFLA_BR_AGEING_TIME`, 1/100 s.
    public var ageingTime: UInt32?
    /// `IFLA_BR_FORWARD_DELAY`, 1/100 s.
    public var forwardDelay: UInt32?

    /// Makes attributes; nil leaves the kernel's default.
    public init(
        stpState: UInt32? = nil, vlanFiltering: Bool? = nil, ageingTime: UInt32? = nil, forwardDelay: UInt32? = nil
    ) {
        self.stpState = stpState
        self.vlanFiltering = vlanFiltering
        self.ageingTime = ageingTime
        self.forwardDelay = forwardDelay
    }

    var isEmpty: Bool { self == BridgeAttributes() }

    init(data: UnsafeRawBufferPointer) {
        self.init()
        for attribute in AttributeReader(data) {
            switch attribute.type {
            case IFLA_BR_STP_STATE: stpState = attribute.payload.u32
            case IFLA_BR_VLAN_FILTERING: vlanFiltering = attribute.payload.u8 != 0
            case IFLA_BR_AGEING_TIME: ageingTime = attribute.payload.u32
            case IFLA_BR_FORWARD_DELAY: forwardDelay = attribute.payload.u32
            default: break
            }
        }
    }

    func write(_ writer: MessageWriter) {
        if let forwardDelay { writer.put(IFLA_BR_FORWARD_DELAY, u32: forwardDelay) }
        if let ageingTime { writer.put(IFLA_BR_AGEING_TIME, u32: ageingTime) }
        if let stpState { writer.put(IFLA_BR_STP_STATE, u32: stpState) }
        if let vlanFiltering { writer.put(IFLA_BR_VLAN_FILTERING, u8: vlanFiltering ? 1 : 0) }
    }

    /// What is not set in the change stays as it is.
    public func merged(with change: BridgeAttributes) -> BridgeAttributes {
        BridgeAttributes(
            stpState: change.stpState ?? stpState, vlanFiltering: change.vlanFiltering ?? vlanFiltering,
            ageingTime: change.ageingTime ?? ageingTime, forwardDelay: change.forwardDelay ?? forwardDelay)
    }
}

extension LinkKind {
    /// `bridge`.
    public static func bridge(_ attributes: BridgeAttributes) -> LinkKind { LinkKind(attributes) }
}
