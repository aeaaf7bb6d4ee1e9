internal import CLinux
internal import Glibc
internal import NIOCore
package import NIOPosix
internal import Synchronization

/// The threads on which the transport runs.
package enum EventLoops {
    private static let isMade = Mutex(false)

    /// The process's event loops.
    ///
    /// - Throws: ``TransportError`` when the process has no descriptors or threads left for them: making them would end it.
    package static func shared() throws(TransportError) -> MultiThreadedEventLoopGroup {
        try isMade.withLock { isMade throws(TransportError) in
            if !isMade { try checkRoom(loops: NIOSingletons.groupLoopCountSuggestion) }
            isMade = true
            return MultiThreadedEventLoopGroup.singleton
        }
    }

    /// Each loop has a thread and three descriptors.
    private static func checkRoom(loops: Int) throws(TransportError) {
        var descriptors: [Int32] = []
        defer { for descriptor in descriptors { close(descriptor) } }
        for _ in 0..<(3 * loops + 4) {
            let descriptor = cl_eventfd()
            guard descriptor >= 0 else { throw TransportError.noDescriptors }
            descriptors.append(descriptor)
        }
        var threads: [pthread_t] = []
        // They wait at a pipe until all of them are there.
        var ends: [Int32] = [-1, -1]
        guard cl_stream_pair(&ends) == 0 else { throw TransportError.noDescriptors }
        defer {
            close(ends[1])
            for thread in threads { pthread_join(thread, nil) }
            close(ends[0])
        }
        for _ in 0..<loops {
            var thread = pthread_t()
            guard pthread_create(&thread, nil, probeThread, UnsafeMutableRawPointer(bitPattern: Int(ends[0]))) == 0
            else { throw TransportError.noThreads }
            threads.append(thread)
        }
    }
}

/// A free function, as closures passed to C inherit checks of where they were written.
private func probeThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    _ = cl_wait_readable(Int32(Int(bitPattern: context)), -1)
    return nil
}
