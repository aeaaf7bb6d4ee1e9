public import MeshTransport

/// An agent on another host, or one that is reached as if it were.
public struct RemoteAgent: Sendable {
    /// Where its gRPC API is.
    public var address: SocketAddress
    /// Files for TLS; nil: it is not spoken.
    public var tls: ClientTLSFiles?

    /// Names an agent.
    public init(address: SocketAddress, tls: ClientTLSFiles?) {
        self.address = address
        self.tls = tls
    }
}

/// Where an agent answers the command line.
struct ControlTarget: Sendable {
    let address: SocketAddress
    /// How it is recognised; nil: by its socket.
    let trust: ServerTrust?
    /// The agent, for people.
    let place: String

    init(path: String) {
        address = .unix(path)
        trust = nil
        place = path
    }

    /// - Throws: when a file for TLS can't be used.
    init(_ agent: RemoteAgent) throws(TransportError) {
        address = agent.address
        guard let tls = agent.tls, case .tcp(let host, _) = agent.address else {
            trust = nil
            place = agent.address.url
            return
        }
        trust = try ServerTrust(tls, host: host)
        place = agent.address.url.replacing("tcp://", with: "tls://")
    }

    /// Why there was no answer, without what stands before it in errors of the transport.
    func plain(_ reason: String) -> String {
        let text = trust?.refusal ?? reason
        let tried = "\(address.url): "
        return text.hasPrefix(tried) ? String(text.dropFirst(tried.count)) : text
    }
}
