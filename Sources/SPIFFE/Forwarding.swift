package import GRPCCore

/// Writes what a stream gives until it ends, or the caller ends the call.
///
/// - Throws: what the writer throws when the caller is gone.
package func forward<Element: Sendable>(
    _ stream: AsyncStream<Element>, to writer: RPCWriter<Element>, _ context: ServerContext
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            for await element in stream { try await writer.write(element) }
        }
        // Without it a stream that has nothing to say would outlive its caller.
        group.addTask { try? await context.cancellation.cancelled }
        try await group.next()
        group.cancelAll()
    }
}

extension RPCWriter {
    /// A writer of elements that are turned into another writer's.
    static func mapping<Target: Sendable>(
        _ writer: RPCWriter<Target>, _ turn: @escaping @Sendable (Element) -> Target
    ) -> RPCWriter<Element> {
        RPCWriter(wrapping: MappingWriter(writer: writer, turn: turn))
    }
}

private struct MappingWriter<Element: Sendable, Target: Sendable>: RPCWriterProtocol {
    let writer: RPCWriter<Target>
    let turn: @Sendable (Element) -> Target

    func write(_ element: Element) async throws { try await writer.write(turn(element)) }
    func write(contentsOf elements: some Sequence<Element>) async throws {
        try await writer.write(contentsOf: elements.map(turn))
    }
}
