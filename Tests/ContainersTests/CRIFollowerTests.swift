import Logging
import Synchronization
import Testing

@testable import Containers

@Suite("an engine that speaks CRI")
struct CRIFollowerTests {
    private let web = ContainerQuery.label("web")

    private func found(_ answer: ContainerAnswer?) -> Container? {
        if case .found(let container, _, _)? = answer { container } else { nil }
    }

    @Test("a start that failed, and one that is over, say nothing of who was first")
    func first() async throws {
        var picture = FakeCRI.Picture()
        // The pods of strangers are older, their labels are not.
        picture.add(pod: "failed", created: 5, pid: 11)
        picture.add("f1", in: "failed", .containerExited, label: "web", pid: 0, created: 40, started: 0)
        picture.add(pod: "over", created: 6, pid: 12)
        picture.add("o1", in: "over", .containerExited, label: "web", pid: 0, created: 7, started: 8)
        picture.add("o2", in: "over", .containerRunning, label: "web", pid: 13, created: 30, started: 31)
        picture.add(pod: "mine", created: 10, pid: 14)
        picture.add("m1", in: "mine", .containerRunning, label: "web", pid: 15, created: 19, started: 20)
        // No container is older than its pod.
        picture.add(pod: "liar", created: 25, pid: 16)
        picture.add("l1", in: "liar", .containerRunning, label: "web", pid: 17, created: 1, started: 1)
        let engine = FakeCRI(picture)
        let web = web
        let answer = try await engine.serve {
            await follow(engine.settings, [web]) { if case .found? = $0[web] { true } else { false } }[web]
        }
        guard case .found(let container, _, let others)? = answer else { Issue.record("\(answer as Any)"); return }
        #expect(container.id == "mine" && container.started == 20 && container.created == 10)
        #expect(container.pid == 14 && container.group == "mine")
        #expect(others.map { $0.prefix { $0 != " " } } == ["default/liar", "default/over", "default/failed"])
    }

    @Test("the process of a pod without one of its own is that of a container that runs, and is known as that one's")
    func withoutProcess() async throws {
        var picture = FakeCRI.Picture()
        picture.add(pod: "pod", created: 1)
        picture.add("m1", in: "pod", .containerExited, label: "web", pid: 11, created: 2, started: 2)
        picture.add("m2", in: "pod", .containerRunning, label: "web", pid: 22, created: 3, started: 3)
        picture.add("m3", in: "pod", .containerRunning, label: "web", pid: 5, created: 4, started: 4)
        let engine = FakeCRI(picture)
        let web = web
        try await engine.serve {
            let answers = await follow(engine.settings, [web]) { answers in
                guard case .found(let container, _, _)? = answers[web] else { return false }
                if container.group == "m2", container.pid == 22 {
                    engine.picture.withLock { $0.containers[1].state = .containerExited }
                }
                return container.group == "m3"
            }
            let container = found(answers[web])
            #expect(container?.id == "pod" && container?.group == "m3" && container?.pid == 5, "\(answers)")
            #expect(engine.picture.withLock { $0.containers[1].state } == .containerExited, "m2 was first")
        }
    }

    @Test("what can't be looked at holds up no other, and what was known of it stays", arguments: ["pod", "m1"])
    func hidden(broken: String) async throws {
        var picture = FakeCRI.Picture()
        picture.add(pod: "pod", created: 1, pid: 11)
        picture.add("m1", in: "pod", .containerRunning, label: "hidden", pid: 12, created: 2, started: 2)
        picture.add(pod: "other", created: 3, pid: 13)
        picture.add("m2", in: "other", .containerRunning, label: "web", pid: 14, created: 4, started: 4)
        picture.broken = [broken]
        let engine = FakeCRI(picture)
        let (web, label) = (web, ContainerQuery.label("hidden"))
        try await engine.serve {
            let answers = await follow(engine.settings, [web, label]) { answers in
                guard case .found? = answers[web] else { return false }
                if case .unknown(let text)? = answers[label], text.hasSuffix("\(broken) can't be looked at: locked") {
                    engine.picture.withLock { $0.broken = [] }
                }
                if case .found? = answers[label] { return true } else { return false }
            }
            #expect(engine.picture.withLock { $0.broken.isEmpty } && found(answers[label])?.id == "pod", "\(answers)")
        }
    }

    @Test("containerd's own events make it look, and are asked for again when they end")
    func events() async throws {
        let engine = FakeCRI()
        var settings = engine.settings
        settings.pollInterval = .seconds(3600)
        let (patient, web) = (settings, web)
        try await engine.serve {
            func ring() { engine.events.withLock { $0.pending += 1 } }
            func streams() -> Int { engine.events.withLock { $0.streams } }
            let watch = ContainerWatch(patient, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            watch.look(for: [web])
            func eventually(_ isSo: () -> Bool) async throws {
                let end = ContinuousClock.now + .seconds(400)
                while !isSo(), .now < end { try await Task.sleep(for: .milliseconds(10)) }
                #expect(isSo())
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                group.addTask { await watch.run() }
                try await eventually { streams() == 1 && watch.answers[web] != nil }
                engine.picture.withLock { picture in
                    picture.add(pod: "pod", created: 1, pid: 11)
                    picture.add("m1", in: "pod", .containerRunning, label: "web", pid: 12, created: 2, started: 2)
                }
                ring()
                try await eventually { found(watch.answers[web])?.id == "pod" }
                try await eventually { streams() == 2 }
                // The looks that follow upon an event and upon the end of a stream are over.
                try await Task.sleep(for: .milliseconds(800))
                engine.picture.withLock { ($0.pods, $0.containers) = ([], []) }
                ring()
                try await eventually { found(watch.answers[web]) == nil }
            }
        }
    }

    @Test("a containerd that serves Docker alone holds up nothing once Docker has answered, unless it was named")
    func speechless() async throws {
        let docker = try FakeDaemon { path in
            path.hasPrefix("/events") ? FakeDaemon.stream : FakeDaemon.ok("[]")
        }
        let engine = FakeCRI()
        var settings = ContainerSettings(engines: [.init(.docker, docker.path), .init(.cri, engine.path)])
        let (web, named) = (web, settings)
        settings.areNamed = false
        let usual = settings
        try await engine.serve(speaks: false) {
            let answers = await follow(usual, [web]) { if case .missing? = $0[web] { true } else { false } }
            #expect(answers[web] == .missing("no container with MICROSERVICE_LABEL=web"))
            let others = await follow(named, [web]) { answers in
                if case .unknown(let text)? = answers[web] { text.contains("does not speak") } else { false }
            }
            guard case .unknown? = others[web] else { Issue.record("\(others)"); return }
        }
    }
}
