public import NetworkTypes

/// A VXLAN tunnel end point. Source: RFC 7348.
public struct VXLANSpec: CheckedLinkSpec {
    /// `VXLAN`
    public static let word = "VXLAN"
    static let block: LinkBlock? = LinkBlock("vxlan") { if case .vxlan = $0 { true } else { false } }

    private static let vniRange = FieldFindings.range(of: "vni", in: "VxlanLink")
    private static let portRange = FieldFindings.range(of: "port", in: "VxlanLink")
    private static let ttlRange = FieldFindings.range(of: "ttl", in: "VxlanLink")

    /// The logical name of the interface below.
    public let parent: String?
    /// The network, 0 to 16777215.
    public let vni: UInt32
    /// The other end, or a multicast group of all ends.
    public let remote: IPAddress?
    /// The other ends, when there are several: what is not known to be behind one goes to all.
    public let remotes: [IPAddress]
    /// Our own end.
    public let local: IPAddress?
    /// The UDP port of all ends.
    public let port: UInt16
    /// Whether addresses are learned from what arrives.
    public let isLearning: Bool
    /// The hop limit of what is sent; nil: the kernel's.
    public let ttl: UInt8?

    /// IANA's port of the protocol.
    public static let defaultPort: UInt16 = 4789

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let vxlan = message.vxlan
        findings.check(vxlan.vni, Self.vniRange, ["vxlan", "vni"])
        findings.check(vxlan.port, Self.portRange, ["vxlan", "port"])
        findings.check(vxlan.ttl, Self.ttlRange, ["vxlan", "ttl"])
        let remote = findings.address(vxlan.remote, ["vxlan", "remote"])
        let group = findings.address(vxlan.group, ["vxlan", "group"])
        local = findings.address(vxlan.local, ["vxlan", "local"])
        remotes = findings.remotes(vxlan, beside: remote ?? group, local: local)
        findings.check(vxlan, remote: remote, group: group, local: local)
        self.remote = remote ?? group
        parent = vxlan.parent.orNil
        vni = vxlan.vni
        port = vxlan.port == 0 ? Self.defaultPort : UInt16(truncatingIfNeeded: vxlan.port)
        isLearning = !vxlan.noLearning
        ttl = vxlan.ttl == 0 ? nil : UInt8(truncatingIfNeeded: vxlan.ttl)
    }

    func check(_ check: inout InterfaceCheck) {
        if let parent { check.checkParent(parent, "vxlan", inNamespace: false) }
    }
}

extension FieldFindings {
    /// The most remotes: the kernel walks through all of them for each frame of that kind.
    private static var mostRemotes: Int { 4096 }

    fileprivate mutating func remotes(
        _ vxlan: Ligato_Linux_Interfaces_VxlanLink, beside single: IPAddress?, local: IPAddress?
    ) -> [IPAddress] {
        if vxlan.remotes.isEmpty { return [] }
        if single != nil { mistake(["vxlan", "remotes"], "can't be set together with remote or group") }
        if vxlan.remotes.count > Self.mostRemotes {
            mistake(["vxlan", "remotes"], "are \(vxlan.remotes.count); \(Self.mostRemotes) are possible")
            return []
        }
        var remotes: [IPAddress] = []
        var seen: Set<IPAddress> = []
        for (index, text) in vxlan.remotes.enumerated() {
            let path: [PathPart] = ["vxlan", "remotes", .element(index)]
            guard let remote = address(text, path) else {
                if text.isEmpty { mistake(path, "is missing") }
                continue
            }
            if !seen.insert(remote).inserted {
                mistake(path, value: text, "is there twice")
            } else if remote.isMulticast || remote.isUnspecified {
                mistake(path, value: text, "is not the address of another end")
            } else if let other = local ?? remotes.first, other.family != remote.family {
                mistake(path, value: text, "is not of the same family as \(other)")
            }
            remotes.append(remote)
        }
        return remotes
    }

    fileprivate mutating func check(
        _ vxlan: Ligato_Linux_Interfaces_VxlanLink, remote: IPAddress?, group: IPAddress?, local: IPAddress?
    ) {
        if remote != nil, group != nil {
            mistake(["vxlan", "group"], value: vxlan.group, "can't be set together with remote")
        }
        if let remote, remote.isMulticast || remote.isUnspecified {
            let text = remote.isMulticast ? "is a multicast address; use group" : "is the unspecified address"
            mistake(["vxlan", "remote"], value: vxlan.remote, text)
        }
        if let group {
            if !group.isMulticast {
                mistake(["vxlan", "group"], value: vxlan.group, "is not a multicast address; use remote")
            }
            if vxlan.parent.isEmpty { mistake(["vxlan", "group"], value: vxlan.group, "needs a parent") }
        }
        guard let local else { return }
        if let other = remote ?? group, other.family != local.family {
            mistake(["vxlan", "local"], value: vxlan.local, "is not of the same family as \(other)")
        }
        if local.isMulticast { mistake(["vxlan", "local"], value: vxlan.local, "is a multicast address") }
    }
}
