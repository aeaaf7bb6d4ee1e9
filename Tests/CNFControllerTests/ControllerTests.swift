import EtcdClient
import KubernetesClient
import Logging
import Testing

@testable import CNFController

@Suite struct ControllerTests {
    private func object(
        _ mtu: Int, generation: Int, microservice: String = "one", namespace: String = "n", uid: String = "u"
    ) -> KubernetesObject {
        KubernetesObject([
            "apiVersion": "pantheon.tech/v1", "kind": "CNFConfiguration",
            "metadata": [
                "name": "x", "namespace": .string(namespace), "uid": .string(uid),
                "generation": .int(Int64(generation)),
                "resourceVersion": .string("\(generation)"), "finalizers": [.string(ControllerSettings.finalizer)],
            ],
            "spec": [
                "microservice": .string(microservice),
                "configItems": [
                    [
                        "module": "linux.interfaces", "type": "interface",
                        "data": .string("name: a\ntype: BRIDGE\nmtu: \(mtu)\n"),
                    ]
                ],
            ],
        ])
    }

    private func controller(_ change: (inout ControllerSettings) -> Void = { _ in }) throws -> Controller {
        var settings = ControllerSettings(identity: "me")
        change(&settings)
        let address = try #require(ServerAddress("https://127.0.0.1:1"))
        let client = KubernetesClient(KubernetesConfiguration(server: address), logger: Logger(label: "test"))
        return Controller(
            settings, client, Leadership(until: .now + .seconds(3600)), HealthServer.Facts(),
            logger: Logger(label: "test"))
    }

    @Test("the answer to an older request does not undo a change that was told meanwhile")
    func olderAnswer() async throws {
        let controller = try controller()
        await controller.note(object(1400, generation: 1))
        let first = await controller.resources.values.first?.values
        await controller.note(object(1300, generation: 2))
        await controller.note(object(1400, generation: 1))
        let last = await controller.resources.values.first
        #expect(last?.object.generation == 2)
        #expect(last?.values.keys.sorted() == first?.keys.sorted() && last?.values != first)
    }

    @Test("the answer to an older request brings nothing back that is gone, and takes no other's name")
    func answerOfAnother() async throws {
        let controller = try controller()
        let old = object(1400, generation: 3)
        await controller.note(old)
        await controller.take(.event(.deleted(old)))
        await controller.noteAnswer(old, insteadOf: old)
        #expect(await controller.resources.isEmpty)
        let new = object(1300, generation: 1, uid: "v")
        await controller.note(new)
        await controller.noteAnswer(old, insteadOf: old)
        #expect(await controller.resources.values.map(\.object.uid) == ["v"])
        // What was asked for because the old one is gone comes before the news of it.
        let newest = object(1200, generation: 1, uid: "w")
        await controller.noteNow(newest, insteadOf: new)
        #expect(await controller.resources.values.map(\.object.uid) == ["w"])
    }

    @Test("an answer that tells of a change wakes who writes")
    func answerRings() async throws {
        let controller = try controller()
        let old = object(1400, generation: 1)
        await controller.note(old)
        let bell = await controller.newBell()
        var rings = bell.rings.makeAsyncIterator()
        _ = await rings.next()
        await controller.noteAnswer(object(1300, generation: 2), insteadOf: old)
        #expect(await rings.next() != nil)
    }

    @Test("a status waits until what it tells is in etcd, and then two seconds for the next one")
    func statusWaits() async throws {
        let controller = try controller()
        var unmarked = object(1400, generation: 1)
        unmarked["metadata"]?["finalizers"] = nil
        unmarked["metadata"]?["resourceVersion"] = "0"
        await controller.take(.state([unmarked]))
        await controller.take(.state(EtcdSnapshot(entries: [], revision: 5, cluster: 1)))
        _ = await controller.newBell()
        #expect(await controller.nextUnmarked()?.resourceVersion == "0")
        #expect(await controller.nextUnmarked() == nil, "it is marked once")
        #expect(await controller.nextStatus() == nil, "its finalizer is not there yet")
        await controller.noteAnswer(object(1400, generation: 1), insteadOf: unmarked)
        #expect(await controller.nextStatus() == nil, "it is about to be written")
        let name = try #require(await controller.nextDirty())
        #expect(await controller.nextStatus() == nil, "it is being written")
        guard case .write(let steps) = await controller.job(for: name) else {
            Issue.record("there is nothing to write")
            return
        }
        for step in steps { await controller.wrote(step, 6, name) }
        let isDone = if case nil = await controller.job(for: name) { true } else { false }
        #expect(isDone)
        let first = try #require(await controller.nextStatus())
        #expect(first.notices.map(\.reason) == ["Accepted", "Applied"])
        // Whatever happens now is told later, and the end of the rest is waited for once.
        _ = await controller.postpone(name, "no space")
        #expect(await controller.nextStatus() == nil)
        let due = try #require(await controller.restEnds())
        #expect(due > .now)
        #expect(await controller.restEnds() == nil)
        // What can't be written is told though it is not in etcd.
        try await Task.sleep(until: due)
        await controller.endRest()
        #expect(await controller.nextStatus() != nil)
    }

