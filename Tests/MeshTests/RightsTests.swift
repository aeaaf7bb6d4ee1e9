import Concurrency
import GRPCCore
import MeshTransport
import NSM
import Netlink
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

@Suite("Rights in a mesh")
struct RightsTests {
    private static func rights(_ settings: MeshRights = MeshRights(), domain: String? = "nsm.local") -> Rights {
        Rights(settings: settings, ownDomain: domain, host: "h")
    }

    @Test("who is meant is read in the words of an option")
    func patterns() {
        for text in ["any", "root", "uid:0", "gid:4294967295", "spiffe://example.org/*"] {
            #expect(PeerPattern(text)?.description == text)
        }
        for text in ["", "uid:", "uid:-1", "uid:4294967296", "user:1", "spiffe://", "Root"] {
            #expect(PeerPattern(text) == nil, "\(text)")
        }
    }

    @Test("managers are those of hosts with an authority of their own, and whom the operator names")
    func managers() throws {
        var settings = MeshRights()
        settings.managers = ["spiffe://example.org/*/nsmgr"]
        let ids = try [
            "spiffe://b.example/host/b/nsmgr", "spiffe://b.example/host/b/user/0", "spiffe://b.example/host/x/b/nsmgr",
            "spiffe://b.example/nsmgr", "spiffe://example.org/node-1/nsmgr", "spiffe://example.org/node-1/nsmgr2",
        ].map { try SPIFFEID($0) }
        #expect(ids.map(Self.rights().isManager) == [true, false, false, false, false, false])
        #expect(ids.map(Self.rights(settings).isManager) == [true, false, false, false, true, false])
        #expect(ids.map(Self.rights(settings, domain: nil).isManager) == [false, false, false, false, true, false])
        #expect(!Self.rights(settings).isManager(nil))
    }

