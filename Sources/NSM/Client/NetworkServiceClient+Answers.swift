internal import MeshTransport
internal import NetworkTypes
internal import SPIFFE

extension NetworkServiceClient {
    /// The rules for answers.
    ///
    /// - Parameter taken: Prefixes in which no address may lie.
    /// - Throws: ``NSMError``; of the code `outdated` when a new transport connection may help.
    func check(_ answer: NSMConnection, _ calls: Calls, taken: [IPPrefix]) throws(NSMError) {
        guard answer.id == configuration.id, answer.path.index == 0,
            answer.path.pathSegments.first?.id == configuration.id
        else {
            throw NSMError(
                .protocolViolation,
                "the answer is for \(answer.id.prefix(253)) at index \(answer.path.index) of its path, not for us")
        }
        if let mistake = ConnectionLimits.mistake(in: answer) {
            throw NSMError(.protocolViolation, "the answer holds too much: \(mistake)")
        }
        guard answer.mechanism.type == WellKnown.kernel else {
            throw NSMError(
                .protocolViolation, "the answer's mechanism is \(answer.mechanism.type), not \(WellKnown.kernel)")
        }
        if let name = configuration.endpointName, answer.networkServiceEndpointName != name {
            throw NSMError(
                .refused,
                "the endpoint is \(answer.networkServiceEndpointName.prefix(253)), and only \(name) is accepted")
        }
        let taken = PrefixSet(taken)
        for prefix in answer.context.ipContext.sourcePrefixes where taken.contains(prefix.address) {
            throw NSMError(.protocolViolation, "the answer's address \(prefix) is one that was excluded")
        }
        let asked = Set(configuration.sourceAddresses.map { "\($0)" })
        if let route = configuration.acceptance?.excess(in: answer.context, asked: asked) {
            throw NSMError(
                .refused,
                "the endpoint \(answer.networkServiceEndpointName) gives a route to \(route), which lies outside of what is"
                    + " accepted")
        }
        try checkTokens(answer, calls)
    }

    private func checkTokens(_ answer: NSMConnection, _ calls: Calls) throws(NSMError) {
        guard calls.component.isSecure else { return }
        let tokens = try TokenRules.checkChain(answer.path.pathSegments)
        guard tokens.count > 1, let peer = calls.connection.info.peer else {
            throw NSMError(.protocolViolation, "the answer's path lacks the manager's token")
        }
        try TokenRules.checkSignature(tokens[1], on: calls.connection.info, "the manager's token")
        guard let wanted = configuration.endpointID else { return }
        let endpoint = Self.endpoint(tokens.map(\.subject), isOfHost: peer.id.isManagerOfHost)
        guard SPIFFEID.matches(wanted, endpoint) else {
            throw NSMError(.refused, "the endpoint is \(endpoint), and only \(wanted) is accepted")
        }
    }

    /// The identity of the endpoint. Each on the way checks the one behind him, so what stands behind an endpoint is its own word
    /// alone. Managers of hosts are known by their names; of other managers it is not known who they are, and the last one on
    /// the way counts.
    package static func endpoint(_ subjects: [String], isOfHost: Bool) -> String {
        let last = subjects.last ?? ""
        guard isOfHost else { return last }
        return subjects.dropFirst(2).first { !((try? SPIFFEID($0))?.isManagerOfHost ?? false) } ?? last
    }
}

/// Names the only endpoint that may serve a client, for managers of this kind, so that they ask no other.
package enum EndpointPin {
    private static let key = "nsm-agent/endpoint-id"
    private static let nameKey = "nsm-agent/endpoint-name"

    static func note(_ pattern: String?, name: String? = nil, in context: inout NSMConnectionContext) {
        context.extraContext[key] = pattern
        context.extraContext[nameKey] = name
    }

    /// The name of the only endpoint that may serve the client of a request; nil: any.
    package static func name(in context: NSMConnectionContext) -> String? { context.extraContext[nameKey] }

    /// Whether an endpoint may serve the client of a request.
    package static func allows(_ id: SPIFFEID?, in context: NSMConnectionContext) -> Bool {
        guard let pattern = context.extraContext[key] else { return true }
        return id.map { SPIFFEID.matches(pattern, $0.description) } ?? false
    }
}

