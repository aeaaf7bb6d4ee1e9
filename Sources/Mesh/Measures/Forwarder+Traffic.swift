internal import Netlink

extension Forwarder {
    /// How the connections that exist are made.
    var mechanisms: [String: ForwarderMechanism] { made.mapValues(\.form.mechanism) }

    /// How a connection is made; nil: it does not exist.
    func mechanism(of id: String) -> ForwarderMechanism? { made[id]?.form.mechanism }

    /// Counts what connections carried since they were read last.
    func readTraffic(of ids: some Sequence<String>) {
        for id in ids { readTraffic(of: id) }
    }

    /// Counts what a connection carried since it was read last: that of the client's end, or of the end that is on this host.
    func readTraffic(of id: String) {
        guard let measures, let made = made[id], let now = traffic(of: id) else { return }
        measures.add(now.since(made.traffic), by: made.form.mechanism)
        self.made[id]?.traffic = now
    }

    /// What a connection's first link has carried since it was made; nil: nobody counts it, or it can't be asked.
    func traffic(of id: String) -> LinkTraffic? {
        guard measures != nil, let made = made[id], let first = made.links.first else { return nil }
        defer { forgetSocket(made.namespace) }
        // A link that can't be asked says elsewhere what is wrong.
        guard let socket = try? socket(made.namespace) else { return nil }
        return (try? socket.traffic(index: first.index)) ?? nil
    }

    /// Does something in the kernel, and counts it.
    func timed<Result>(
        _ work: (Result?) -> MeshMeasures.Work, _ body: () throws(ForwarderError) -> Result
    ) throws(ForwarderError) -> Result {
        guard let measures else { return try body() }
        let start = ContinuousClock.now
        do throws(ForwarderError) {
            let result = try body()
            measures.note(work(result), .now - start, failed: false)
            return result
        } catch {
            measures.note(work(nil), .now - start, failed: true)
            throw error
        }
    }
}

extension Attachment.Form {
    var mechanism: ForwarderMechanism { tunnel?.mechanism ?? .kernel }
}

extension LinkTraffic {
    /// What came since then; all of it when there is no then, or the link was made again.
    func since(_ then: LinkTraffic?) -> LinkTraffic {
        guard let then else { return self }
        func difference(_ member: KeyPath<LinkTraffic, UInt64>) -> UInt64 {
            let (now, before) = (self[keyPath: member], then[keyPath: member])
            return now >= before ? now - before : now
        }
        var result = self
        result.receivedPackets = difference(\.receivedPackets)
        result.sentPackets = difference(\.sentPackets)
        result.receivedBytes = difference(\.receivedBytes)
        result.sentBytes = difference(\.sentBytes)
        result.receiveDrops = difference(\.receiveDrops)
        result.sendDrops = difference(\.sendDrops)
        return result
    }
}
