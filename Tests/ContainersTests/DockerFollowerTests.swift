import CLinux
import Foundation
import Synchronization
import Testing

@testable import Containers

/// Something that listens where Docker should, and answers as it likes.
final class FakeDaemon: Sendable {
    let path = "/tmp/nsm-agent-docker-\(UUID().uuidString.prefix(8)).sock"
    private let listener: Int32

    /// - Parameter answer: What is answered to a path; nil: nothing, ever.
    init(_ answer: @escaping @Sendable (String) -> String?) throws {
        let listener = cl_unix_listen(path, 0o600)
        try #require(listener >= 0)
        self.listener = listener
        Thread.detachNewThread {
            while true {
                if cl_wait_readable(listener, -1) < 0 { return }
                let connection = cl_accept(listener)
                if connection == -EAGAIN { continue }
                if connection < 0 { return }
                Thread.detachNewThread { Self.serve(connection, answer) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        unlink(path)
    }

    private static func serve(_ connection: Int32, _ answer: (String) -> String?) {
        defer { close(connection) }
        var text = ""
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            _ = cl_wait_readable(connection, -1)
            let count = read(connection, &buffer, buffer.count)
            if count <= 0 { return }
            text += String(decoding: buffer[..<count], as: UTF8.self)
            while let end = text.range(of: "\r\n\r\n") {
                let path = text.split(separator: " ").dropFirst().first.map(String.init) ?? ""
                text = String(text[end.upperBound...])
                guard let reply = answer(path) else { continue }
                if cl_write_all(connection, reply, reply.utf8.count) < 0 { return }
            }
        }
    }

    static func ok(_ body: String) -> String {
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static let stream = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    static func chunk(_ text: String) -> String { String(text.utf8.count, radix: 16) + "\r\n\(text)\r\n" }
}

@Suite("a Docker that misbehaves")
struct DockerFollowerTests {
    private static let id = String(repeating: "a", count: 64)

    private func answer(
        _ daemon: FakeDaemon, within seconds: Double = 400, until isRight: @escaping @Sendable (ContainerAnswer) -> Bool
    ) async -> ContainerAnswer? {
        var settings = ContainerSettings(engines: [.init(.docker, daemon.path)])
        settings.patience = .milliseconds(300)
        settings.mostContainers = 3
        let query = ContainerQuery.label("web")
        return await follow(settings, [query], within: seconds) { $0[query].map(isRight) ?? false }[query]
    }

    private static func inspection(pid: String = "12", env: String = "\"MICROSERVICE_LABEL=web\"") -> String {
        """
        {"Name": "/web1", "Created": "1970-01-01T00:00:01.000000002Z",
        "State": {"Running": true, "Pid": \(pid), "StartedAt": "1970-01-01T01:00:03+01:00"}, "Config": {"Env": [\(env)]}}
        """
    }

    @Test("events and a list, as they should be")
    func good() async throws {
        let daemon = try FakeDaemon { path in
            if path.hasPrefix("/events") { return FakeDaemon.stream }
            if path.hasPrefix("/containers/json") { return FakeDaemon.ok("[{\"Id\": \"\(Self.id)\"}]") }
            return FakeDaemon.ok(Self.inspection())
        }
        let answer = await answer(daemon) { if case .found = $0 { true } else { false } }
        guard case .found(let container, _, _)? = answer else { Issue.record("\(answer as Any)"); return }
        #expect(container.pid == 12 && container.name == "web1" && container.id == Self.id)
        #expect(container.created == 1_000_000_002 && container.started == 3_000_000_000)
    }

    @Test("one container that can't be looked at holds up no other", arguments: [true, false])
    func oneIsHidden(hangs: Bool) async throws {
        let other = String(repeating: "b", count: 64)
        let isMended = Atomic(false)
        let daemon = try FakeDaemon { path in
            if path.hasPrefix("/events") { return FakeDaemon.stream }
            if path.hasPrefix("/containers/json") {
                return FakeDaemon.ok("[{\"Id\": \"\(other)\"}, {\"Id\": \"\(Self.id)\"}]")
            }
            if !path.contains(other) { return FakeDaemon.ok(Self.inspection()) }
            if isMended.load(ordering: .relaxed) {
                return FakeDaemon.ok(Self.inspection(env: "\"MICROSERVICE_LABEL=other\""))
            }
            return hangs ? nil : "HTTP/1.1 500 Bad\r\nContent-Length: 2\r\n\r\n{}"
        }
        var settings = ContainerSettings(engines: [.init(.docker, daemon.path)])
        settings.patience = .milliseconds(300)
        settings.secondLook = .milliseconds(50)
        let (web, hidden) = (ContainerQuery.label("web"), ContainerQuery.label("other"))
        let answers = await follow(settings, [web, hidden]) { answers in
            guard case .found? = answers[web] else { return false }
            // Once all else was seen, it is mended.
            if case .unknown(let text)? = answers[hidden], text.contains("bbbbbbbbbbbb can't be looked at") {
                isMended.store(true, ordering: .relaxed)
            }
            if case .found? = answers[hidden] { return true } else { return false }
        }
        let wasHidden = isMended.load(ordering: .relaxed)
        #expect(wasHidden, "\(answers)")
        guard case .found(let container, _, _)? = answers[hidden] else { Issue.record("\(answers)"); return }
        #expect(container.id == other)
    }

    @Test("what was known of a container stays while it can't be looked at")
    func formerStays() async throws {
        let looks = Atomic(0)
        let event = "{\"Action\": \"pause\", \"Actor\": {\"ID\": \"\(Self.id)\"}}\n"
        let daemon = try FakeDaemon { path in
            if path.hasPrefix("/events") { return FakeDaemon.stream + FakeDaemon.chunk(event) }
            if path.hasPrefix("/containers/json") { return FakeDaemon.ok("[{\"Id\": \"\(Self.id)\"}]") }
            if looks.add(1, ordering: .relaxed).oldValue == 0 { return FakeDaemon.ok(Self.inspection()) }
            return "HTTP/1.1 500 Bad\r\nContent-Length: 21\r\n\r\n{\"message\": \"locked\"}"
        }
        let (web, other) = (ContainerQuery.label("web"), ContainerQuery.label("other"))
        let answers = await follow(ContainerSettings(engines: [.init(.docker, daemon.path)]), [web, other]) { answers in
            if case .unknown(let text)? = answers[other] { text.hasSuffix("can't be looked at: locked") } else { false }
        }
        guard case .unknown? = answers[other], case .found? = answers[web] else { Issue.record("\(answers)"); return }
    }

    @Test(
        "what is no answer is told, and believed in nothing",
        arguments: [
            ("hung", "no answer in time"), ("garbage", "not JSON"), ("many", "more than 3 containers"),
            ("error", "the disk is full"), ("event", "an event is not JSON"),
        ])
    func bad(kind: String, words: String) async throws {
        let daemon = try FakeDaemon { path in
            let isEvents = path.hasPrefix("/events")
            switch kind {
            case "hung": return nil
            case "garbage": return isEvents ? FakeDaemon.stream : FakeDaemon.ok("<html>")
            case "many":
                return isEvents ? FakeDaemon.stream : FakeDaemon.ok("[{}, {}, {}, {}]")
            case "error":
                let body = "{\"message\": \"the disk is full\"}"
                return isEvents
                    ? FakeDaemon.stream : "HTTP/1.1 500 Bad\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            default: return isEvents ? FakeDaemon.stream + FakeDaemon.chunk("{]\n") : nil
            }
        }
        let answer = await answer(daemon) { if case .unknown(let text) = $0 { text.contains(words) } else { false } }
        guard case .unknown(let text)? = answer else { Issue.record("\(answer as Any)"); return }
        #expect(text.contains(words))
    }

    @Test(
        "processes that can't be, and ids that are none, are nobody's", arguments: ["0", "-4", "99999999999", "\"x\""])
    func impossible(pid: String) async throws {
        let daemon = try FakeDaemon { path in
            if path.hasPrefix("/events") { return FakeDaemon.stream }
            if path.hasPrefix("/containers/json") {
                return FakeDaemon.ok("[{\"Id\": \"\(Self.id)\"}, {\"Id\": \"../../etc\"}]")
            }
            return FakeDaemon.ok(Self.inspection(pid: pid))
        }
        let answer = await answer(daemon) { if case .missing = $0 { true } else { false } }
        #expect(answer == .missing("no container with MICROSERVICE_LABEL=web"))
    }
}
