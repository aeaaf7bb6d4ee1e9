package import NIOCore
internal import NIOHTTP2

/// The guard of ``FrameGuard`` for connections that are made elsewhere.
package enum ClientGuard {
    /// Puts it before HTTP/2 of a client's channel that is not connected yet.
    ///
    /// Servers in Go send a PING with nearly every call. HTTP/2 here takes 200 of them in half a minute for an attack.
    ///
    /// - Parameter channel: One whose event loop calls this.
    /// - Returns: Fails when there is no HTTP/2 in the channel.
    package static func add(to channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let sync = channel.pipeline.syncOperations
            let limits = TransportLimits()
            let frames = FrameGuard(
                isServer: false, budget: FrameBudget(burst: limits.frames, rate: limits.frameRate))
            try sync.addHandler(frames, position: .before(sync.handler(type: NIOHTTP2Handler.self)))
        }
    }
}
