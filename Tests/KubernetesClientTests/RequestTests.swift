import Testing

@testable import KubernetesClient

@Suite(.timeLimit(.minutes(10))) struct RequestTests {
    private static let object = #"{"metadata":{"name":"a","namespace":"here","resourceVersion":"7","uid":"u"}}"#

    @Test func aRequestSaysWhatIsMeant() async throws {
        try await ScriptedServer.serve({ _ in [.answer(200, Self.object)] }) { client, server in
            let object = try await client.get(.cnfConfiguration, "a")
            #expect(object.resourceVersion == "7")
            _ = try await client.create(.cnfConfiguration, ["metadata": ["name": "b"]], namespace: "there")
            _ = try await client.update(.cnfConfiguration, object, part: "status")
            _ = try await client.patch(
                .cnfConfiguration, "a", part: "status",
                .apply(["status": ["x": 1]], manager: "me & you", isForced: true))
            _ = try await client.patch(.cnfConfiguration, "a", .merge(["spec": .null]))
            _ = try await client.patch(.cnfConfiguration, "a", .steps([["op": "remove", "path": "/spec"]]))
            try await client.delete(.cnfConfiguration, "a", uid: "u", resourceVersion: "7")
            let seen = server.seen
            let path = "/base/apis/pantheon.tech/v1/namespaces/here/cnfconfigurations"
            #expect(
                seen.map { "\($0.method) \($0.uri)" } == [
                    "GET \(path)/a", "POST /base/apis/pantheon.tech/v1/namespaces/there/cnfconfigurations",
                    "PUT \(path)/a/status", "PATCH \(path)/a/status?fieldManager=me%20%26%20you&force=true",
                    "PATCH \(path)/a", "PATCH \(path)/a", "DELETE \(path)/a",
                ])
            #expect(seen.allSatisfy { $0.headers["authorization"] == "Bearer secret" })
            #expect(
                seen[1].body
                    == #"{"metadata":{"name":"b"},"apiVersion":"pantheon.tech/v1","kind":"CNFConfiguration"}"#)
            #expect(seen[3].headers["content-type"] == "application/apply-patch+yaml")
            #expect(seen[4].headers["content-type"] == "application/merge-patch+json")
            #expect(seen[5].headers["content-type"] == "application/json-patch+json")
            #expect(seen[6].body.contains(#""preconditions":{"uid":"u","resourceVersion":"7"}"#))
            // One connection was enough.
            #expect(Set(seen.map(\.connection)) == [0])
        }
    }

    @Test func aRefusalIsTyped() async throws {
        try await ScriptedServer.serve({ _ in [.status(409, "AlreadyExists", "it is there")] }) { client, _ in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.isConflict == true)
            #expect(error?.isAlreadyExists == true)
            #expect(error?.description == "it is there (AlreadyExists, 409)")
        }
        try await ScriptedServer.serve({ _ in [.answer(502, "<html>")] }) { client, _ in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.code == .status(502))
            #expect(error?.isTransient == true)
        }
    }

    @Test func aServerWithoutTimeIsAskedAgain() async throws {
        try await ScriptedServer.serve({ request in
            request.number < 2
                ? [.status(request.number == 0 ? 429 : 503, "TooManyRequests", headers: ["Retry-After: 0"])]
                : [.answer(200, Self.object)]
        }) { client, server in
            _ = try await client.get(.pod, "a")
            #expect(server.seen.count == 3)
        }
        try await ScriptedServer.serve(
            { _ in [.status(429, "TooManyRequests")] }, limits: { $0.retries = 1 }
        ) { client, server in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.code == .status(429))
            #expect(server.seen.count == 2)
        }
    }

    @Test func aConnectionThatEndedMeanwhileIsReplaced() async throws {
        try await ScriptedServer.serve({ request in
            request.connection == 0 && request.number > 0 ? [.close] : [.answer(200, Self.object)]
        }) { client, server in
            _ = try await client.get(.pod, "a")
            _ = try await client.get(.pod, "a")
            #expect(server.seen.map(\.connection) == [0, 0, 1])
            // What would make something twice is not sent twice.
        }
        try await ScriptedServer.serve({ request in
            request.number == 1 ? [.close] : [.answer(200, Self.object)]
        }) { client, server in
            _ = try await client.get(.pod, "a")
            let error = await #expect(throws: KubernetesError.self) { try await client.create(.pod, [:]) }
            #expect(error?.code == .unreachable)
            #expect(server.seen.count == 2)
        }
    }

    @Test func aSilentServerIsGivenUp() async throws {
        try await ScriptedServer.serve({ _ in [] }, limits: { $0.operationTimeout = .milliseconds(50) }) { client, _ in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.code == .timedOut)
        }
        // One that begins and never ends, too.
        try await ScriptedServer.serve(
            { _ in [.watchHead, .chunk("{")] }, limits: { $0.operationTimeout = .milliseconds(50) }
        ) { client, _ in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.code == .timedOut)
        }
    }

    @Test func aLongAnswerIsNotTaken() async throws {
        try await ScriptedServer.serve(
            { _ in [.watchHead, .chunk(String(repeating: " ", count: 2000))] }, limits: { $0.answerBytes = 1000 }
        ) { client, _ in
            let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test func aCancelledRequestEnds() async throws {
        try await ScriptedServer.serve({ _ in [] }) { client, server in
            let task = Task { try await client.get(.pod, "a") }
            while server.seen.isEmpty { await Task.yield() }
            task.cancel()
            await #expect(throws: KubernetesError.self) { try await task.value }
        }
    }

    @Test func pagesAreReadToTheEnd() async throws {
        try await ScriptedServer.serve(
            { request in
                if request.uri.contains("continue=p%2F2") { return [.list(["c"], version: 5)] }
                return [.list(["a", "b"], version: 5, next: "p/2")]
            }, limits: { $0.pageSize = 2 }
        ) { client, server in
            let list = try await client.list(.pod, namespace: nil, labels: "app in (a,b)")
            #expect(list.objects.map(\.name) == ["a", "b", "c"])
            #expect(list.resourceVersion == "5")
            #expect(server.seen[0].uri == "/base/api/v1/pods?labelSelector=app%20in%20%28a%2Cb%29&limit=2")
        }
    }

    @Test func anExpiredPageBeginsTheListAnew() async throws {
        try await ScriptedServer.serve({ request in
            switch request.number {
            case 0: [.list(["a"], version: 5, next: "x")]
            case 1: [.status(410, "Expired")]
            default: [.list(["b", "c"], version: 9)]
            }
        }) { client, _ in
            let list = try await client.list(.pod, namespace: "here")
            #expect(list.objects.map(\.name) == ["b", "c"])
            #expect(list.resourceVersion == "9")
        }
    }

    @Test func aPageThatIsTooLargeIsAskedForInParts() async throws {
        try await ScriptedServer.serve(
            { request in
                request.uri.contains("limit=500")
                    ? [.list((0..<200).map { "object-\($0)" }, version: 5)] : [.list(["a"], version: 5)]
            }, limits: { $0.answerBytes = 4000 }
        ) { client, server in
            let list = try await client.list(.pod, namespace: nil)
            #expect(list.objects.count == 1)
            #expect(server.seen.count == 2)
        }
    }

    @Test(arguments: [("bytes", "more than 300 bytes"), ("count", "more than 5 pods")])
    func aListIsBoundedAsAWhole(limit: String, expected: String) async throws {
        try await ScriptedServer.serve(
            { [.list(["a\($0.number)", "b"], version: 5, next: "more")] },
            limits: {
                if limit == "bytes" { $0.listBytes = 300 } else { $0.listCount = 5 }
            }
        ) { client, server in
            let error = await #expect(throws: KubernetesError.self) { try await client.list(.pod, namespace: nil) }
            #expect(error?.code == .tooLarge && error?.message.contains(expected) == true, "\(error?.message ?? "")")
            #expect(server.seen.count < 5)
        }
    }

    @Test func whatIsNoAnswerIsSaidSo() async throws {
        for text in ["", "{", "[]", #"{"items":3}"#, #"{"items":[],"metadata":{"continue":"x"}}"#] {
            try await ScriptedServer.serve({ _ in [.answer(200, text)] }) { client, _ in
                let error = await #expect(throws: KubernetesError.self) { try await client.list(.pod, namespace: nil) }
                #expect(error?.code == .malformed, "\(text)")
            }
        }
        let client = KubernetesClient(
            KubernetesConfiguration(server: try #require(ServerAddress("http://127.0.0.1:1"))),
            logger: .init(label: "test"))
        let error = await #expect(throws: KubernetesError.self) { try await client.get(.pod, "a") }
        #expect(error?.code == .unreachable)
        #expect(error?.message == "http://127.0.0.1:1: Connection refused")
    }
}
