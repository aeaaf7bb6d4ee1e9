/// The text of the resolver's file with name servers of the mesh, and what it was before. Source: resolv.conf(5).
///
/// What was there is kept in comments, byte for byte, so that it can be put back by any later process.
enum ResolverText {
    /// What was there before.
    enum Original: Hashable, Sendable {
        /// A file with this content.
        case file([UInt8])
        /// A symbolic link, and what it led to.
        case link(target: String, [UInt8])
        /// Nothing.
        case absent

        /// What resolvers read.
        var content: [UInt8] {
            switch self {
            case .file(let bytes), .link(_, let bytes): bytes
            case .absent: []
            }
        }
    }

    private static let title = "# nsm-agent added name servers of network services. What was here before: "
    private static let mark = Array("#|".utf8)
    private static let newline = UInt8(ascii: "\n")

    /// The file with the mesh's name servers.
    ///
    /// - Parameter isAlone: Whether the servers that were there are left out, as those that are added ask them.
    static func render(_ original: Original, _ added: ResolverConfiguration, isAlone: Bool = false) -> [UInt8] {
        var text = Array(title.utf8)
        switch original {
        case .file: text += Array("a file\n".utf8)
        case .link(let target, _): text += Array("a link to \(target)\n".utf8)
        case .absent: text += Array("nothing\n".utf8)
        }
        if original != .absent {
            for line in lines(original.content) { text += mark + line + [newline] }
        }
        let known = Known(original.content)
        var servers = isAlone ? added.servers : merged(added.servers, known.servers)
        servers.removeDuplicates()
        var search = added.search + known.search
        search.removeDuplicates()
        if !search.isEmpty { text += Array("search \(search.joined(separator: " "))\n".utf8) }
        for server in servers { text += Array("nameserver \(server)\n".utf8) }
        for line in known.rest { text += Array((line + "\n").utf8) }
        return text
    }

    /// What a file says of servers and domains, or what it said before we wrote it.
    ///
    /// - Parameter isPresent: Whether that is meant which it says now.
    static func configuration(of text: [UInt8], isPresent: Bool = false) -> ResolverConfiguration {
        let known = Known(isPresent ? text : original(of: text)?.content ?? text)
        var configuration = ResolverConfiguration()
        configuration.add(servers: known.servers, search: known.search)
        return configuration
    }

    /// What was there before a file was made by ``render(_:_:)``; nil for any other file.
    static func original(of text: [UInt8]) -> Original? {
        guard let end = text.firstIndex(of: newline), text.starts(with: title.utf8) else { return nil }
        let word = String(decoding: text[title.utf8.count..<end], as: UTF8.self)
        if word == "nothing" { return .absent }
        var kept: [ArraySlice<UInt8>] = []
        for line in lines(Array(text[(end + 1)...])) {
            guard line.starts(with: mark) else { break }
            kept.append(line.dropFirst(mark.count))
        }
        let content = Array(kept.joined(separator: [newline]))
        if word == "a file" { return .file(content) }
        let link = "a link to "
        return word.hasPrefix(link) ? .link(target: String(word.dropFirst(link.count)), content) : nil
    }

    /// Resolvers ask three servers at most, so one of those that were there stays among the first three.
    private static func merged(_ added: [String], _ known: [String]) -> [String] {
        guard added.count > 2, let first = known.first else { return added + known }
        return added[..<2] + [first] + added[2...] + known.dropFirst()
    }

    private static func lines(_ text: [UInt8]) -> [ArraySlice<UInt8>] {
        text.split(separator: newline, omittingEmptySubsequences: false)
    }

    /// What a file tells a resolver.
    private struct Known {
        var servers: [String] = []
        var search: [String] = []
        /// Options and the like, as they stand.
        var rest: [String] = []

        init(_ text: [UInt8]) {
            for line in ResolverText.lines(text) {
                guard let line = String(validating: line, as: UTF8.self) else { continue }
                let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\r" }).map(String.init)
                guard let word = words.first, !line.contains("\0") else { continue }
                switch word {
                case "nameserver": servers += words[1...].prefix(1)
                // The last of several counts.
                case "search": search = Array(words[1...])
                case "domain": search = Array(words[1...].prefix(1))
                case "options", "sortlist": rest.append(words.joined(separator: " "))
                default: break
                }
            }
        }
    }
}

extension Array where Element: Hashable {
    fileprivate mutating func removeDuplicates() {
        var seen: Set<Element> = []
        removeAll { !seen.insert($0).inserted }
    }
}
