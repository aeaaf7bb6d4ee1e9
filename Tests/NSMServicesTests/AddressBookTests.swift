import Model
import NSM
import Testing

@testable import NSMServices

@Suite("Addresses that are taken")
struct AddressBookTests {
    private func connection(_ id: String, _ source: [String], _ destination: [String], routes: [String] = [])
        -> NSMConnection
    {
        var connection = NSMConnection()
        connection.id = id
        connection.context.ipContext.srcIpAddrs = source
        connection.context.ipContext.dstIpAddrs = destination
        connection.context.ipContext.srcRoutes = routes.map { text in .with { $0.prefix = text } }
        return connection
    }

    @Test("a client excludes what the others have, and never its own")
    func exclusion() {
        let book = AddressBook()
        book.note(
            connection("a", ["10.0.0.2/24"], ["10.0.0.1/24"], routes: ["10.0.0.1/32", "10.9.0.0/16", "10.8.0.1/32"]))
        book.note(connection("b", ["10.0.0.2/32", "10.1.0.2/32"], []))
        #expect(book.excluded(for: "a").map(\.description) == ["10.1.0.2/32"])
        #expect(book.excluded(for: "b").map(\.description) == ["10.0.0.1/32", "10.8.0.1/32"])
        #expect(
            book.excluded(for: "c").map(\.description) == ["10.0.0.1/32", "10.0.0.2/32", "10.1.0.2/32", "10.8.0.1/32"])
        book.forget("a")
        book.note(connection("b", [], []))
        #expect(book.excluded(for: "c").isEmpty)
        book.note(connection("d", ["10.0.0.2/32"], [], routes: ["10.0.0.1/32"]), isWithRoutes: false)
        #expect(book.excluded(for: "c").map(\.description) == ["10.0.0.2/32"])
    }

    @Test("those of an awareness group don't exclude each other, and still what others have")
    func groups() throws {
        let groups = try AwarenessGroups("[kernel://db/nsm-1?app=web, kernel://logs],[kernel://mail]")
        func client(_ service: String, _ interface: String, app: String? = nil) -> Upnp_NetworkServiceClient {
            .with { client in
                client.networkService = service
                client.interfaceName = interface
                if let app { client.outgoingLabels = [.with { ($0.key, $0.value) = ("app", app) }] }
            }
        }
        #expect(groups.group(of: client("db", "nsm-1", app: "web")) == 0)
        #expect(groups.group(of: client("db", "nsm-2", app: "web")) == nil)
        #expect(groups.group(of: client("db", "nsm-1")) == nil)
        #expect(groups.group(of: client("logs", "any", app: "web")) == 0)
        #expect(groups.group(of: client("mail", "any")) == 1)
        let book = AddressBook()
        book.note(connection("a", ["10.0.0.2/32"], []), group: 0)
        book.note(connection("b", ["10.0.0.4/32"], []), group: 0)
        book.note(connection("c", ["10.0.0.6/32", "10.0.0.4/32"], []), group: 1)
        #expect(book.excluded(for: "a", group: 0).map(\.description) == ["10.0.0.4/32", "10.0.0.6/32"])
        #expect(book.excluded(for: "d", group: 0).map(\.description) == ["10.0.0.4/32", "10.0.0.6/32"])
        #expect(book.excluded(for: "c", group: 1).map(\.description) == ["10.0.0.2/32"])
        for text in ["kernel://db", "[kernel://db", "[memif://db]"] {
            #expect(throws: ServiceSettings.Mistake.self) { try AwarenessGroups(text) }
        }
    }
}
