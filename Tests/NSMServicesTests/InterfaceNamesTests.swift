import NSM
import NetworkTypes
import TestSupport
import Testing

@testable import NSMServices

private struct Interfaces: InterfaceLookup {
    var addresses: [IPAddress: String] = [:]
    var names: Set<String> = []
    func interface(with address: IPAddress) -> String? { addresses[address] }
    func exists(_ name: String) -> Bool { names.contains(name) }
    func addresses(ofInterfacesWith prefix: String) -> [IPAddress] {
        addresses.filter { $0.value.hasPrefix(prefix) }.map(\.key)
    }
}

@Suite("Names of an endpoint's interfaces")
struct InterfaceNamesTests {
    @Test("addresses of an earlier life are known with those of their clients, and link-local ones mean nothing")
    func earlier() throws {
        let own = try ["10.0.0.1", "10.0.0.7", "fe80::1"].map { try #require(IPAddress($0)) }
        let other = try #require(IPAddress("10.0.0.9"))
        let host = Interfaces(addresses: [own[0]: "cl0", own[1]: "cl1", own[2]: "cl1", other: "eth0"])
        #expect(
            SparedAddresses(ofInterfacesWith: "cl", host).addresses().prefixes.map { "\($0)" } == [
                "10.0.0.1/32", "10.0.0.2/32", "10.0.0.7/32", "10.0.0.8/32",
            ])
        #expect(SparedAddresses(ofInterfacesWith: "cl", NoInterfaces()).addresses().prefixes.isEmpty)
    }

    private func request(
        _ client: String, connection: String? = nil, name: String = "", labels: [String: String] = [:],
        addresses: [String] = []
    ) -> EndpointRequest {
        var context = NSMConnectionContext()
        context.ipContext.dstIpAddrs = addresses
        return EndpointRequest(
            connectionID: connection ?? "c-\(client)", clientID: client, clientName: client, service: "s",
            labels: labels, interfaceName: name, context: context, isRefresh: false)
    }

    private func names(
        label: String = "", isSingle: Bool = false, register: NameRegister = NameRegister(),
        host: any InterfaceLookup = NoInterfaces(), prefix: String = "cl", endpoint: String = "s"
    ) -> InterfaceNames {
        InterfaceNames(
            endpoint: endpoint, prefix: prefix, label: label, isSingle: isSingle, register: register, host: host)
    }

    @Test("the first free number, and it is kept")
    func numbers() throws {
        let names = names()
        #expect(try names.name(for: request("a")) == "cl0")
        #expect(try names.name(for: request("b")) == "cl1")
        #expect(try names.name(for: request("a")) == "cl0")
        names.release("c-a")
        #expect(try names.name(for: request("c")) == "cl0")
        // A name of an earlier life is given again when it is free.
        #expect(try names.name(for: request("d", name: "cl7")) == "cl7")
        #expect(try names.name(for: request("e", name: "cl1")) == "cl2")
        // After a restart of a manager the client comes by another connection, and the old one ends later.
        #expect(try names.name(for: request("b", connection: "new")) == "cl1")
        names.release("c-b")
        #expect(try names.name(for: request("f")) == "cl3")
    }

    @Test("a client that comes back gets its name again, unless it is taken")
    func former() throws {
        let names = names()
        #expect(try names.name(for: request("a")) == "cl0")
        #expect(try names.name(for: request("b")) == "cl1")
        names.release("c-a")
        names.release("c-b")
        #expect(try names.name(for: request("b")) == "cl1")
        #expect(try names.name(for: request("c")) == "cl0")
        #expect(try names.name(for: request("a")) == "cl2")
    }

