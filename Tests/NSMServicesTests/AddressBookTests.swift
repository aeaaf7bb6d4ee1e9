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
    }
}
