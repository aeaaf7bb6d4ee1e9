import Foundation
import Model
import Reconciler
import Synchronization

@testable import LinuxKinds

/// Which kinds of values were in place in the tests of this process. Each is told once, on a line of its own that scripts/test
/// looks for.
enum KindRecord {
    private static let told = Mutex(Set<String>())

    private static let kernel: String = {
        var names = utsname()
        uname(&names)
        return withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }()

    /// The words for all kinds there are.
    private static let known: [String] =
        Ligato_Linux_Interfaces_Interface.TypeEnum.allCases.flatMap(words)
        + [
            NamedNamespace.kind, InterfaceAddress.kind, Membership.kind, SysctlSetting.kind, Offload.kind,
            StaticRoute.kind, PermanentNeighbour.kind, PolicyRule.kind, RuleChainKind.word, FilterTableValue.kind,
            Allocation.kind, ForwardingValue.kind, AltNameValue.kind, WireGuardSettings.kind, WireGuardPeerValue.kind,
        ]

    private static func words(for type: Ligato_Linux_Interfaces_Interface.TypeEnum) -> [String] {
        switch type {
        case .veth, .loopback, .existing, .dummy, .bridge, .vlan, .vxlan, .macvlan, .ipvlan, .bond, .macvtap, .geneve,
            .gre, .gretap, .ip6Gre, .ip6Gretap, .ipip, .sit, .ip6Tnl, .wireguard:
            ["\(type)".lowercased()]
        case .vrfDevice: ["vrf"]
        case .tap: ["tap", "tun"]
        case .undefined, .tapToVpp, .UNRECOGNIZED: []
        }
    }

    /// Tells of kinds of which a value is in place, unless that was told before.
    static func note(_ statuses: [ValueStatus]) {
        var found = Set(
            statuses.lazy.filter { $0.state == .configured }.map { status in
                status.kind == Interface.kind
                    ? status.summary.split(separator: " ").first.map(String.init) ?? status.kind : status.kind
            })
        let isFirst = told.withLock { told in
            defer { told.formUnion(found) }
            found.subtract(told)
            return told.isEmpty
        }
        if found.isEmpty { return }
        var lines = isFirst ? known.map { "kind known: \($0)\n" } : []
        lines += found.map { "kind in place under \(kernel): \($0)\n" }
        FileHandle.standardError.write(Data(lines.joined().utf8))
    }
}
