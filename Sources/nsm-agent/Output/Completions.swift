internal import Agent
internal import ArgumentParser
internal import Concurrency
internal import Mesh
internal import Model
internal import Netlink
internal import Northbound

/// What a shell offers for a word that is being typed. Nothing is offered where it can't be found out at once.
enum Completions {
    /// Keys of values.
    static let keys = CompletionKind.custom { words, _, prefix in
        matching(prefix, ask(words).map(\.status.key))
    }
    /// What `status` takes: names, network namespaces and keys.
    static let values = CompletionKind.custom { words, _, prefix in
        let values = ask(words)
        let names = values.filter { $0.baseKey.isEmpty }.compactMap { value in
            value.status.key.split(separator: "/").last.map { String($0) }
        }
        return matching(prefix, names + values.map(\.namespace) + values.map(\.status.key))
    }
    /// What `explain` takes: models with their fields, and keys.
    static let modelsAndKeys = CompletionKind.custom { words, _, prefix in
        prefix.contains("/") ? matching(prefix, ask(words).map(\.status.key)) : matching(prefix, Explain.paths(prefix))
    }
    /// Names of network namespaces.
    static let namespaces = CompletionKind.custom { _, _, prefix in
        matching(prefix, (try? NetworkNamespace.list()) ?? [])
    }

    /// More would not be read by anybody.
    private static let most = 500
    /// How long an agent may take. A shell that hangs is worse than one that offers nothing.
    private static let patience = Duration.seconds(1)

    private static func matching(_ prefix: String, _ words: [String]) -> [String] {
        let found = Set(words).filter { !$0.isEmpty && $0.hasPrefix(prefix) && $0.utf8.allSatisfy(isPlain) }
        return Array(found.sorted().prefix(most))
    }

    /// Whether a shell takes a byte as it stands. Bash expands the words that it is offered, so a `$(…)` in the name of a value
    /// would run as a command of whoever presses Tab.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        default: "/._:,@%+=-".utf8.contains(byte)
        }
    }

    /// The values of the agent that the words name; none when it does not answer.
    private static func ask(_ words: [String]) -> [Nsmagent_Control_Value] {
        // Another host's agent needs certificates, and time.
        if words.contains(where: { $0 == "--agent" || $0.hasPrefix("--agent=") }) { return [] }
        let path = option("--socket", in: words) ?? SocketOptions.usualPath
        guard let client = try? ControlClient(path: path) else { return [] }
        OwnWorkers.use()
        let answer = Promise<[Nsmagent_Control_Value]>()
        try? Foreground.run {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    guard let found = try? await client.status(Nsmagent_Control_StatusRequest()) else { return }
                    answer.keep(found.values)
                }
                group.addTask { try? await Task.sleep(for: patience) }
                await group.next()
                group.cancelAll()
            }
        }
        return answer.present ?? []
    }

    private static func option(_ name: String, in words: [String]) -> String? {
        for (number, word) in words.enumerated() {
            if word.hasPrefix(name + "=") { return String(word.dropFirst(name.count + 1)) }
            if word == name, number + 1 < words.count { return words[number + 1] }
        }
        return nil
    }
}
