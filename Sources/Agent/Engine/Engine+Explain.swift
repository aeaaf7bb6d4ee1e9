internal import Concurrency
internal import LinuxKinds
internal import Model
internal import NSMServices
internal import Netlink
public import Northbound
internal import Reconciler

extension Engine {
    /// The most derived values and steps that are listed for one value.
    private static var mostParts: Int { 100 }
    private static var mostSteps: Int { 5 }

    /// What is known of one value.
    private struct Knowledge: Sendable {
        var status: ValueStatus
        var parts: [ValueStatus]
        var provenance: Provenance?
        var value: ModelValue?
        var kernel: [String]
        var transactions: [Nsmagent_Control_Transaction]
        var now: Timestamp
    }

    /// All that is known of one value. But for past transactions, it takes time for this value alone.
    public nonisolated func explain(
        _ request: Nsmagent_Control_ExplainRequest
    ) async throws -> Nsmagent_Control_ExplainResponse {
        var response = Nsmagent_Control_ExplainResponse()
        guard let known = await knowledge(request.key) else {
            response.similarKey = await similarKey(request.key)
            return response
        }
        let note = await services.notes()[request.key] ?? containerNotes()[request.key]
        let now = clock.wallTime(of: known.now)
        response.value = control(known.status, known.provenance, note, now)
        response.parts = known.parts.prefix(Self.mostParts).map { control($0, nil, nil, now) }
        response.omittedParts = UInt32(clamping: known.parts.count - response.parts.count)
        response.kernel = known.kernel
        response.transactions = known.transactions
        if let value = known.value {
            response.model = value.model.name
            response.message = try value.message.serializedData()
        }
        return response
    }

    private func knowledge(_ key: Key) -> Knowledge? {
        guard let status = network.reconciler.status(of: key) else { return nil }
        let parts = network.reconciler.parts(of: key)
        let base = status.baseKey ?? key
        return Knowledge(
            status: status, parts: parts, provenance: network.provenance(base), value: network.declaredValue(base),
            kernel: kernelFacts(key), transactions: steps(Set(parts.map(\.key)).union([key])), now: network.clock.now)
    }

    private func similarKey(_ key: Key) -> Key {
        let end = "/\(key.split(separator: "/").last ?? "")"
        return network.declaredValues.first { $0.key.hasSuffix(end) }?.key ?? ""
    }

    /// The last steps that were done with some values.
    private func steps(_ keys: Set<Key>) -> [Nsmagent_Control_Transaction] {
        var found: [Nsmagent_Control_Transaction] = []
        var rest = Self.mostSteps
        for var transaction in network.reconciler.transactions.reversed() where rest > 0 {
            let entries = transaction.entries.filter { keys.contains($0.key) }.suffix(rest)
            if entries.isEmpty { continue }
            rest -= entries.count
            transaction.start = clock.wallTime(of: transaction.start)
            found.append(Nsmagent_Control_Transaction(transaction, entries))
        }
        return found.reversed()
    }

    /// What the kernel has of a value, as its events have reported.
    private func kernelFacts(_ key: Key) -> [String] {
        var facts: [String] = []
        if case .interface(let message)? = network.declaredValue(key),
            let link = network.world.declaredLink(message.name)
        {
            facts.append(Self.text(link))
        }
        if let fact = network.world.peerFacts(of: [key])[key] { facts.append(fact) }
        switch network.reconciler.comparison(of: key) {
        case .inPlace: facts.append("as declared")
        case .absent: facts.append("not there")
        case .different(let differences): facts += differences.map { "differs: \($0)" }
        case .unreachable(let reasons): facts += reasons
        case nil: break
        }
        return facts
    }

    private static func text(_ link: Link) -> String {
        var words = ["\(link.name), index \(link.index)", link.isUp ? "up" : "down"]
        if link.isUp { words.append(link.flags & 0x40 != 0 ? "running" : "no carrier") }
        words.append("mtu \(link.mtu)")
        if let mac = link.mac { words.append("\(mac)") }
        return words.joined(separator: ", ")
    }
}
