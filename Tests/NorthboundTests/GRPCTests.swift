import GRPCCore
import Model
import SwiftProtobuf
import TestSupport
import Testing

@testable import Northbound

@Suite("The gRPC face")
struct GRPCTests {
    private func update(_ change: (inout Ligato_Generic_UpdateItem) -> Void) -> Ligato_Generic_UpdateItem {
        var update = Ligato_Generic_UpdateItem()
        change(&update)
        return update
    }

    private func refusal(_ update: Ligato_Generic_UpdateItem) -> String? {
        do {
            _ = try ItemCoding.update(update)
            return nil
        } catch {
            return error.code == .invalidArgument ? error.message : "\(error)"
        }
    }

    private var bridge: ModelValue {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = "br"
        message.type = .bridge
        return .interface(message)
    }

    @Test("what an update lacks is said in the words that clients know")
    func refusals() throws {
        #expect(refusal(update { _ in }) == "change item is nil")
        #expect(refusal(update { $0.item = .init() }) == "ProtoItem has no key or val defined.")
        #expect(refusal(update { $0.item.id.model = "linux.l3.arp" }) == "ProtoItem has no key or val defined.")
        #expect(refusal(update { $0.item.data.any.typeURL = "x" }) == "item id is nil")
        #expect(refusal(update { $0.item.id.model = "linux.nope" }) == "no model registered for name linux.nope")
        let item = try ItemCoding.item(bridge.key, bridge)
        #expect(
            refusal(
                update {
                    $0.item = item
                    $0.item.data.any.typeURL = "models.ligato.io/ligato.linux.Nope"
                }) == "no model registered for message ligato.linux.Nope")
        #expect(
            refusal(
                update {
                    $0.item = item
                    $0.item.data.any.value = .init([0xff])
                })?.hasPrefix("ligato.linux.interfaces.Interface can't be decoded") == true)
    }

    @Test("of an id with data only the model is looked at, and of a type URL only what is behind the last slash")
    func lenience() throws {
        for prefix in ["models.ligato.io/", "type.googleapis.com/", "a/b/", ""] {
            var item = try ItemCoding.item(bridge.key, bridge)
            item.id.model = "linux.l3.arp"
            item.id.name = "what/ever"
            item.data.any.typeURL = prefix + "ligato.linux.interfaces.Interface"
            guard case .set(let value) = try ItemCoding.update(update { $0.item = item }) else {
                Issue.record("nothing is set")
                continue
            }
            #expect(value == bridge)
        }
        let removal = try ItemCoding.update(
            update {
                $0.item.id.model = "linux.l3.arp"
                $0.item.id.name = "br/10.0.0.1"
            })
        #expect(removal.key == "config/linux/l3/v2/arp/br/10.0.0.1")
    }

    @Test("random bytes are refused or become values", arguments: 0..<50)
    func fuzz(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var whole = Ligato_Generic_SetConfigRequest()
        whole.updates = [update { $0.item = (try? ItemCoding.item(bridge.key, bridge)) ?? .init() }]
        let valid: [UInt8] = try whole.serializedBytes()
        for _ in 0..<200 {
            var bytes = valid
            for _ in 0...random.below(4) {
                switch random.below(3) {
                case 0: bytes[random.below(bytes.count)] = UInt8(random.below(256))
                case 1: bytes.insert(UInt8(random.below(256)), at: random.below(bytes.count))
                default: bytes.removeLast(min(bytes.count - 1, random.below(4)))
                }
            }
            guard let request = try? Ligato_Generic_SetConfigRequest(serializedBytes: bytes) else { continue }
            for item in request.updates {
                guard let update = try? ItemCoding.update(item), case .set(let value) = update else { continue }
                #expect(value.key == update.key)
                _ = value.checked()
            }
        }
    }

    @Test("every model's file is described with all that it imports, and so is every service")
    func descriptors() throws {
        let descriptors = Descriptors.shared
        var files = ModelRegistry.all.map(\.protoFile)
        for symbol in [
            "ligato.generic.ManagerService", "ligato.generic.ManagerService.SetConfig", "ligato.generic.Item.ID",
            "ligato.configurator.ConfiguratorService", "grpc.health.v1.Health", "google.protobuf.Any",
            "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
        ] {
            files.append(try #require(descriptors.file(containing: symbol), "\(symbol)"))
        }
        for file in files {
            let closure = descriptors.closure(of: file)
            #expect(closure.first?.descriptor.name == file)
            let names = Set(closure.map(\.descriptor.name))
            for file in closure { #expect(names.isSuperset(of: file.descriptor.dependency)) }
        }
        for model in ModelRegistry.all {
            #expect(descriptors.file(containing: model.protoMessage) == model.protoFile)
        }
        #expect(descriptors.extensionNumbers(of: "google.protobuf.FieldOptions") == [2000])
        #expect(descriptors.extensionNumbers(of: "nope") == nil)
        #expect(descriptors.file(containing: "nope") == nil)
        #expect(descriptors.closure(of: "nope").isEmpty)
    }

    @Test("what clients of agents with VPP send is taken when it is empty, and refused when it is not")
    func vpp() throws {
        let empty = try Ligato_Configurator_Config(serializedBytes: [0x0a, 0x00] as [UInt8])
        #expect(try empty.values().isEmpty)
        let some = try Ligato_Configurator_Config(serializedBytes: [0x0a, 0x02, 0x52, 0x00] as [UInt8])
        #expect(throws: RPCError.self) { try some.values() }
    }

    @Test("a configuration has the values that it is made of, and nothing of ours where there is none")
    func configuration() throws {
        let config = Ligato_Configurator_Config([bridge])
        #expect(try config.values() == [bridge])
        var veth = Ligato_Linux_Interfaces_Interface()
        veth.name = "v"
        veth.type = .veth
        veth.veth.peerIfName = "w"
        let bytes: [UInt8] = try Ligato_Configurator_Config([.interface(veth)]).serializedBytes()
        // linux_config, netalloc_config; interfaces; name, type and veth: no field beyond those that all clients know.
        #expect(bytes == [0x12, 0x0c, 0x52, 0x0a, 0x0a, 1, 0x76, 0x10, 1, 0xa2, 0x01, 3, 0x0a, 1, 0x77, 0x1a, 0].fixed)
    }

    @Test("labels stay with the value until it is set again, removed or replaced with all of its source")
    func labels() {
        let table = LabelTable()
        table.note([("a", ["x": "1"]), ("b", ["x": "2"])], "grpc", isAll: false)
        table.note([("c", ["x": "3"])], "other", isAll: false)
        #expect(table["a"] == ["x": "1"])
        table.note([("a", [:])], "grpc", isAll: false)
        #expect(table["a"] == [:])
        table.note([("d", ["x": "4"])], "grpc", isAll: true)
        #expect(table["b"] == [:])
        #expect(table["c"] == ["x": "3"])
        #expect(table["d"] == ["x": "4"])
    }
}

extension [UInt8] {
    /// The same with the lengths of the two messages around the interface as they follow from its own.
    fileprivate var fixed: [UInt8] {
        var bytes = self
        let inner = UInt8(bytes.count - 6)
        bytes[3] = inner
        bytes[1] = inner + 2
        return bytes
    }
}
