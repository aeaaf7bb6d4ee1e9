/// What is wrong with an identity, in words for the operator.
public struct SPIFFEError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, what, and what to do.
    public let description: String
    /// Makes an error.
    public init(_ description: String) { self.description = description }
}

/// The name of a workload: `spiffe://TRUST-DOMAIN/PATH`. Source: the SPIFFE-ID standard.
public struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
    /// Lower-case letters, digits, `.`, `-` and `_`; at most 255 bytes.
    public let trustDomain: String
    /// Empty for the trust domain itself, or starts with `/`.
    public let path: String

    /// Reads a name of at most 2048 bytes.
    ///
    /// - Throws: ``SPIFFEError`` when it is none.
    public init(_ text: String) throws(SPIFFEError) {
        func refuse(_ reason: String) -> SPIFFEError {
            SPIFFEError("\(text.prefix(100)) is not a SPIFFE id: \(reason)")
        }
        let scheme = "spiffe://"
        guard text.utf8.count <= 2048 else { throw refuse("longer than 2048 bytes") }
        guard text.utf8.starts(with: scheme.utf8) else { throw refuse("it does not start with \(scheme)") }
        let rest = text.dropFirst(scheme.count)
        let domain = rest.prefix { $0 != "/" }
        guard !domain.isEmpty, domain.utf8.count <= 255, domain.utf8.allSatisfy(Self.isDomainByte) else {
            throw refuse("the trust domain takes lower-case letters, digits, '.', '-' and '_'")
        }
        let path = rest.dropFirst(domain.count)
        for segment in path.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            guard !segment.isEmpty, segment != ".", segment != "..", segment.utf8.allSatisfy(Self.isPathByte) else {
                throw refuse("a path segment takes letters, digits, '.', '-' and '_', and is not empty, '.' or '..'")
            }
        }
        trustDomain = String(domain)
        self.path = String(path)
    }

    /// Whether it is the name that the authority of a host gives the manager of that host, and nobody else:
    /// `spiffe://TRUST-DOMAIN/host/HOST/nsmgr`.
    package var isManagerOfHost: Bool {
        let words = path.split(separator: "/", omittingEmptySubsequences: false)
        return words.count == 4 && words[1] == "host" && words[3] == "nsmgr"
    }

    /// The text.
    public var description: String { "spiffe://\(trustDomain)\(path)" }

    private static func isDomainByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
            UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        isDomainByte(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }

    /// Whether a name fits a pattern, in which each `*` stands for any number of characters.
    ///
    /// Costs at most the product of both lengths.
    package static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let name = Array(name.utf8)
        let star = UInt8(ascii: "*")
        var (place, at) = (0, 0)
        /// Where to go on when what follows the last star does not fit.
        var retry: (place: Int, at: Int)?
        while at < name.count {
            if place < pattern.count, pattern[place] == star {
                retry = (place + 1, at)
                place += 1
            } else if place < pattern.count, pattern[place] == name[at] {
                place += 1
                at += 1
            } else if let last = retry {
                retry = (last.place, last.at + 1)
                (place, at) = (last.place, last.at + 1)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == star }
    }
}
