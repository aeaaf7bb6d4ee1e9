/// What one peer may use of a server, and all peers together. A peer beyond it is refused; no other peer notices.
///
/// On Unix sockets a peer is a user, and user 0 of each network namespace, as every pod has one; over TCP it is an address, or
/// the first 64 bits of an IPv6 address.
/// The host's root has limits of its own, and a part of all connections that no other peer can take.
package struct TransportLimits: Hashable, Sendable {
    /// Connections of one peer; never more than half of what all have together. The next one is closed as it comes.
    package var connections = 256
    /// The same for the host's root.
    package var rootConnections = 2048
    /// Connections that only the host's root can take, of those that the process can have; an eighth at most.
    ///
    /// All together can have a sixth of the process's limit of open files (`RLIMIT_NOFILE`), as each takes three.
    package var reservedConnections = 64
    /// Connections of one peer whose handshake is not done. The next one is closed as it comes.
    package var handshakes = 64
    /// The same for all peers together. With more of them the oldest go: those who mean it are done within milliseconds.
    package var allHandshakes = 256

    /// Calls at once on one connection. The next one ends with RESOURCE_EXHAUSTED.
    ///
    /// Peers get the greater of this and ``rootStreams`` as `SETTINGS_MAX_CONCURRENT_STREAMS`: HTTP/2 itself refuses
    /// streams beyond it, at almost no cost.
    package var streams = 1024
    /// The same for the host's root.
    package var rootStreams = 1024
    /// Calls at once of one peer, those included whose caller has gone and whose handler has not. The next one ends with
    /// RESOURCE_EXHAUSTED.
    package var calls = 4096
    /// The same for the host's root.
    package var rootCalls = 16384

    /// Bytes of headers and of messages that are unfinished, unread or being worked on, on one connection. The call that goes
    /// beyond ends with RESOURCE_EXHAUSTED. Each message counts 256 bytes more than it has, each header 64.
    package var connectionBytes = 8 << 20
    /// The same for all connections of one peer.
    package var peerBytes = 16 << 20
    /// The same for all peers of the process together; the host's root does not count.
    package var allBytes = 128 << 20

    /// Descriptors that arrived and that nobody has asked for, on all connections of one peer; at most 256 on one connection.
    /// The oldest of the connection goes, or the new one. All together can have an eighth of the process's limit of open files,
    /// and the host's root a little more.
    package var descriptors = 256
    /// Descriptors, not counting the same file twice in a row, that wait on all connections of one peer until it reads them.
    /// Answers with more fail. Those of all peers count with the ones that nobody has asked for.
    package var sentDescriptors = 1024

    /// Short calls that may be cancelled at once on one connection; long ones always may. The connection that goes beyond ends
    /// with ENHANCE_YOUR_CALM.
    package var cancels = 1000
    /// How many more short calls may be cancelled in each second.
    package var cancelRate = 100
    /// Calls that were open for less are short.
    package var shortCall: Duration = .seconds(1)

    /// Frames of HTTP/2 without work (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, GOAWAY, CONTINUATION, unknown ones,
    /// and empty ones) that may come at once on one connection. Each frame with work, in either direction, allows four more.
    /// A frame counts once and once more for each 64 bytes. The connection ends with ENHANCE_YOUR_CALM.
    package var frames = 1000
    /// How many more may come in each second.
    package var frameRate = 100
    /// The same as ``frames`` for all connections of one peer.
    package var peerFrames = 4000
    /// The same as ``frameRate`` for all connections of one peer.
    package var peerFrameRate = 400

    /// How long a connection may be open without a call before it is ended, as HTTP/2 ends connections: no call is lost by it.
    /// Nil: for ever. A call that streams counts as long as it is open.
    package var idleTime: Duration? = .seconds(3600)

    /// The limits that hold unless others are given.
    package init() {}
}
