internal import Concurrency
internal import Model
internal import NetworkTypes

/// Clients on one line, in the format of stock clients: `kernel://service[@domain]/interface?label=value`, comma
/// separated. `kernel://` is optional.
enum ServiceList {
    typealias Mistake = ServiceSettings.Mistake
    private static let variable = "NSM_NETWORK_SERVICES"

    /// The clients, named by their places from 0, so that their connections have the ids that a stock client gives them.
    ///
    /// - Throws: the first mistake, with the item that has it.
    static func clients(_ text: String) throws(Mistake) -> [Upnp_NetworkServiceClient] {
        var clients: [Upnp_NetworkServiceClient] = []
        var interfaces: [String: String] = [:]
        if text.allSatisfy(\.isWhitespace) { return [] }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let item = trimmed(part)
            var client = try client(item, of: variable)
            client.name = "\(clients.count)"
            if let other = interfaces.updateValue(item, forKey: client.interfaceName) {
                throw mistake(item, "has the interface of '\(other)'; give each an own one", variable)
            }
            clients.append(client)
        }
        return clients
    }

    /// One client.
    ///
    /// - Parameter variable: Where it stands.
    /// - Throws: a mistake that names the variable.
    static func client(_ item: String, of variable: String) throws(Mistake) -> Upnp_NetworkServiceClient {
        do {
            return try client(item)
        } catch {
            throw Mistake(description: "\(variable): \(error.description)")
        }
    }

    private static func client(_ item: String) throws(Mistake) -> Upnp_NetworkServiceClient {
        guard !item.isEmpty else { throw mistake(item, "is empty; take out the comma") }
        var rest = item[...]
        // One in a label's value is none of the URL's.
        if let mark = item.firstRange(of: "://"), !item[..<mark.lowerBound].contains(where: { "/?".contains($0) }) {
            let scheme = item[..<mark.lowerBound].lowercased()
            guard scheme == "kernel" else {
                let needsVPP = scheme == "memif"
                throw mistake(
                    item, needsVPP ? "needs VPP, which is not here; use kernel://" : "must start with kernel://")
            }
            rest = item[mark.upperBound...]
        }
        guard !rest.contains("#") else { throw mistake(item, "has a '#', which has no meaning here") }
        var client = Upnp_NetworkServiceClient()
        client.interfaceType = .kernelInterface
        if let question = rest.firstIndex(of: "?") {
            client.outgoingLabels = try labels(rest[rest.index(after: question)...], item)
            rest = rest[..<question]
        }
        var path: [Substring] = rest.split(separator: "/", omittingEmptySubsequences: false)
        client.networkService = try decoded(path.removeFirst(), item)
        guard !client.networkService.isEmpty, !client.networkService.contains(where: \.isWhitespace) else {
            throw mistake(item, "names no service")
        }
        if path.last?.isEmpty == true { path.removeLast() }
        guard path.count <= 1 else { throw mistake(item, "has more than the interface behind the service") }
        client.interfaceName =
            try path.first.map { part throws(Mistake) in try decoded(part, item) }
            ?? standardInterface(for: item, client.networkService)
        if let problem = InterfaceName.mistake(in: client.interfaceName) {
            throw mistake(item, "has the interface '\(client.interfaceName)', which \(problem)")
        }
        return client
    }

    private static func labels(_ query: Substring, _ item: String) throws(Mistake) -> [Upnp_ConnectionLabel] {
        var labels: [Upnp_ConnectionLabel] = []
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            var label = Upnp_ConnectionLabel()
            label.key = try decoded(parts[0], item, isQuery: true)
            label.value = parts.count > 1 ? try decoded(parts[1], item, isQuery: true) : ""
            guard !label.key.isEmpty else { throw mistake(item, "has a label without a name") }
            guard !labels.contains(where: { $0.key == label.key }) else {
                throw mistake(item, "has the label '\(label.key)' twice")
            }
            labels.append(label)
        }
        return labels
    }

    /// A name for an interface that nobody named. Unlike that of stock clients it is the same after each start.
    private static func standardInterface(for item: String, _ service: String) -> String {
        let start = service.utf8.prefix(10).map { byte -> Character in
            let character = Character(UnicodeScalar(byte))
            return character.isASCII && (character.isLetter || character.isNumber) || "-_.".contains(character)
                ? character : "_"
        }
        let digits = String(FNV1a.hash64(item.utf8) & 0xffff, radix: 16)
        return String(start) + "-" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    /// The text behind percent signs. Source: RFC 3986, section 2.1; `+` is a space in a query only.
    private static func decoded(
        _ text: Substring, _ item: String, isQuery: Bool = false
    ) throws(Mistake) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(isQuery && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, let number = UInt8(String(decoding: digits, as: UTF8.self), radix: 16),
                digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-")
            else { throw mistake(item, "has a '%' that is not followed by two hexadecimal digits") }
            bytes.append(number)
            rest = rest.dropFirst(2)
        }
        guard let text = String(validating: bytes, as: UTF8.self), !text.utf8.contains(where: { $0 < 32 || $0 == 127 })
        else { throw mistake(item, "holds bytes that are no text") }
        return text
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    private static func mistake(_ item: String, _ text: String, _ variable: String? = nil) -> Mistake {
        Mistake(
            description: (variable.map { "\($0): " } ?? "")
                + "'\(item)' \(text); an item is kernel://service/interface?label=value")
    }
}