    @Test("a forwarder serves the manager that it is registered at, and no one else")
    func served() throws {
        var settings = MeshRights()
        let manager = try SPIFFEID("spiffe://example.org/ns/nsm-system/pod/nsmgr-1")
        let other = try SPIFFEID("spiffe://example.org/ns/default/pod/evil")
        var rights = Self.rights(settings, domain: nil)
        rights.served = { manager }
        let address = try #require(IPAddress("192.0.2.7"))
        #expect(rights.isManager(manager) && rights.isManager(other), "its manager says where others are")
        #expect(!rights.isManager(nil))
        #expect(rights.mayTunnel(to: address, of: nil))
        settings.managers = ["spiffe://example.org/ns/nsm-system/*"]
        settings.tunnelSources = [try #require(IPPrefix("198.51.100.0/24"))]
        rights = Self.rights(settings, domain: nil)
        rights.served = { manager }
        #expect(rights.isManager(manager) && !rights.isManager(other))
        #expect(!rights.mayTunnel(to: address, of: nil))
    }

    @Test("a service is offered by whom the operator names, else by who comes first, or by anybody where SPIRE is")
    func offers() {
        let one = Caller.stranger("one")
        let root = Caller(identity: PeerIdentity(unproven: "r"), credentials: nil, standing: .root, address: nil)
        #expect(Self.rights().mayOffer("db", one, id: nil) == nil)
        #expect(Self.rights().mayOffer("db", root, id: nil) == true)
        #expect(Self.rights(domain: nil).mayOffer("db", one, id: nil) == true)
        var settings = MeshRights()
        settings.offers = ["db": [.id("spiffe://nsm.local/*/user/7")], "*": [.any]]
        let id = try? SPIFFEID("spiffe://nsm.local/host/h/user/7")
        for domain in ["nsm.local", nil] {
            let rights = Self.rights(settings, domain: domain)
            #expect(rights.mayOffer("db", one, id: id) == true)
            #expect(rights.mayOffer("db", one, id: nil) == false)
            #expect(rights.mayOffer("web", one, id: nil) == true)
            #expect(rights.mayOffer("db", root, id: nil) == true)
        }
    }

    @Test("the host's own namespace gets no default route, no rule for everything and no sysctl unless that is allowed")
    func hostNetwork() throws {
        func end(_ routes: [String], policies: [EndPolicy] = []) throws -> ConnectionEnd {
            var end = ConnectionEnd(namespace: try NetworkNamespace(path: "/proc/self/ns/net"), name: "nsm-1")
            end.routes = try routes.map { EndRoute(try #require(IPPrefix($0))) }
            end.policies = policies
            return end
        }
        var fine = try end(["10.0.0.0/8", "2001:db8::/32"], policies: [EndPolicy(from: IPPrefix("10.0.0.1/32"))])
        fine.policies[0].routes = [EndRoute(try #require(IPPrefix("10.0.0.0/8")))]
        try Self.rights().fit(&fine)
        #expect(!fine.setsSysctls)
        for routes in [["0.0.0.0/0"], ["10.0.0.0/24", "128.0.0.0/1"], ["::/0"], ["8000::/1"], ["64.0.0.0/7"]] {
            var wide = try end(routes)
            #expect(throws: NSMError.self, "\(routes)") { try Self.rights().fit(&wide) }
        }
        // The kernel makes a route to the network of an address.
        for address in ["192.0.2.1/1", "2001:db8::1/3"] {
            var wide = try end([])
            wide.addresses = [try #require(IPPrefix(address))]
            #expect(throws: NSMError.self, "\(address)") { try Self.rights().fit(&wide) }
        }
        var rule = try end([], policies: [EndPolicy()])
        #expect(throws: NSMError.self) { try Self.rights().fit(&rule) }
        var settings = MeshRights()
        settings.usesHostNetwork = true
        var all = try end(["0.0.0.0/0"], policies: [EndPolicy()])
        try Self.rights(settings).fit(&all)
        #expect(all.setsSysctls)
    }

    @Test("pods behind a forwarder's manager can't name the forwarder's own namespace")
    func ownNamespace() throws {
        let space = try NetworkNamespace(path: "/proc/self/ns/net")
        let sent = try Descriptor.open("/proc/self/ns/net", pathOnly: true)
        let manager = Caller(identity: PeerIdentity(unproven: "m"), credentials: nil, standing: .manager, address: nil)
        try Self.rights().check(space, sentAs: sent, of: manager, "client")
        var forwarder = Self.rights()
        forwarder.served = { nil }
        for whose in ["client", "endpoint"] {
            #expect(throws: RPCError.self) { try forwarder.check(space, sentAs: sent, of: manager, whose) }
        }
        var settings = MeshRights()
        settings.usesHostNetwork = true
        var open = Self.rights(settings)
        open.served = { nil }
        try open.check(space, sentAs: sent, of: manager, "client")
    }

    @Test("what a client says of itself is not led to in the endpoint's namespace unless the endpoint agrees")
    func sources() throws {
        let space = try NetworkNamespace(path: "/proc/self/ns/net")
        let context = NSMConnectionContext.with { context in
            context.ipContext.srcIpAddrs = [
                "8.8.8.8/32", "10.0.0.1/32", "10.60.0.2/30", "10.60.0.1/30", "192.0.2.7/32",
            ]
            context.ipContext.dstIpAddrs = ["10.60.0.1/30"]
            context.ipContext.dstRoutes = [.with { $0.prefix = "10.0.0.1/32" }]
        }
        var cross = CrossConnect(
            id: "c", client: ConnectionEnd(namespace: space, name: "a"),
            endpoint: ConnectionEnd(namespace: space, name: "b"))
        try cross.configure(from: context, of: context, granted: ["192.0.2.7/32"])
        #expect(cross.endpoint.peers.map { "\($0)" } == ["10.0.0.1/32", "10.60.0.2/30", "192.0.2.7/32"])
        // The client may have what it wants on its own side.
        #expect(cross.client.addresses.count == 5)
        try cross.configure(from: context, of: context)
        #expect(cross.endpoint.peers.count == 5, "whom we trust")
    }

    @Test("names that stand for all interfaces are no names of one")
    func names() {
        for name in ["all", "default", "../x", "a b", "", "nsm-0123456789ab"] {
            #expect(ConnectionEnd.mistake(inName: name) != nil, "\(name)")
        }
        #expect(ConnectionEnd.mistake(inName: "nsm-1") == nil)
    }
}

@Suite("Whom a forwarder's manager speaks for")
struct ForwarderClientTests {
    private static func connection(_ names: [String], at index: UInt32) -> NSMConnection {
        .with { connection in
            connection.path.index = index
            connection.path.pathSegments = names.map { name in
                NSMPathSegment.with { segment in
                    segment.name = name
                    segment.token = Token.insecure(
                        subject: "of \(name)", expires: Timestamp.now.advanced(by: .seconds(60)))
                }
            }
        }
    }

    @Test("the client is who called the manager, whatever he says of those before him")
    func callers() {
        let plain = ["client", "manager", "forwarder", "endpoint"]
        // Before and after the forwarder has entered it.
        for index: UInt32 in [1, 2] {
            let connection = Self.connection(plain, at: index)
            #expect(connection.client(of: "forwarder") == "of client")
        }
        let forged = Self.connection(["client", "evil", "manager", "forwarder"], at: 3)
        #expect(forged.client(of: "forwarder") == "of evil")
        #expect(NSMConnection().client(of: "forwarder") == nil)
        #expect(Self.connection(plain, at: 9).client(of: "forwarder") == nil)
    }

    @Test("behind another host it is that host's forwarder, and the first of the path is asked for as well")
    func remote() {
        let path = ["client", "manager-1", "forwarder-1", "manager-2", "forwarder-2"]
        for index: UInt32 in [3, 4] {
            let connection = Self.connection(path, at: index)
            #expect(connection.client(of: "forwarder-2") == "of forwarder-1")
            #expect(connection.initiator == "of client")
        }
        #expect(NSMConnection().initiator == nil)
    }
}

@Suite("To whom names belong")
struct NameLedgerTests {
    private static func name(_ text: String) -> NameLedger.Name { NameLedger.Name(kind: .offer, text: text) }

    @Test("a name stays its owner's for a while after its last use, and is then forgotten")
    func memory() {
        var ledger = NameLedger()
        let now = Timestamp.now
        let (a, b) = (Caller.stranger("a"), Caller.stranger("b"))
        #expect(ledger.take(Self.name("db"), a, now: now) == nil)
        #expect(ledger.take(Self.name("db"), b, now: now) != nil)
        ledger.release(Self.name("db"), now: now)
        #expect(ledger.take(Self.name("db"), b, now: now.advanced(by: .seconds(9))) != nil)
        // Credentials that are not known count as the host's.
        let later = now.advanced(by: NameLedger.hostMemory).advanced(by: .seconds(1))
        #expect(ledger.owner(Self.name("db"), now: later) == nil)
        #expect(ledger.take(Self.name("db"), b, now: later) == nil)
        ledger.release(Self.name("db"), isForgotten: true, now: later)
        #expect(ledger.count == 0)
        #expect(ledger.take(Self.name("db"), a, now: later) == nil)
    }

    @Test("an account has a bounded number of names, whatever identities it makes up; others are not hindered")
    func bound() {
        var ledger = NameLedger()
        let now = Timestamp.now
        for number in 0..<NameLedger.mostOfOneAccount {
            let caller = Caller.stranger("id \(number)", account: "uid:7")
            #expect(ledger.take(Self.name("\(number)"), caller, now: now) == nil)
        }
        #expect(ledger.take(Self.name("more"), .stranger("other", account: "uid:7"), now: now) != nil)
        #expect(ledger.take(Self.name("more"), .stranger("b", account: "uid:8"), now: now) == nil)
        for number in 0..<NameLedger.mostOfOneAccount { ledger.release(Self.name("\(number)"), now: now) }
        let later = now.advanced(by: NameLedger.hostMemory).advanced(by: .seconds(1))
        #expect(ledger.take(Self.name("again"), .stranger("other", account: "uid:7"), now: later) == nil)
        #expect(ledger.count == 2, "what nobody came back for is forgotten")
    }
}
