extension NSMConnectionContext {
    /// The endpoint of the same network (vL3) whose end the client's is, as the client says; nil: it is an ordinary client. Anybody can
    /// say so: it takes things from who does, and gives nothing.
    package var networkOrigin: String? { extraContext[WellKnown.networkOrigin] }
}

extension NetworkServiceClient.Configuration {
    /// Says that the client is an endpoint of the network itself, and asks one other endpoint alone.
    ///
    /// - Parameters:
    ///   - origin: The own endpoint's name.
    ///   - endpoint: The other's name.
    package mutating func link(from origin: String, to endpoint: String) {
        endpointName = endpoint
        notes[WellKnown.networkOrigin] = origin
    }
}
