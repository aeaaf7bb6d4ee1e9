internal import NIOCore
internal import NIOSSL
internal import NIOTLS
internal import SPIFFE
internal import Synchronization

/// TLS contexts of the newest identities, as making one costs more than a handshake.
enum TLSContexts {
    private struct Name: Hashable {
        let leaf: [UInt8]
        let isServer: Bool
    }
    private static let contexts = Mutex<[(name: Name, context: NIOSSLContext)]>([])
    private static let capacity = 8

    static func context(_ identity: Identity, isServer: Bool) throws -> NIOSSLContext {
        let name = Name(leaf: identity.svid.chain[0], isServer: isServer)
        if let known = contexts.withLock({ $0.first { $0.name == name }?.context }) { return known }
        let context = try NIOSSLContext(configuration: configuration(identity, isServer: isServer))
        contexts.withLock { contexts in
            if contexts.count >= capacity { contexts.removeFirst() }
            contexts.append((name, context))
        }
        return context
    }

    private static func configuration(_ identity: Identity, isServer: Bool) throws -> TLSConfiguration {
        let chain = try identity.svid.chain.map {
            NIOSSLCertificateSource.certificate(try NIOSSLCertificate(bytes: $0, format: .der))
        }
        let key = NIOSSLPrivateKeySource.privateKey(
            try NIOSSLPrivateKey(bytes: identity.svid.privateKeyPKCS8, format: .der))
        // The roots are not used: our own callback decides, with the bundles of the moment.
        var configuration =
            isServer
            ? TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
            : TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = chain
        configuration.privateKey = key
        configuration.trustRoots = .certificates([])
        configuration.certificateVerification = .noHostnameVerification
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2"]
        return configuration
    }
}

/// What a handshake finds out about the peer.
final class Handshake: Sendable {
    private struct State {
        var peer: VerifiedPeer?
        var refusal: String?
    }
    private let state = Mutex(State())
    private let identity: Identity
    private let refused: @Sendable (String) -> Void

    /// - Parameter refused: Called with the reason when the peer is refused.
    init(_ identity: Identity, refused: @escaping @Sendable (String) -> Void) {
        self.identity = identity
        self.refused = refused
    }

    var peer: VerifiedPeer? { state.withLock { $0.peer } }
    /// Why the peer was refused; nil when it was not.
    var refusal: String? { state.withLock { $0.refusal } }

    func verify(_ chain: [NIOSSLCertificate], _ promise: EventLoopPromise<NIOSSLVerificationResult>) {
        let chain = chain.compactMap { try? $0.toDERBytes() }
        promise.completeWithTask {
            do {
                let peer = try await self.identity.verify(chain: chain)
                self.state.withLock { $0.peer = peer }
                return .certificateVerified
            } catch {
                self.state.withLock { $0.refusal = "\(error)" }
                self.refused("\(error)")
                return .failed
            }
        }
    }
}

/// Tells when a handshake is done, and demands HTTP/2.
final class HandshakeWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    private var promise: EventLoopPromise<Void>?

    init(_ promise: EventLoopPromise<Void>) { self.promise = promise }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted(let negotiated)? = event as? TLSUserEvent {
            if negotiated == "h2" {
                promise?.succeed()
            } else {
                promise?.fail(TransportError("the peer did not negotiate HTTP/2 (ALPN h2)"))
                context.close(promise: nil)
            }
            promise = nil
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise?.fail(error)
        promise = nil
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        promise?.fail(TransportError("the peer closed the connection during the handshake"))
        promise = nil
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        promise?.fail(TransportError("the connection ended during the handshake"))
        promise = nil
    }
}
