internal import NetworkTypes

/// All kinds of interfaces.
enum LinkSpecs {
    /// The kind behind a type of the .proto file; nil: there is none.
    static func spec(of type: Ligato_Linux_Interfaces_Interface.TypeEnum) -> (any CheckedLinkSpec.Type)? {
        switch type {
        case .veth: VethSpec.self
        case .loopback: LoopbackSpec.self
        case .existing: ExistingSpec.self
        case .vrfDevice: VRFSpec.self
        case .dummy: DummySpec.self
        case .tap: TunTapSpec.self
        case .bridge: BridgeSpec.self
        case .vlan: VLANSpec.self
        case .vxlan: VXLANSpec.self
        case .macvlan: MACVLANSpec.self
        case .ipvlan: IPVLANSpec.self
        case .bond: BondSpec.self
        case .macvtap: MACVTAPSpec.self
        case .geneve: GeneveSpec.self
        case .gre: TunnelSpec<GREForm>.self
        case .gretap: TunnelSpec<GRETAPForm>.self
        case .ip6Gre: TunnelSpec<IP6GREForm>.self
        case .ip6Gretap: TunnelSpec<IP6GRETAPForm>.self
        case .ipip: TunnelSpec<IPIPForm>.self
        case .sit: TunnelSpec<SITForm>.self
        case .ip6Tnl: TunnelSpec<IP6TNLForm>.self
        case .wireguard: WireGuardSpec.self
        case .undefined, .tapToVpp, .UNRECOGNIZED: nil
        }
    }

    /// In the order of the .proto file.
    static let all = Ligato_Linux_Interfaces_Interface.TypeEnum.allCases.compactMap(spec(of:))

    /// The field's name in the .proto file.
    static func name(of link: Ligato_Linux_Interfaces_Interface.OneOf_Link) -> String {
        for spec in all {
            if let block = spec.block, block.isSet(link) { return block.name }
        }
        // The one block without a kind is that of TAP_TO_VPP.
        return "tap"
    }
}

extension FieldFindings {
    /// The kind of an interface; nil and a finding when there is none.
    mutating func linkSpec(_ type: Ligato_Linux_Interfaces_Interface.TypeEnum) -> (any CheckedLinkSpec.Type)? {
        if let spec = LinkSpecs.spec(of: type) { return spec }
        if type == .tapToVpp {
            impossible(
                ["type"], value: "TAP_TO_VPP",
                "is not possible: there is no VPP here; for a TAP device use type TAP")
        } else if case .UNRECOGNIZED(let number) = type {
            unknown(number, "ligato.linux.interfaces.Interface.Type", ["type"])
        } else {
            mistake(["type"], "is missing; it is one of \(LinkSpecs.all.map { $0.word }.joined(separator: ", "))")
        }
        return nil
    }

    /// Whether the block that is set is the one of the kind.
    mutating func checkBlock(
        _ message: Ligato_Linux_Interfaces_Interface, of spec: any CheckedLinkSpec.Type
    ) -> Bool {
        guard let link = message.link, spec.block?.isSet(link) != true else { return true }
        let right = spec.block.map { "takes '\($0.name)'" } ?? "takes none"
        mistake([.field(LinkSpecs.name(of: link))], "does not belong to type \(spec.word), which \(right)")
        return false
    }

    /// Notes when the interface below is not named.
    mutating func checkParent(_ parent: String, _ path: [PathPart]) {
        if parent.isEmpty { mistake(path, "is missing; name the interface below") }
    }

    /// The range that a .proto file gives to a field of a block.
    static func range(of field: String, in message: String) -> ClosedRange<UInt32> {
        Schema.plain.range(of: field, in: "ligato.linux.interfaces.\(message)")
    }
}