    @Test("the news of an own change changes nothing")
    func ownNews() async throws {
        let controller = try controller()
        await controller.take(.state([object(1400, generation: 1)]))
        await controller.take(.state(EtcdSnapshot(entries: [], revision: 5, cluster: 1)))
        while let name = await controller.nextDirty() { _ = await controller.job(for: name) }
        await controller.take(.event(.put(object(1400, generation: 1))))
        #expect(await controller.nextDirty() == nil)
    }

    @Test("a write that was done without an answer is found at the next connection, and its key goes")
    func lostAnswer() async throws {
        let controller = try controller()
        let resource = object(1400, generation: 1)
        await controller.take(.state([resource]))
        await controller.take(.state(EtcdSnapshot(entries: [], revision: 5, cluster: 1)))
        let name = try #require(await controller.nextDirty())
        #expect(await controller.nextDirty() == nil)
        // Meanwhile a former content was written, and nobody heard of it.
        let lost = "/vnf-agent/one/config/linux/interfaces/v2/interface/lost"
        await controller.restore([name: [lost]])
        _ = await controller.newBell()
        #expect(await controller.nextDirty() == nil, "nothing is written by what the former connection told")
        #expect(await controller.nextStatus() == nil, "nor is it told")
        let entry = EtcdEntry(key: Array(lost.utf8), value: [1], modRevision: 6)
        await controller.take(.state(EtcdSnapshot(entries: [entry], revision: 6, cluster: 1)))
        #expect(await controller.nextDirty() == name)
        guard case .write(let steps) = await controller.job(for: name) else {
            Issue.record("there is nothing to write")
            return
        }
        let deletes = steps.flatMap(\.operations).compactMap { operation in
            if case .delete(let range) = operation { String(decoding: range.key, as: UTF8.self) } else { nil }
        }
        #expect(deletes == [lost])
    }

    @Test("what others wrote after us is not covered by our own writing, whichever is heard of first")
    func othersAfterUs() {
        var picture = EtcdPicture(root: "/vnf-agent/")
        let (a, b) = ("/vnf-agent/one/config/a", "/vnf-agent/one/config/b")
        let others = EtcdEntry(key: Array(a.utf8), value: [2], modRevision: 6)
        #expect(picture.take(.put(others)) == a)
        #expect(picture.take(.delete(key: Array(b.utf8), revision: 7)) == b)
        picture.take([.put(key: a, value: [1]), .put(key: b, value: [1])], revision: 5)
        #expect(picture.value(a) == [2] && picture.value(b) == nil)
        picture.take([.put(key: b, value: [3])], revision: 8)
        #expect(picture.value(b) == [3])
        // An etcd that lost its data counts from the beginning.
        picture.reset(EtcdSnapshot(entries: [], revision: 1, cluster: 2))
        picture.take([.put(key: b, value: [4])], revision: 2)
        #expect(picture.value(b) == [4])
    }

    @Test("a label is bytes of which none is a slash", arguments: ["\u{301}abc", "abc\u{600}", "a/b", "..", " a", "ä"])
    func labels(_ label: String) throws {
        let resource = Resource(object(1400, generation: 1, microservice: label), ControllerSettings(identity: "me"))
        guard case .invalid = resource.verdict else {
            Issue.record("it is \(resource.verdict)")
            return
        }
        #expect(resource.values.isEmpty)
    }

    @Test("what is written is what is held, whatever letters its key makes")
    func bytesOfKeys() {
        var picture = EtcdPicture(root: "/vnf-agent/")
        let key = "/vnf-agent/\u{301}abc/config/x"
        picture.take([.put(key: key, value: [1])], revision: 3)
        #expect(picture.value(key) == [1])
    }

    @Test("a resource that is not allowed any more has nothing")
    func notAllowed() async throws {
        let controller = try controller { _ = $0.allowed.add("other=*") }
        await controller.note(object(1400, generation: 1))
        let resource = try #require(await controller.resources.values.first)
        guard case .notAllowed = resource.verdict else {
            Issue.record("it is \(resource.verdict)")
            return
        }
        #expect(await controller.table.keys(of: resource.name).isEmpty)
    }
}
