internal import Model

/// Groups of services that know of each other: their clients may be given the same addresses.
///
/// Stock clients read them from `NSM_AWARENESS_GROUPS`.
public struct AwarenessGroups: Hashable, Sendable {
    /// A client, as far as a group describes it.
    private struct Member: Hashable {
        var service: String
        /// Empty: whichever it has.
        var interface: String
        var labels: [String: String]

        func describes(_ client: Upnp_NetworkServiceClient) -> Bool {
            let own = Dictionary(
                client.outgoingLabels.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
            return service == client.networkService && (interface.isEmpty || interface == client.interfaceName)
                && labels.allSatisfy { own[$0.key] == $0.value }
        }
    }

    private let groups: [[Member]]
    private static let variable = "NSM_AWARENESS_GROUPS"
    private static let mostMembers = 4096

    /// Without any group.
    public init() { groups = [] }

    /// Reads `[url,url],[url]`, with the URLs of `NSM_NETWORK_SERVICES`.
    ///
    /// - Throws: `Mistake` for what can't be read.
    init(_ text: String) throws(ServiceSettings.Mistake) {
        var groups: [[Member]] = []
        var rest = text.filter { !$0.isWhitespace }[...]
        while !rest.isEmpty {
            guard rest.first == "[", let end = rest.firstIndex(of: "]") else {
                throw ServiceSettings.Mistake(
                    description: "\(Self.variable) is '\(text.prefix(256))'; [url,url],[url] is needed")
            }
            var members: [Member] = []
            for item in rest[rest.index(after: rest.startIndex)..<end].split(separator: ",") {
                members.append(try Self.member(String(item)))
            }
            groups.append(members)
            rest = rest[rest.index(after: end)...]
            if rest.first == "," { rest = rest.dropFirst() }
            guard groups.reduce(0, { $0 + $1.count }) <= Self.mostMembers else {
                throw ServiceSettings.Mistake(description: "\(Self.variable) has more than \(Self.mostMembers) items")
            }
        }
        self.groups = groups
    }

    private static func member(_ item: String) throws(ServiceSettings.Mistake) -> Member {
        let client = try ServiceList.client(item, of: variable)
        let place = item.prefix { $0 != "?" }
        let isNamed = (place.firstRange(of: "://").map { place[$0.upperBound...] } ?? place).contains("/")
        return Member(
            service: client.networkService, interface: isNamed ? client.interfaceName : "",
            labels: Dictionary(
                client.outgoingLabels.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first }))
    }

    /// The number of the group that a client is in; nil: in none.
    func group(of client: Upnp_NetworkServiceClient) -> Int? {
        groups.firstIndex { $0.contains { $0.describes(client) } }
    }
}