extension NetworkServiceClient.Acceptance {
    /// Manager and forwarder of one kind know it, and make no routes that are not wanted.
    private static let key = "nsm-agent/accept-routes"
    private static let narrowKey = "nsm-agent/accept-narrow-routes"

    /// Tells those on the way which routes are taken.
    func note(in context: inout NSMConnectionContext) {
        context.extraContext[Self.narrowKey] = takesWideRoutes ? nil : "true"
        guard let routes else { return }
        context.extraContext[Self.key] = IPPrefix.merged(routes).map { "\($0)" }.joined(separator: ",")
    }

    /// What a client takes, as far as a request says it; nil: everything.
    package init?(notedIn context: NSMConnectionContext) {
        let text = context.extraContext[Self.key]
        let takesWideRoutes = context.extraContext[Self.narrowKey] == nil
        if text == nil, takesWideRoutes { return nil }
        self.init(routes: text.map { $0.split(separator: ",").compactMap { IPPrefix($0) } })
        self.takesWideRoutes = takesWideRoutes
    }

    /// Takes out the routes of the client's side that are not taken, and addresses that would bring some along: the kernel makes
    /// a route to the network of each address.
    ///
    /// - Parameter asked: Addresses that the client asked for itself.
    package func limit(_ context: inout NSMConnectionContext, asked: Set<String>) {
        if !dns { context.dnsContext.configs = [] }
        if routes == nil, takesWideRoutes { return }
        let allowed = routes.map { PrefixSet($0) }
        func fits(_ prefix: IPPrefix) -> Bool {
            let isWide = prefix.length < (prefix.family == .v4 ? 8 : 16)
            return (takesWideRoutes || !isWide) && allowed?.contains(allOf: prefix) ?? true
        }
        func isTaken(_ route: NSMRoute) -> Bool { NSMIPContext.prefix(route.prefix).map(fits) ?? false }
        context.ipContext.srcIpAddrs.removeAll { text in
            guard !asked.contains(text), let prefix = NSMIPContext.prefix(text) else { return false }
            return !prefix.isHost && !fits(prefix)
        }
        let own = context.ipContext.sourcePrefixes.filter { !$0.isHost }
        context.ipContext.srcRoutes.removeAll { !isTaken($0) }
        for index in context.ipContext.policies.indices {
            let all = context.ipContext.policies[index].routes
            context.ipContext.policies[index].routes = all.filter(isTaken)
        }
        // A policy without routes is one for everything.
        context.ipContext.policies.removeAll { $0.routes.isEmpty }
        context.ipContext.dstIpAddrs.removeAll { text in
            guard let prefix = NSMIPContext.prefix(text) else { return true }
            return !fits(IPPrefix(host: prefix.address)) && !own.contains { $0.contains(prefix.address) }
        }
    }

    /// A route that is given and not taken; nil when there is none.
    func excess(in context: NSMConnectionContext, asked: Set<String>) -> String? {
        guard routes != nil || !takesWideRoutes else { return nil }
        var limited = context
        limit(&limited, asked: asked)
        let before = context.ipContext
        let after = limited.ipContext
        if let route = before.srcRoutes.first(where: { !after.srcRoutes.contains($0) }) { return route.prefix }
        if before.policies != after.policies {
            let excess = before.policies.first { !after.policies.contains($0) }
            return excess?.routes.first { route in !after.policies.contains { $0.routes.contains(route) } }?.prefix
                ?? "everything, by a policy"
        }
        return before.srcIpAddrs.first { !after.srcIpAddrs.contains($0) }
            ?? before.dstIpAddrs.first { !after.dstIpAddrs.contains($0) }
    }
}
