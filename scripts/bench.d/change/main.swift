// What one changed value costs inside the process, beside many that stay: no file is read, nobody is called over a socket.
//
//   change-bench BASE ONE OTHER REPS
//
// Applies the files BASE and ONE, then declares in turn the one value of the files OTHER and ONE, REPS times, each time until
// the kernel has it and its report of it is taken in. Prints JSON, with times in microseconds: "cpu_us" of the process,
// "wall_us". Part of scripts/bench; never shipped.
import Agent
import Glibc
import LinuxKinds
import Model
import Netlink
import Northbound
import Reconciler

func fail(_ text: String) -> Never {
    print("change-bench: \(text)")
    exit(1)
}

func microseconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) * 1e6 + Double(time.tv_nsec) / 1e3
}

func load(_ path: String) -> LoadedConfig {
    let config = ConfigFiles.load(paths: [path], label: "default", names: HostNames.resolver)
    guard config.isValid else { fail("\(path): \(config.mistakes)") }
    return config
}

/// A network and what is declared in it, as a daemon has them.
struct Host {
    let network = HostNetwork(AgentSettings())
    let loop: EventLoop
    var config: LoadedConfig

    init(_ config: LoadedConfig) throws {
        self.config = config
        loop = try EventLoop()
        network.declare(config)
        try network.world.startWatching(on: loop)
        try network.read()
        reconcile(.all)
        takeEvents()
    }

    /// Declares the value in place of the one with its key.
    ///
    /// The only place that knows how a single value gets in.
    mutating func declare(_ item: LoadedConfig.Item, at index: Int) throws {
        config.items[index] = item
        var difference = ConfigDifference()
        difference.changed = [item]
        _ = network.declare(difference)
        try network.readNew()
        reconcile(.changes)
    }

    func reconcile(_ scope: Reconciler<LinuxWorld>.Scope) {
        let transaction = network.reconciler.reconcile(reason: .apply, scope: scope)
        if let bad = transaction?.entries.first(where: { !$0.error.isEmpty }) { fail("\(bad.key): \(bad.error)") }
    }

    /// As an engine does after each wait.
    func takeEvents() {
        while let tokens = try? loop.wait(timeoutMilliseconds: 0), !tokens.isEmpty {
            let changes = network.world.takeEvents(tokens: tokens)
            if changes.isEmpty { continue }
            reconcile(changes.needsFullPass ? .all : .keys(changes.keys))
        }
    }
}

func summary(_ times: [Double]) -> String {
    let sorted = times.sorted()
    func at(_ share: Double) -> Int { Int(sorted[min(Int(Double(sorted.count) * share), sorted.count - 1)]) }
    return "{\"p50\":\(at(0.5)),\"p99\":\(at(0.99)),\"max\":\(at(1))}"
}

guard CommandLine.arguments.count == 5, let reps = Int(CommandLine.arguments[4]), reps > 0 else {
    fail("usage: change-bench BASE ONE OTHER REPS")
}
var base = load(CommandLine.arguments[1])
let variants = [load(CommandLine.arguments[3]), load(CommandLine.arguments[2])].map(\.items)
guard variants.allSatisfy({ $0.count == 1 }), variants[0][0].key == variants[1][0].key else {
    fail("ONE and OTHER are to have the same single value")
}
base.items += variants[1]
do {
    var host = try Host(base)
    var cpu: [Double] = []
    var wall: [Double] = []
    let before = host.network.world.modifyingRequests
    for number in 0..<reps {
        let start = (microseconds(CLOCK_PROCESS_CPUTIME_ID), microseconds(CLOCK_MONOTONIC))
        try host.declare(variants[number % 2][0], at: base.items.count - 1)
        host.takeEvents()
        cpu.append(microseconds(CLOCK_PROCESS_CPUTIME_ID) - start.0)
        wall.append(microseconds(CLOCK_MONOTONIC) - start.1)
    }
    let requests = host.network.world.modifyingRequests - before
    print("{\"values\":\(base.items.count),\"reps\":\(reps),\"requests\":\(requests),", terminator: "")
    print("\"cpu_us\":\(summary(cpu)),\"wall_us\":\(summary(wall))}")
} catch {
    fail("\(error)")
}
