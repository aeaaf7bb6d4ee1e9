import Testing

@testable import Containers

/// A table that expectations may change.
private final class Table {
    private var table: ContainerTable

    init(_ settings: ContainerSettings) { table = ContainerTable(settings) }

    func list(_ all: [Container], of engine: Int) -> Set<ContainerQuery> { table.list(all, of: engine) }
    func put(_ container: Container, of engine: Int) -> Set<ContainerQuery> { table.put(container, of: engine) }
    func remove(_ id: String, of engine: Int) -> Set<ContainerQuery> { table.remove(id, of: engine) }
    func note(_ standing: ContainerTable.Standing, of engine: Int) -> Bool { table.note(standing, of: engine) }
    func noteUnseen(_ reason: String?, of engine: Int) -> Bool { table.noteUnseen(reason, of: engine) }
    func answer(_ query: ContainerQuery) -> ContainerAnswer { table.answer(query) }
    func containers(of engine: Int) -> [Container] { table.containers(of: engine) }
}

@Suite("which container is meant")
struct ContainerTableTests {
    private let web = ContainerQuery.label("web")

    private func settings(newest: Bool = false) -> ContainerSettings {
        ContainerSettings(
            engines: [.init(.docker, "/a"), .init(.cri, "/b")], prefersNewest: newest)
    }

    private func container(_ id: String, pid: Int32, started: Int64, created: Int64? = nil) -> Container {
        Container(id: id, name: id, pid: pid, queries: [web], created: created ?? started, started: started)
    }

    private func holder(_ answer: ContainerAnswer) -> String? {
        if case .found(let container, _, _) = answer { return container.id }
        return nil
    }

    @Test("the first keeps the label while it lives, and the other is named")
    func first() {
        let table = Table(settings())
        #expect(table.list([container("one", pid: 1, started: 1)], of: 0) == [web])
        #expect(holder(table.answer(web)) == "one")
        #expect(table.put(container("two", pid: 2, started: 2), of: 1) == [web])
        guard case .found(let found, let engine, let others) = table.answer(web) else { Issue.record(); return }
        #expect(found.id == "one" && engine == "/a" && others == ["two (two)"])
        #expect(table.remove("one", of: 0) == [web])
        #expect(holder(table.answer(web)) == "two")
        // Who was there before is a stranger when he comes back.
        _ = table.put(container("one", pid: 3, started: 3), of: 0)
        #expect(holder(table.answer(web)) == "two")
    }

    @Test("another life of the first is not the first")
    func restarted() {
        let table = Table(settings())
        _ = table.list([container("one", pid: 1, started: 1), container("two", pid: 2, started: 2)], of: 0)
        #expect(holder(table.answer(web)) == "one")
        _ = table.put(container("one", pid: 4, started: 4), of: 0)
        #expect(holder(table.answer(web)) == "two")
        // What only differs in a word is the same life.
        var two = container("two", pid: 2, started: 2)
        two.isPaused = true
        #expect(table.put(two, of: 0) == [web])
        #expect(holder(table.answer(web)) == "two")
    }

    @Test("without a past the one that was started first is meant; if asked for, the one that was made last")
    func order() {
        let all = [
            container("late", pid: 1, started: 3, created: 1), container("early", pid: 2, started: 1, created: 2),
        ]
        let table = Table(settings())
        _ = table.list(all, of: 0)
        #expect(holder(table.answer(web)) == "early")
        let newest = Table(settings(newest: true))
        _ = newest.list(all, of: 0)
        #expect(holder(newest.answer(web)) == "early")
        _ = newest.put(container("newest", pid: 3, started: 4, created: 4), of: 1)
        #expect(holder(newest.answer(web)) == "newest")
    }

