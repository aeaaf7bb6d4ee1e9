import Glibc
import Model
import Synchronization
import TestSupport
import Testing

@testable import Northbound

/// Makes contents of files that have much to do with each other.
private struct Writer {
    var generator: SeededGenerator

    /// Values that fit any others, but for routes that share their key with those of other files.
    private mutating func safe(_ file: Int) -> String {
        var text = "linuxConfig:\n  interfaces:\n"
        for number in 0...generator.below(3) {
            let address = generator.chance(70) ? ", ipAddresses: [10.77.\(file).\(1 + generator.below(3))/24]" : ""
            text += "    - {name: d\(file)-\(number), type: DUMMY, mtu: \(1400 + generator.below(3))\(address)}\n"
        }
        if generator.chance(50) {
            text += "    - {name: a\(file), type: VETH, veth: {peerIfName: b\(file)}}\n"
            text += "    - {name: b\(file), type: VETH, veth: {peerIfName: a\(file)}}\n"
        }
        text += "  routes:\n"
        let metric = generator.chance(20) ? 0 : file + 1
        text += "    - {dstNetwork: 10.99.0.0/16, outgoingInterface: e, metric: \(metric)}\n"
        text += "    - {dstNetwork: 10.\(file).0.0/16, outgoingInterface: e, mtu: \(1400 + generator.below(2))}\n"
        if generator.chance(30) {
            text += "    - {dstNetwork: 10.98.\(file).0/24, outgoingInterface: e, table: blue}\n"
        }
        return text
    }

    /// One of few names, which other values have, too.
    private mutating func name() -> String { "n\(generator.below(6))" }

    /// Values that fit few others.
    private mutating func wild() -> String {
        var lines: [String] = []
        for _ in 0...generator.below(3) {
            let name = name()
            let end = generator.chance(20) ? ", namespace: {type: NSID, reference: x}}" : "}"
            switch generator.below(9) {
            case 0: lines.append("{name: \(name), type: VETH, veth: {peerIfName: \(self.name())}\(end)")
            case 1:
                lines.append("{name: \(name), type: BRIDGE, bridge: {ports: [\(self.name()), \(self.name())]}\(end)")
            case 2, 3: lines.append("{name: \(name), type: VLAN, vlan: {parent: \(self.name()), id: 5}\(end)")
            case 4: lines.append("{name: \(name), type: DUMMY, hostIfName: \(self.name())\(end)")
            case 5:
                let address = "10.76.0.\(1 + generator.below(3))/24"
                lines.append(
                    "{name: \(name), type: DUMMY, ipAddresses: [\(address)], vrfMasterInterface: \(self.name())\(end)")
            case 6: lines.append("{name: \(name), type: VRF_DEVICE, vrfDev: {routingTable: 5}\(end)")
            case 7: lines.append("{name: \(name), type: EXISTING\(end)")
            default: lines.append("{name: \(name), type: DUMMY, mtu: 5}")
            }
        }
        var text = "linuxConfig:\n  interfaces:\n" + lines.map { "    - \($0)\n" }.joined()
        if generator.chance(30) {
            text += "cnfConfig:\n  NetworkServiceClient_list:\n"
            text += "    - {name: \(name()), networkService: s, interfaceName: \(name())}\n"
        }
        if generator.chance(15) {
            text += "---\ncnfConfig:\n  NetworkServiceEndpoint_list:\n"
            text += "    - {networkService: \(name()), interfaceNamePrefix: n}\n"
        }
        if generator.chance(10) { text += "---\n[" }
        return text
    }

    mutating func content(_ file: Int) -> String {
        let comment = String(repeating: "# comment\n", count: generator.below(3))
        return comment + (generator.chance(90) ? safe(file) : wild())
    }
}

/// A number that changes; nil: there is none.
private final class Number: Sendable {
    let value = Mutex<Int64?>(7)
}

@Suite struct FileEditTests {
    /// A value as others see it, with its place.
    private func text(_ item: LoadedConfig.Item) -> String {
        "\(item.key) \(item.position) \(item.value) \(item.specification == nil)"
    }

