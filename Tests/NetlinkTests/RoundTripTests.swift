import NetworkTypes
import TestSupport
import Testing

@testable import Netlink

@Suite("what is encoded comes back when it is decoded")
struct RoundTripTests {
    private static let rounds = 5000

    private func decoded(_ request: Request) -> Report? {
        request.encoded(sequence: 1).withUnsafeBytes { Report.decode(message: $0) }
    }

    @Test func addresses() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<Self.rounds {
            let family = random.family()
            let local = random.prefix(family)
            let peer = Bool.random(using: &random) ? random.address(family) : nil
            let address = Address(
                linkIndex: random.next(), local: local, peer: peer == local.address ? nil : peer, scope: random.next(),
                flags: Bool.random(using: &random) ? random.next() : UInt32.random(in: 0...255, using: &random),
                proto: random.next())
            #expect(decoded(.addAddress(address, replace: true)) == .address(address))
            #expect(decoded(.deleteAddress(address)) == .addressRemoved(address))
        }
    }

    @Test func routes() {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<Self.rounds {
            let family = random.family()
            let length = UInt8.random(in: 0...family.bitWidth, using: &random)
            let destination = length == 0 ? .any(family) : random.prefix(family, length: length)
            let type = UInt8.random(in: 1...9, using: &random)
            let count = (6...9).contains(type) ? 0 : Int.random(in: 0...5, using: &random)
            let route = Route(
                destination: destination, table: random.small(or: random.next()), proto: random.next(),
                scope: random.next(), type: type, metric: random.small(or: random.next()),
                source: Bool.random(using: &random) ? random.address(family) : nil,
                mtu: random.small(or: 0), tos: random.next(),
                nextHops: (0..<count).map { _ in random.hop(family, alone: count == 1) })
            #expect(decoded(.addRoute(route, replace: false)) == .route(route))
        }
    }

    @Test func neighbours() {
        var random = SeededGenerator(seed: 3)
        for _ in 0..<Self.rounds {
            let flags: UInt8 = random.next()
            let entry = Neighbour(
                linkIndex: random.next(), destination: random.address(random.family()),
                mac: Bool.random(using: &random) ? MACAddress(bits: random.next()) : nil,
                state: flags & Neighbour.proxy == 0 ? random.next() : Neighbour.permanent, flags: flags,
                proto: random.next())
            #expect(decoded(.addNeighbour(entry, replace: false)) == .neighbour(entry))
        }
    }

    @Test func rules() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<Self.rounds {
            let family = random.family()
            let from = Bool.random(using: &random) ? random.prefix(family) : nil
            let to = Bool.random(using: &random) ? random.prefix(family) : nil
            var rule = Rule(
                family: family, priority: random.next(), from: from?.length == 0 ? nil : from,
                to: to?.length == 0 ? nil : to, inputInterface: Bool.random(using: &random) ? "in0" : nil,
                outputInterface: Bool.random(using: &random) ? "fifteen-letters" : nil,
                mark: random.small(or: 0), mask: random.small(or: 0), table: random.small(or: random.next()),
                action: random.next(), invert: Bool.random(using: &random), proto: random.next())
            rule.ipProtocol = random.next()
            if Bool.random(using: &random) {
                let port: UInt16 = random.next()
                rule.sourcePorts = port...port
                rule.destinationPorts = min(port, 443)...max(port, 443)
            }
            #expect(decoded(.addRule(rule)) == .rule(rule))
            #expect(decoded(.deleteRule(rule)) == .ruleRemoved(rule))
        }
    }

    @Test(
        "kinds of links",
        arguments: [
            .dummy, .veth, .none, .other("ifb"), .vrf(table: 4_000_000_000), .macvlan(mode: 8), .ipvlan(mode: 2),
            .bridge(BridgeAttributes()), .bridge(BridgeAttributes(stpState: 2, vlanFiltering: false)),
            .vlan(VLANAttributes(id: 4094, ethertype: 0x88a8)), .vxlan(VXLANAttributes(vni: 0xff_ffff)),
            .vxlan(VXLANAttributes(vni: 1, remote: ip("ff05::1"), link: 9, learning: true, ttl: 0)),
            .macvtap(mode: 8), .geneve(GeneveAttributes(vni: 0xff_ffff, remote: ip("fd00::1"), port: 1)),
            .geneve(GeneveAttributes(vni: 0, port: 6081, isExternal: true)), .wireguard,
            .tunnel(TunnelAttributes<GREForm>(local: ip("10.0.0.1"), link: 9, key: 0xffff_ffff, ttl: 255, tos: 255)),
            .tunnel(TunnelAttributes<GRETAPForm>(isExternal: true)),
            .tunnel(TunnelAttributes<IP6GREForm>(remote: ip("fd00::1"), key: 0, tos: 255)),
            .tunnel(TunnelAttributes<SITForm>(remote: ip("10.0.0.2"))),
            .tunnel(TunnelAttributes<IP6TNLForm>(remote: ip("fd00::2"), ttl: 1, tos: 1, limitsEncapsulation: false)),
            .bond(bond(mode: 1, primary: 7)), .bond(bond(mode: 4, primary: nil)),
        ] as [LinkKind])
    func kinds(kind: LinkKind) throws {
        let report = decoded(.createLink(link(3, "x") { $0.kind = kind }, echo: true))
        guard case .link(let made) = report else {
            Issue.record("decoded as \(String(describing: report))")
            return
        }
        #expect(made.kind == kind && made.name == "x" && made.index == 3)
    }
}

