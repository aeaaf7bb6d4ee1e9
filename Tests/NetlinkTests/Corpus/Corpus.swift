import Testing

@testable import Netlink

/// Real messages to begin from: what the kernel sent, and requests of ip(8), which hold kinds this kernel lacks.
enum Corpus {
    static let messages: [[UInt8]] =
        [linksCorpus, othersCorpus, routesCorpus].flatMap { text in
            text.split(separator: "\n\n").map { decodeHex(String($0)) }
        } + (linkGoldens + objectGoldens + routeGoldens).map(\.bytes)

    static var reports: [Report] {
        messages.compactMap { message in message.withUnsafeBytes { Report.decode(message: $0) } }
    }
}