    @Test("any sequence of edits ends as a first read does", arguments: 1...12 as ClosedRange<UInt64>)
    func edits(seed: UInt64) throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        folder.folder("sub")
        let names = ["1.yaml", "2.yaml", "3.json", "sub/4.yaml", "5.yml", "6.yaml"]
        let blue = Number()
        let resolver = NameResolver(
            number: { name, _ in name == "blue" ? blue.value.withLock({ $0 }) : nil }, name: { _, _ in nil },
            names: { _ in ["blue"] })
        var writer = Writer(generator: SeededGenerator(seed: seed))
        var files = ConfigFiles(paths: [folder.path], label: "default", names: resolver)
        let directory = try #require(ConfigDirectory(path: folder.path))
        #expect(directory.watch())
        var inForce: [String: ModelValue] = [:]
        var valid = 0
        for file in names.indices { try folder.write(names[file], writer.content(file)) }
        for step in 0..<120 {
            for _ in 0...writer.generator.below(2) {
                let file = writer.generator.below(names.count)
                let other = writer.generator.below(names.count)
                let path = "\(folder.path)/\(names[file])"
                switch writer.generator.below(10) {
                case 0: unlink(path)
                case 1: rename(path, "\(folder.path)/\(names[other])")
                case 2: utimes(path, nil)
                case 3:
                    blue.value.withLock {
                        $0 = writer.generator.chance(20) ? nil : Int64(7 + writer.generator.below(2))
                    }
                    files.forgetNames()
                default: try folder.write(names[file], writer.content(file))
                }
            }
            // Half of them are told what changed.
            let difference = seed % 2 == 0 ? files.refresh(directory.takeEvents()) : files.refresh()
            let fresh = ConfigFiles.load(paths: [folder.path], label: "default", names: resolver)
            let now = files.config
            let place: Comment = "seed \(seed), step \(step)"
            #expect(now.findings == fresh.findings, place)
            #expect(now.items.map(text) == fresh.items.map(text), place)
            if difference.isValid {
                valid += 1
                for key in difference.removed { #expect(inForce.removeValue(forKey: key) != nil, place) }
                for item in difference.changed {
                    #expect(inForce.updateValue(item.value, forKey: item.key) != item.value, place)
                }
                let wanted = Dictionary(uniqueKeysWithValues: fresh.items.map { ($0.key, $0.value) })
                #expect(inForce == wanted, place)
            } else {
                #expect(difference.changed.isEmpty && difference.removed.isEmpty, place)
            }
        }
        #expect(valid > 10, "too much is wrong to see differences")
        #expect(valid < 110, "too little is wrong to see mistakes")
    }

