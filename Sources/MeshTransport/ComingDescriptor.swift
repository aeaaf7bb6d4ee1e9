internal import Synchronization

/// The descriptor that came beside a message, for as long as the message is worked on.
///
/// A message that is refused before anybody needs its descriptor gives it up: a namespace that is held outlives its pod.
package final class ComingDescriptor: Sendable {
    private let channel: DescriptorChannel
    /// What the descriptor stands for.
    package let inode: Inode
    private let isReceived = Atomic(false)

    /// Makes the claim of a message to one descriptor.
    ///
    /// - Parameters:
    ///   - url: What the message says, `inode://DEVICE/NUMBER`.
    ///   - channel: Beside which connection it comes; nil: none can come.
    /// - Returns: nil when the text names no descriptor, or none can come.
    package init?(_ url: String, _ channel: DescriptorChannel?) {
        guard let inode = Inode(url: url), let channel else { return nil }
        self.inode = inode
        self.channel = channel
    }

    /// The descriptor, now or when it arrives.
    ///
    /// - Throws: ``DescriptorError`` when it does not arrive in time, the connection ends, or the task is cancelled.
    package func receive(within limit: Duration) async throws(DescriptorError) -> Descriptor {
        let descriptor = try await channel.receive(inode, within: limit)
        isReceived.store(true, ordering: .relaxed)
        return descriptor
    }

    deinit {
        // It was sent before the message, so it is here if it comes at all.
        if !isReceived.load(ordering: .relaxed) { channel.drop(inode) }
    }
}