    @Test("it is said why nothing is found, and not before all that are named have answered that nothing is there")
    func absence() {
        let table = Table(settings())
        #expect(table.answer(web) == .unknown("/a has not answered yet"))
        #expect(table.note(.absent, of: 0))
        #expect(table.answer(web) == .unknown("/b has not answered yet"))
        #expect(table.note(.absent, of: 1))
        // The containers of an engine that was stopped run on, and its socket is gone.
        #expect(table.answer(web) == .unknown("no container engine's socket at /a or /b"))
        #expect(table.note(.failing("/b: hangs"), of: 1))
        #expect(table.answer(web) == .unknown("/b: hangs"))
        #expect(table.note(.speechless("/b: no CRI"), of: 1))
        #expect(table.answer(web) == .unknown("/b: no CRI"))
        #expect(table.note(.listed, of: 1))
        #expect(table.answer(web) == .unknown("no container engine's socket at /a"))
        #expect(table.note(.speechless("/a: no CRI"), of: 0))
        #expect(table.answer(web) == .unknown("/a: no CRI"))
        #expect(table.note(.listed, of: 0))
        #expect(table.answer(web) == .missing("no container with MICROSERVICE_LABEL=web"))
        #expect(table.answer(.pod("x/y")) == .missing("no pod x/y"))
        // What it said before is not forgotten when it fails later.
        #expect(!table.note(.failing("/b: hangs"), of: 1))
        #expect(table.answer(web) == .missing("no container with MICROSERVICE_LABEL=web"))
        #expect(table.note(.absent, of: 1))
        #expect(table.answer(web) == .unknown("no container engine's socket at /b"))
    }

    @Test("of the usual engines one has to answer, and none of the others may be about to")
    func usual() {
        let table = Table(ContainerSettings())
        let sockets = ContainerSettings.usual.map(\.socket)
        for engine in sockets.indices {
            #expect(table.answer(web) == .unknown("\(sockets[engine]) has not answered yet"))
            #expect(table.note(.absent, of: engine))
        }
        let none = "no container engine's socket at \(sockets[0]), \(sockets[1]) or \(sockets[2])"
        #expect(table.answer(web) == .unknown(none))
        #expect(table.note(.speechless("no CRI"), of: 1))
        #expect(table.answer(web) == .unknown("no CRI"))
        #expect(table.note(.listed, of: 0))
        #expect(table.answer(web) == .missing("no container with MICROSERVICE_LABEL=web"))
        #expect(table.note(.failing("hangs"), of: 2))
        #expect(table.answer(web) == .unknown("hangs"))
    }

    @Test("what is not found may be what can't be looked at")
    func unseen() {
        let table = Table(settings())
        _ = table.list([container("one", pid: 1, started: 1)], of: 0)
        for engine in 0...1 { #expect(table.note(.listed, of: engine)) }
        #expect(table.noteUnseen("it hangs", of: 1) && !table.noteUnseen("it hangs", of: 1))
        #expect(table.answer(.label("other")) == .unknown("it hangs"))
        #expect(holder(table.answer(web)) == "one")
        #expect(table.noteUnseen(nil, of: 1))
        #expect(table.answer(.label("other")) == .missing("no container with MICROSERVICE_LABEL=other"))
    }

    @Test("who has no time is not the first, and not the newest")
    func timeless() {
        let all = [container("a", pid: 1, started: .max, created: 0), container("b", pid: 2, started: 2)]
        for isNewest in [false, true] {
            let table = Table(settings(newest: isNewest))
            _ = table.list(all, of: 0)
            #expect(holder(table.answer(web)) == "b")
        }
    }

    @Test("a new list of one engine takes away what is not in it, and nothing of another")
    func lists() {
        let table = Table(settings())
        _ = table.list([container("one", pid: 1, started: 1), container("two", pid: 2, started: 2)], of: 0)
        _ = table.list([container("three", pid: 3, started: 3)], of: 1)
        #expect(table.list([container("two", pid: 2, started: 2)], of: 0) == [web])
        #expect(table.list([container("two", pid: 2, started: 2)], of: 0) == [])
        #expect(table.containers(of: 0).map(\.id) == ["two"] && table.containers(of: 1).map(\.id) == ["three"])
    }

    @Test("what an engine of CRI tells in its own JSON")
    func info() {
        let text = """
            {"sandboxID": "s", "pid": 42, "runtimeSpec": {"process": {"env": ["A=b", "MICROSERVICE_LABEL=web", "MICROSERVICE_LABEL="]},
            "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/var/run/netns/cni-1"}]}}}
            """
        let info = CRIInfo(["info": text])
        #expect(info?.pid == 42 && info?.namespaceFile == "/var/run/netns/cni-1" && info?.labels == [web])
        #expect(CRIInfo([:]) == nil && CRIInfo(["info": "{"]) == nil)
        let empty = CRIInfo(["info": #"{"pid": 99999999999}"#])
        #expect(empty?.pid == 0 && empty?.labels == [])
    }
}
