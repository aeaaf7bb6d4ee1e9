internal import NetworkTypes
internal import Synchronization

/// Which servers write the name in a reply by the letters of the question. Those are small or capital at random, so that who makes
/// a reply up without seeing the question has to guess them, too.
///
/// Source: draft-vixie-dnsext-dns0x20.
final class ServerLetters: Sendable {
    /// So many questions in a row were answered with other letters by a server that does not keep them.
    static let limit = 3
    /// So long such a server is asked by letters that it can't get wrong; then it is tried again. A server may be replaced.
    static let time = Duration.seconds(3600)
    /// Servers that are remembered.
    private static let mostServers = 1024

    private struct Record {
        var misses = 0
        /// When it is tried again; nil: it is not known as one that changes letters.
        var end: ContinuousClock.Instant?
    }

    private let records = Mutex<[IPAddress: Record]>([:])

    /// Whether a server is taken for one that keeps letters.
    func areKept(by server: IPAddress, at now: ContinuousClock.Instant = .now) -> Bool {
        records.withLock { $0[server]?.end.map { $0 <= now } ?? true }
    }

    /// Takes in whether a server kept letters.
    func note(_ server: IPAddress, areKept: Bool, at now: ContinuousClock.Instant = .now) {
        records.withLock { records in
            if areKept {
                records[server] = nil
                return
            }
            if records.count >= Self.mostServers, records[server] == nil { records = [:] }
            var record = records[server] ?? Record()
            record.misses = min(record.misses + 1, Self.limit)
            if record.misses == Self.limit { record.end = now + Self.time }
            records[server] = record
        }
    }
}

extension [UInt8] {
    /// Makes each letter of a query's name small or capital.
    mutating func mixLetters(of request: DNSRequest, using random: inout some RandomNumberGenerator) {
        for place in request.nameRange where self[place].isLetter && Bool.random(using: &random) { self[place] ^= 0x20 }
    }
}

extension DNSRequest {
    /// Where the name stands in a query. Lengths of labels are below all letters; type and class behind it may look like some.
    fileprivate var nameRange: Range<Int> {
        DNSMessage.headerLength..<(DNSMessage.headerLength + question.name.wire.count)
    }

    /// Whether the name has letters.
    var hasLetters: Bool { question.name.wire.contains(where: \.isLetter) }
}

extension UInt8 {
    /// Whether it is a letter of ASCII.
    fileprivate var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) && self & 0x40 != 0 }
}
