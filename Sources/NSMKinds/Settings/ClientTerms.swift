internal import Model
internal import NetworkTypes

/// From whom a client takes its connection, and what it takes of what comes with it.
struct ClientTerms: Hashable, Sendable {
    /// What is taken beside addresses.
    struct Acceptance: Hashable, Sendable {
        /// Routes and policy routes are taken only inside these; nil: all are.
        var routes: [IPPrefix]?
        /// Whether name servers are taken.
        var dns: Bool
    }

    /// The endpoint's SPIFFE id, or a pattern of one; nil: any endpoint.
    let endpointID: String?
    /// nil: all is taken.
    let acceptance: Acceptance?

    /// Takes a checked message.
    init(_ message: Upnp_NetworkServiceClient) {
        endpointID = message.endpointID.isEmpty ? nil : message.endpointID
        guard message.hasAccept else {
            acceptance = nil
            return
        }
        let accept = message.accept
        acceptance = Acceptance(
            // What can't be read opens nothing.
            routes: accept.hasRoutes ? accept.routes.prefixes.compactMap { IPPrefix($0) } : nil,
            dns: accept.hasDns ? accept.dns : true)
    }
}
