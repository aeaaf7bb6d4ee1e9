public import NetworkTypes

/// A GENEVE tunnel end point. Source: RFC 8926.
public struct GeneveSpec: CheckedLinkSpec {
    /// `GENEVE`
    public static let word = "GENEVE"
    static let block: LinkBlock? = LinkBlock("geneve") { if case .geneve = $0 { true } else { false } }

    private static let vniRange = FieldFindings.range(of: "vni", in: "GeneveLink")
    private static let portRange = FieldFindings.range(of: "port", in: "GeneveLink")
    private static let ttlRange = FieldFindings.range(of: "ttl", in: "GeneveLink")
    private static let tosRange = FieldFindings.range(of: "tos", in: "GeneveLink")

    /// The network, 0 to 16777215.
    public let vni: UInt32
    /// The other end.
    public let remote: IPAddress?
    /// The UDP port of both ends.
    public let port: UInt16
    /// The hop limit of what is sent; 0: the kernel's.
    public let ttl: UInt8
    /// The type of service of what is sent; 1: that of the packet inside.
    public let tos: UInt8
    /// Whether remote and VNI come with each packet.
    public let isExternal: Bool

    /// IANA's port of the protocol.
    public static let defaultPort: UInt16 = 6081

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let geneve = message.geneve
        findings.check(geneve.vni, Self.vniRange, ["geneve", "vni"])
        findings.check(geneve.port, Self.portRange, ["geneve", "port"])
        findings.check(geneve.ttl, Self.ttlRange, ["geneve", "ttl"])
        findings.check(geneve.tos, Self.tosRange, ["geneve", "tos"])
        remote = findings.address(geneve.remote, ["geneve", "remote"])
        vni = geneve.vni
        port = geneve.port == 0 ? Self.defaultPort : UInt16(truncatingIfNeeded: geneve.port)
        ttl = UInt8(truncatingIfNeeded: geneve.ttl)
        tos = UInt8(truncatingIfNeeded: geneve.tos)
        isExternal = geneve.external
        if isExternal {
            if !geneve.remote.isEmpty || vni != 0 || ttl != 0 || tos != 0 {
                findings.mistake(["geneve", "external"], "leaves only the port to be set")
            }
        } else if geneve.remote.isEmpty {
            findings.mistake(["geneve", "remote"], "is missing; name the other end, or set external")
        } else if let remote,
            remote.isMulticast || remote.isUnspecified || remote.family == .v6 && remote.isLinkLocal
        {
            findings.mistake(["geneve", "remote"], value: geneve.remote, "is not the address of one host")
        }
    }

    func share(in namespace: NetNamespace) -> LinkShare? {
        let ends =
            isExternal
            ? TunnelEnds(word: Self.word, port: port)
            : TunnelEnds(word: Self.word, remote: remote, number: vni, port: port)
        return .ends(ends, in: namespace.identity)
    }

    func check(_ check: inout InterfaceCheck) { check.checkEnds("geneve", isExternal ? "external" : "remote") }
}
