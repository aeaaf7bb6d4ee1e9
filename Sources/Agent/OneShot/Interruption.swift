internal import CLinux
internal import Glibc
internal import Netlink

/// The signals by which somebody ends a command, as a descriptor: what can be undone is then undone.
///
/// A lost connection is what an undo guards against, so a hangup of the terminal ends nothing.
final class Interruption {
    /// Readable once there was one.
    let descriptor: Int32

    /// Takes the signals of this thread, and of those that it starts from now on.
    init() throws(KernelError) {
        signal(SIGHUP, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        let signals = [SIGINT, SIGTERM, SIGQUIT]
        let result = cl_signal_descriptor(signals, Int32(signals.count))
        guard result >= 0 else { throw KernelError(errno: result) }
        descriptor = result
    }

    deinit { close(descriptor) }
}
