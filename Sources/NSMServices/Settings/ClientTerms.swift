internal import Model
internal import NSM
internal import NetworkTypes

/// From whom a client takes its connection, and what it takes of what comes with it.
struct ClientTerms: Hashable, Sendable {
    /// The endpoint's SPIFFE id, or a pattern of one; nil: any endpoint.
    let endpointID: String?
    /// nil: all is taken.
    let acceptance: NetworkServiceClient.Acceptance?

    /// Takes a checked message.
    init(_ message: Upnp_NetworkServiceClient) {
        endpointID = message.endpointID.isEmpty ? nil : message.endpointID
        guard message.hasAccept else {
            acceptance = nil
            return
        }
        let accept = message.accept
        acceptance = NetworkServiceClient.Acceptance(
            // What can't be read opens nothing.
            routes: accept.hasRoutes ? accept.routes.prefixes.compactMap { IPPrefix($0) } : nil,
            dns: accept.hasDns ? accept.dns : true)
    }
}
