internal import Dispatch
internal import Glibc

/// Waits until the program is asked to end, by SIGTERM, SIGINT or SIGQUIT, or until the task is cancelled.
///
/// Programs of the mesh close what they have before they end, as the other side would only notice when their tokens end. A
/// second signal ends the program at once.
public func terminationSignal() async {
    let (signals, tell) = AsyncStream.makeStream(of: Int32.self)
    let sources = [SIGTERM, SIGINT, SIGQUIT].map { number in
        let source = DispatchSource.makeSignalSource(signal: number)
        source.setEventHandler { tell.yield(number) }
        source.resume()
        return source
    }
    for await _ in signals { break }
    for source in sources { source.cancel() }
}

extension Task where Success == Never, Failure == Never {
    /// Waits for the end of the task, without waking before.
    package static func untilCancelled() async {
        let (never, tell) = AsyncStream.makeStream(of: Void.self)
        for await _ in never {}
        withExtendedLifetime(tell) {}
    }
}