extension SeededGenerator {
    fileprivate mutating func family() -> IPAddress.Family { Bool.random(using: &self) ? .v4 : .v6 }

    fileprivate mutating func address(_ family: IPAddress.Family) -> IPAddress {
        family == .v4 ? IPAddress(v4: next()) : IPAddress(high: next(), low: next())
    }

    fileprivate mutating func prefix(_ family: IPAddress.Family, length: UInt8? = nil) -> IPPrefix {
        let length = length ?? UInt8.random(in: 0...family.bitWidth, using: &self)
        return IPPrefix(address(family), length: length) ?? .any(family)
    }

    /// Often a number that fits a byte: the encodings differ there.
    fileprivate mutating func small(or large: UInt32) -> UInt32 {
        Bool.random(using: &self) ? UInt32.random(in: 0...300, using: &self) : large
    }

    fileprivate mutating func hop(_ family: IPAddress.Family, alone: Bool) -> NextHop {
        // IPv4 may go by way of IPv6.
        let gateway = Int.random(in: 0..<3, using: &self)
        return NextHop(
            gateway: gateway == 0 ? nil : address(gateway == 1 ? family : .v6),
            linkIndex: Int32.random(in: 1...Int32.max, using: &self),
            weight: alone ? 1 : UInt16.random(in: 1...256, using: &self), onlink: Bool.random(using: &self))
    }

    fileprivate mutating func next() -> Int32 { Int32(bitPattern: next()) }
}

/// A bond with all that its mode has.
private func bond(mode: UInt8, primary: Int32?) -> BondAttributes {
    var bond = BondAttributes()
    (bond.mode, bond.primary, bond.miimon, bond.updelay, bond.downdelay) = (mode, primary, 70, 140, 70_000_000)
    if mode == BondAttributes.lacpMode {
        (bond.hashPolicy, bond.minLinks, bond.lacpRate, bond.selection) = (5, 3, 1, 2)
    }
    return bond
}

@Suite("What a hint to modprobe(8) names")
struct ModuleNameTests {
    /// Source: `MODULE_ALIAS_RTNL_LINK` and the names of the files below drivers/net, net/8021q, net/ipv4 and net/ipv6.
    private static let modules = [
        "vlan": "8021q", "bond": "bonding", "gre": "ip_gre", "gretap": "ip_gre", "ip6gre": "ip6_gre",
        "ip6gretap": "ip6_gre", "ip6tnl": "ip6_tunnel", "ipip": "ipip", "sit": "sit", "tun": "tun",
    ]

    @Test("the module of each kind, and not the kind's name where that is another one")
    func names() {
        for codec in LinkKind.all {
            #expect(codec.moduleName == Self.modules[codec.kindName] ?? codec.kindName, "\(codec.kindName)")
        }
        #expect(Self.modules.keys.allSatisfy { name in LinkKind.all.contains { $0.kindName == name } })
    }
}
