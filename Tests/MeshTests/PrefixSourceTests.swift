import Crypto
import GRPCCore
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh
@testable import MeshTransport

@Suite("Where shared prefixes come from")
struct PrefixSourceTests {
    @Test("a network is divided by a length, and a URL is asked")
    func read() throws {
        func network(_ text: String, _ length: UInt8) throws -> PrefixSource {
            .network(try #require(IPPrefix(text)), length: length)
        }
        #expect(try PrefixSource("10.60.0.0/16", length: nil) == network("10.60.0.0/16", 24))
        #expect(try PrefixSource("10.60.7.0/16", length: 20) == network("10.60.0.0/16", 20))
        #expect(try PrefixSource("10.60.0.0/26", length: nil) == network("10.60.0.0/26", 26))
        #expect(try PrefixSource("2001:db8::/48", length: nil) == network("2001:db8::/48", 64))
        #expect(try PrefixSource("tcp://192.0.2.1:5001", length: nil) == .server(.tcp(host: "192.0.2.1", port: 5001)))
        #expect(try PrefixSource("unix:///run/ipam.sock", length: nil) == .server(.unix("/run/ipam.sock")))
    }

    @Test(
        "what can't be divided or asked is refused in words",
        arguments: [
            ("10.0.0.0/31", nil, "at most /30"), ("10.0.0.0/32", nil, "at most /30"), ("::/127", nil, "at most /126"),
            ("::/128", nil, "at most /126"), ("10.0.0.0/16", 8, "/16 to /30"), ("10.0.0.0/16", 31, "/16 to /30"),
            ("0.0.0.0/0", 7, "/8 to /30"), ("::/0", 15, "/16 to /126"), ("10.0.0.1", nil, "neither"),
            ("nonsense", nil, "neither"), ("tcp://192.0.2.1:5001", 24, "where they are given"),
        ] as [(String, UInt8?, String)])
    func refused(text: String, length: UInt8?, words: String) {
        do {
            let source = try PrefixSource(text, length: length)
            Issue.record("\(text) is read as \(source)")
        } catch {
            #expect(error.description.contains(words), "\(error)")
        }
    }

    @Test("who may offer no service is given no prefix, and of another host only managers are")
    func callers() throws {
        func caller(_ settings: MeshRights, _ id: String) throws -> PrefixCallers.Caller {
            try Rights(settings: settings, ownDomain: "nsm.local", host: "h").prefixCaller(
                ConnectionInfo(
                    id: 1, descriptors: nil, credentials: nil, address: "192.0.2.1", user: nil,
                    peer: .init(
                        id: try SPIFFEID(id), publicKey: P256.Signing.PrivateKey().publicKey, notAfter: .now),
                    local: nil))
        }
        var settings = MeshRights()
        #expect(try caller(settings, "spiffe://b.example/ns/x").isUnlimited == false)
        settings.offers = ["*": [try #require(PeerPattern("spiffe://b.example/ns/y"))]]
        #expect(throws: RPCError.self) { _ = try caller(settings, "spiffe://b.example/ns/x") }
        #expect(try caller(settings, "spiffe://b.example/ns/y").account == "spiffe://b.example/ns/y")
        #expect(try caller(settings, "spiffe://b.example/host/b/nsmgr").isUnlimited == false)
        #expect(throws: RPCError.self) {
            _ = try Rights(settings: settings, ownDomain: nil, host: "h").prefixCaller(nil)
        }
    }
}
