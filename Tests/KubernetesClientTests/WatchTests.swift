import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(10))) struct WatchTests {
    /// Follows until so many updates came; what they were.
    private static func follow(
        _ count: Int, _ client: KubernetesClient
    ) async -> (updates: [String], failures: [KubernetesError]) {
        let updates = Mutex<[String]>([])
        let failures = Mutex<[KubernetesError]>([])
        let (done, tell) = AsyncStream<Void>.makeStream()
        let task = Task {
            await client.follow(.cnfConfiguration, namespace: "here") { update in
                let text =
                    switch update {
                    case .state(let objects): "state \(objects.map(\.name).joined(separator: ","))"
                    case .event(.put(let object)): "put \(object.name)"
                    case .event(.deleted(let object)): "deleted \(object.name)"
                    }
                let number = updates.withLock { updates in
                    updates.append(text)
                    return updates.count
                }
                if number >= count { tell.finish() }
            } failed: { error, _ in
                failures.withLock { $0.append(error) }
            }
        }
        for await _ in done {}
        task.cancel()
        await task.value
        return (updates.withLock { Array($0.prefix(count)) }, failures.withLock { $0 })
    }

    private static func versions(_ server: ScriptedServer) -> [String] {
        server.seen.map { request in
            guard request.uri.contains("watch=true") else { return "list" }
            let field = request.uri.split(separator: "&").first { $0.hasPrefix("resourceVersion=") }
            return field.map { String($0.dropFirst("resourceVersion=".count)) } ?? "?"
        }
    }

    @Test func aWatchGoesOnWhereItWas() async throws {
        try await ScriptedServer.serve({ request in
            switch request.number {
            case 0: [.list(["a"], version: 5)]
            case 1:
                [
                    .watchHead, .chunk(ScriptedServer.Step.line("ADDED", "b", 6)),
                    .chunk(ScriptedServer.Step.line("BOOKMARK", "", 9)), .watchEnd,
                ]
            case 2: [.watchHead, .chunk(ScriptedServer.Step.line("DELETED", "a", 10)), .close]
            case 3: [.watchHead, .chunk(ScriptedServer.Step.line("MODIFIED", "b", 11))]
            default: []
            }
        }) { client, server in
            let (updates, _) = await Self.follow(4, client)
            #expect(updates == ["state a", "put b", "deleted a", "put b"])
            #expect(Self.versions(server) == ["list", "5", "9", "10"])
            #expect(server.seen[1].uri.contains("allowWatchBookmarks=true"))
        }
    }

    @Test(arguments: [true, false]) func anExpiredVersionListsAnew(isInStream: Bool) async throws {
        try await ScriptedServer.serve({ request in
            switch request.number {
            case 0: return [.list(["a"], version: 5)]
            case 1:
                guard isInStream else { return [.status(410, "Expired")] }
                let error = #"{"type":"ERROR","object":\#(ScriptedServer.Step.statusText(410, "Expired"))}"#
                return [.watchHead, .chunk(error + "\n"), .watchEnd]
            case 2: return [.list(["b"], version: 20)]
            default: return []
            }
        }) { client, server in
            let (updates, failures) = await Self.follow(2, client)
            #expect(updates == ["state a", "state b"])
            #expect(failures.first?.isExpired == true)
            #expect(Self.versions(server).prefix(3) == ["list", "5", "list"])
        }
    }

    @Test func aLineThatIsTooLongListsAnew() async throws {
        try await ScriptedServer.serve(
            { request in
                switch request.number {
                case 0: [.list(["a"], version: 5)]
                case 1: [.watchHead, .chunk(String(repeating: "x", count: 3000))]
                case 2: [.list(["b"], version: 6)]
                default: []
                }
            }, limits: { $0.lineBytes = 2000 }
        ) { client, _ in
            let (updates, failures) = await Self.follow(2, client)
            #expect(updates == ["state a", "state b"])
            #expect(failures.first?.code == .tooLarge)
        }
    }

    @Test func aServerThatIsAwayIsAskedAgain() async throws {
        try await ScriptedServer.serve({ request in
            request.number < 3 ? [.close] : [.list(["a"], version: 5)]
        }) { client, _ in
            let (updates, failures) = await Self.follow(1, client)
            #expect(updates == ["state a"])
            // A connection that is closed while it is made is one more.
            #expect(failures.count >= 3)
        }
    }

    /// A watch that goes on tells so at once: the next event may be hours away.
    @Test func aServerThatIsBackIsNoticedWithoutAnEvent() async throws {
        try await ScriptedServer.serve({ request in
            switch request.number {
            case 0: [.list(["a"], version: 5)]
            case 1: [.close]
            default: [.watchHead]
            }
        }) { client, _ in
            let (notes, tell) = AsyncStream<String>.makeStream()
            let task = Task {
                await client.follow(.cnfConfiguration, namespace: "here") { _ in
                    tell.yield("update")
                } watching: {
                    tell.yield("watching")
                } failed: { _, _ in
                    tell.yield("failed")
                }
            }
            var seen: [String] = []
            for await note in notes {
                if seen.last != note { seen.append(note) }
                if note == "watching" { break }
            }
            task.cancel()
            await task.value
            #expect(seen == ["update", "failed", "watching"])
        }
    }

    /// Wherever the network cuts the stream, the lines are the same.
    @Test func linesMayBeCutAnywhere() async throws {
        let text = "{\"a\":\"ä\"}\n\n{\"b\":2}\n{}\n"
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            for second in cut...bytes.count {
                let answer = LineAnswer(limit: 100, rest: .seconds(1))
                _ = answer.take(HTTPResponseHead(version: .http1_1, status: .ok))
                for part in [bytes[..<cut], bytes[cut..<second], bytes[second...]] {
                    try answer.take(ByteBuffer(bytes: part))
                }
                answer.end()
                var lines: [String] = []
                while let line = try await answer.next({}) { lines.append(String(decoding: line, as: UTF8.self)) }
                #expect(lines == ["{\"a\":\"ä\"}", "{\"b\":2}", "{}"])
            }
        }
    }

    @Test func aManyLinesLongWatchIsReadAsItIsTaken() async throws {
        try await ScriptedServer.serve({ request in
            if request.number == 0 { return [.list([], version: 1)] }
            let lines = (2..<4002).map { ScriptedServer.Step.line("ADDED", "o\($0)", $0) }
            return [.watchHead, .chunk(lines.joined())]
        }) { client, _ in
            let (updates, _) = await Self.follow(4001, client)
            #expect(updates.last == "put o4001")
            #expect(Set(updates).count == 4001)
        }
    }
}