    @Test("after a restart the name is that of the request, or of the interface with the client's address")
    func recovery() throws {
        let address = try #require(IPAddress("172.16.0.1"))
        let host = Interfaces(addresses: [address: "cl4"], names: ["cl0", "cl4"])
        let names = names(host: host)
        #expect(try names.name(for: request("a", addresses: ["172.16.0.1/32"])) == "cl4")
        // What is there may be in use, so it is nobody's first choice.
        #expect(try names.name(for: request("b")) == "cl1")
        #expect(try names.name(for: request("c", name: "cl0")) == "cl0")
        // Names that this endpoint does not give are not taken over.
        for (number, name) in ["clx", "cl01", "cl", "other", "cl-1", "cl+1", "cl99999999999999"].enumerated() {
            #expect(
                try names.name(for: request("d\(number)", name: name)) == "cl\(number < 2 ? number + 2 : number + 3)")
        }
    }

    @Test("one client at a time, and the same one again")
    func single() throws {
        let names = names(isSingle: true, host: Interfaces(names: ["cl0"]))
        #expect(try names.name(for: request("a")) == "cl0")
        #expect(throws: EndpointRefusal.self) { try names.name(for: request("b")) }
        #expect(try names.name(for: request("a", connection: "new")) == "cl0")
        names.release("c-a")
        #expect(throws: EndpointRefusal.self) { try names.name(for: request("b")) }
        names.release("new")
        #expect(try names.name(for: request("b")) == "cl0")
        // What was refused leaves nothing behind.
        names.release("c-b")
        #expect(try names.name(for: request("c")) == "cl0")
    }

    @Test("a label names the interface, and must fit")
    func label() throws {
        let names = names(label: "site", prefix: "cl-")
        #expect(try names.name(for: request("a", labels: ["site": "east"])) == "cl-east")
        for labels in [
            [:], ["site": ""], ["site": "east"], ["site": "a/b"], ["site": String(repeating: "x", count: 13)],
            ["site": "a b"],
        ] {
            #expect(throws: EndpointRefusal.self) { try names.name(for: request("b", labels: labels)) }
        }
        // The name that an earlier answer gave does not count: the label does.
        #expect(try names.name(for: request("c", name: "cl-east", labels: ["site": "west"])) == "cl-west")
    }

    @Test("two endpoints with one prefix, and a client's interface, never share a name")
    func shared() throws {
        let register = NameRegister()
        #expect(register.take("cl1", for: "client"))
        let one = names(register: register, endpoint: "one")
        let two = names(register: register, endpoint: "two")
        #expect(try one.name(for: request("a")) == "cl0")
        #expect(try two.name(for: request("a")) == "cl2")
        one.releaseAll()
        #expect(try two.name(for: request("b")) == "cl0")
        register.release("cl1", of: "somebody else")
        #expect(try one.name(for: request("a")) == "cl3")
    }

    @Test("numbers end where names do")
    func exhausted() throws {
        let names = names(prefix: "abcdefghijklmn")
        for number in 0..<10 { #expect(try names.name(for: request("\(number)")) == "abcdefghijklmn\(number)") }
        let error = #expect(throws: EndpointRefusal.self) { try names.name(for: request("x")) }
        #expect(error?.description.contains("longer than 15 bytes") == true)
    }

    @Test("whatever clients do, names are unique, and stay while a connection does")
    func property() throws {
        var random = SeededGenerator(seed: 12)
        for round in 0..<50 {
            let names = names(prefix: "n")
            var held: [String: (name: String, connections: Set<String>)] = [:]
            for _ in 0..<200 {
                let client = "\(random.below(12))"
                let connection = "\(client)/\(random.below(3))"
                if random.chance(60) {
                    let name = try names.name(
                        for: request(client, connection: connection, name: "n\(random.below(20))"))
                    if let known = held[client] { #expect(known.name == name, "round \(round)") }
                    held[client, default: (name, [])].connections.insert(connection)
                } else {
                    names.release(connection)
                    held[client]?.connections.remove(connection)
                    if held[client]?.connections.isEmpty == true { held[client] = nil }
                }
                #expect(Set(held.values.map(\.name)).count == held.count)
            }
        }
    }

    @Test("the kernel's interfaces are found by name and address")
    func host() throws {
        let host = HostInterfaces()
        #expect(host.exists("lo") && !host.exists("surely-not-here"))
        let loopback = try #require(IPAddress("127.0.0.1"))
        let foreign = try #require(IPAddress("192.0.2.77"))
        #expect(host.interface(with: foreign) == nil)
        // Where the loopback interface is down it has no address.
        if let name = host.interface(with: loopback) { #expect(name == "lo") }
    }
}