    @Test("only files whose content changed are parsed again")
    func parsedOnce() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for number in 0..<50 {
            try folder.write("\(100 + number).yaml", interfaces("{name: d\(number), type: DUMMY}"))
        }
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        #expect(files.refresh().changed.count == 50 && files.parses == 50)
        #expect(files.refresh().changed.isEmpty && files.parses == 50)
        try folder.write("120.yaml", interfaces("{name: d20, type: DUMMY, mtu: 1400}", "{name: new, type: DUMMY}"))
        let difference = files.refresh()
        #expect(difference.changed.map(\.value.name) == ["d20", "new"] && difference.removed.isEmpty)
        #expect(files.parses == 51)
        // The same content in another file of the same name, as a ConfigMap is mounted again.
        try folder.write("new", interfaces("{name: d30, type: DUMMY}"))
        rename("\(folder.path)/new", "\(folder.path)/130.yaml")
        #expect(files.refresh().changed.isEmpty && files.parses == 51)
        unlink("\(folder.path)/140.yaml")
        #expect(files.refresh().removed == ["config/linux/interfaces/v2/interface/d40"])
        #expect(files.parses == 51)
    }

    @Test("what a watched directory tells of its files is all that has to be looked at", arguments: 0..<8)
    func watched(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        folder.folder("a")
        folder.folder("a.yaml.d")
        // The directory itself must not be empty, or a look at all follows.
        try folder.write("m.yaml", interfaces("{name: m, type: DUMMY}"))
        try folder.write("target", interfaces("{name: target0, type: DUMMY}"))
        folder.link("l.yaml", to: "\(folder.path)/target")
        let directory = try #require(ConfigDirectory(path: folder.path))
        #expect(directory.watch())
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        _ = files.refresh()
        for step in 0..<60 {
            // The file that the link leads to is written in each step.
            var wanted: Set = ["l.yaml"]
            for _ in 0...random.below(3) {
                let place = ["", "a/", "a.yaml.d/"][random.below(3)]
                let name = place + ["a.yaml", "b.yaml", "a.json", "z.yml", ".hidden.yaml", "x.txt"][random.below(6)]
                wanted.insert(name)
                switch random.below(4) {
                case 0: unlink("\(folder.path)/\(name)")
                case 1:
                    try folder.write(
                        ".new", interfaces("{name: i\(random.below(12)), type: DUMMY, mtu: \(1300 + step)}"))
                    rename("\(folder.path)/.new", "\(folder.path)/\(name)")
                default:
                    try folder.write(name, interfaces("{name: i\(random.below(12)), type: DUMMY, mtu: \(1400 + step)}"))
                }
            }
            try folder.write("target", interfaces("{name: target\(step), type: DUMMY}"))
            let changes = directory.takeEvents()
            // Nothing is told of names that are none of a configuration's, and of files that were not there.
            guard case .files(let paths) = changes else {
                #expect(changes == .none)
                continue
            }
            #expect(paths.isSubset(of: wanted.map { "\(folder.path)/\($0)" }))
            _ = files.refresh(changes)
            let all = ConfigFiles.load(paths: [folder.path], label: "default", names: .none)
            #expect(files.config.items.map(\.value) == all.items.map(\.value), "step \(step)")
            #expect(files.config.findings.mistakes.map(\.description) == all.findings.mistakes.map(\.description))
            #expect(files.config.findings.files == all.findings.files)
        }
        folder.folder("later")
        #expect(directory.takeEvents() == .all)
    }

    @Test("mistakes of the first read go when their cause does")
    func mistakesAtFirst() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["a", "b"] { try folder.write("\(name).yaml", interfaces("{name: x, type: DUMMY}")) }
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        #expect(!files.refresh().isValid)
        unlink("\(folder.path)/a.yaml")
        let difference = files.refresh()
        #expect(difference.isValid && difference.changed.map(\.value.name) == ["x"])
    }

    @Test("a file that went and comes back is there again")
    func comesBack() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        for name in ["a", "b", "c"] { try folder.write("\(name).yaml", interfaces("{name: \(name), type: DUMMY}")) }
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        #expect(files.refresh().changed.count == 3)
        // Another one comes at the same time, so that there are as many as before.
        rename("\(folder.path)/a.yaml", "\(folder.path)/a.off")
        try folder.write("d.yaml", interfaces("{name: d, type: DUMMY}"))
        let gone = files.refresh()
        #expect(gone.changed.map(\.value.name) == ["d"])
        #expect(gone.removed == ["config/linux/interfaces/v2/interface/a"])
        rename("\(folder.path)/a.off", "\(folder.path)/a.yaml")
        #expect(files.refresh().changed.map(\.value.name) == ["a"])
        #expect(files.config.items.map(\.value.name) == ["a", "b", "c", "d"])
    }

    @Test("a change of the same size within one tick of the clock is seen")
    func sameTick() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        for number in 0..<200 {
            let name = "d\(100 + number)"
            try folder.write("a.yaml", interfaces("{name: \(name), type: DUMMY}"))
            #expect(files.refresh().changed.map(\.value.name) == [name])
        }
    }

    @Test("what changed while there were mistakes is told when there are none")
    func mistakesBetween() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("a.yaml", interfaces("{name: x, type: DUMMY}", "{name: y, type: DUMMY}"))
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        #expect(files.refresh().changed.count == 2)
        try folder.write("a.yaml", interfaces("{name: x, type: DUMMY, mtu: 1400}"))
        try folder.write("b.yaml", interfaces("{name: x, type: DUMMY}"))
        let wrong = files.refresh()
        #expect(!wrong.isValid && wrong.changed.isEmpty && wrong.removed.isEmpty)
        #expect(
            wrong.findings.mistakes.map(\.description) == [
                "\(folder.path)/b.yaml:3:7: linux.interfaces.interface 'x': is declared twice; first at \(folder.path)/a.yaml:3:7"
            ])
        try folder.write("b.yaml", interfaces("{name: z, type: DUMMY}"))
        let right = files.refresh()
        #expect(right.changed.map(\.value.name) == ["x", "z"])
        #expect(right.removed == ["config/linux/interfaces/v2/interface/y"])
    }

    @Test("a field that another file makes wrong is found at its place, also when its own file was read before")
    func placesOfOldFiles() throws {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        try folder.write("a.yaml", interfaces("{name: a, type: VETH, veth: {peerIfName: b}}"))
        try folder.write("b.yaml", interfaces("{name: b, type: VETH, veth: {peerIfName: a}}"))
        var files = ConfigFiles(paths: [folder.path], label: "default", names: .none)
        #expect(files.refresh().isValid)
        unlink("\(folder.path)/b.yaml")
        #expect(
            files.refresh().findings.mistakes.map(\.description) == [
                "\(folder.path)/a.yaml:3:48: linux.interfaces.interface 'a': veth.peer_if_name 'b' is not declared; both halves of a pair are"
            ])
    }
}
