internal import Netlink
internal import Reconciler

/// A table as nft lists it: what there is to compare, and what there is to put back.
///
/// The listing leaves out counters (`nft -s`) and has no handles. It is text and no JSON: nft's JSON of many versions does not
/// tell a table's comment nor whether a set is dynamic, and people compare lines.
struct TableText: Hashable, Sendable {
    /// The lines to compare, without the braces and the comment, which say which table it is and whose: and without elements of
    /// dynamic sets, which packets and others put there.
    let lines: [String]
    /// The same lines with all elements.
    private let content: [String]

    /// Bytes of its lines, at most.
    var byteCount: Int { 2 * content.reduce(0) { $0 + $1.utf8.count } }

    static func == (left: Self, right: Self) -> Bool { left.lines == right.lines }
    func hash(into hasher: inout Hasher) { hasher.combine(lines) }

    /// Takes the listing of one table; nil: it is none, or of more than that.
    init?(listing: String, of id: FilterTable.ID) {
        let all = listing.split(separator: "\n", omittingEmptySubsequences: true).map(String.init)
        guard all.count >= 2, all.first == "\(id) {", all.last == "}" else { return nil }
        content = all.dropFirst().dropLast().filter { !$0.hasPrefix("\tcomment \"") }
        guard content.allSatisfy({ $0.hasPrefix("\t") }) else { return nil }
        lines = Self.withoutDynamicElements(content)
    }

    /// The table in the language of nft.
    func source(_ id: FilterTable.ID, comment: String?) -> String {
        let comment = comment.map { "\tcomment \"\($0)\"\n" } ?? ""
        return "\(id) {\n\(comment)\(content.joined(separator: "\n"))\n}\n"
    }

    /// A set starts with a line such as `set name {` one step deep and ends with `}` there.
    private static func withoutDynamicElements(_ lines: [String]) -> [String] {
        var result: [String] = []
        var isInSet = false
        var isDynamic = false
        var isInElements = false
        for line in lines {
            if line.hasPrefix("\t"), !line.hasPrefix("\t\t") {
                isInSet = line.hasPrefix("\tset ") || line.hasPrefix("\tmap ")
                isDynamic = false
                isInElements = false
            } else if isInSet {
                if line.hasPrefix("\t\tflags ") {
                    let flags = line.dropFirst("\t\tflags ".count).split(separator: ",")
                    isDynamic = flags.contains("dynamic") || flags.contains("timeout")
                }
                if line.hasPrefix("\t\telements = {") { isInElements = true }
                if isInElements, isDynamic {
                    if line.hasSuffix("}") { isInElements = false }
                    continue
                }
            }
            result.append(withSortedDevices(line))
        }
        return result
    }

    /// In braces behind `iif` or `oif` nft lists links in the order of their numbers, which differ from one namespace to the
    /// next.
    private static func withSortedDevices(_ line: String) -> String {
        guard line.contains("iif ") || line.contains("oif ") else { return line }
        let parts = line.split(separator: "{", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let end = parts[1].firstIndex(of: "}") else { return line }
        let elements = parts[1][..<end].split(separator: ",").map { String($0).trimmingSpace }.sorted()
        return "\(parts[0]){ \(elements.joined(separator: ", ")) \(parts[1][end...])"
    }

    /// What a user wrote, or would write, between the braces of the table.
    var inside: [String] { lines.map { String($0.dropFirst()) } }

    /// The lines that are only in one of the two: what goes, and what comes, in the order of the text.
    func differences(to wanted: TableText) -> [Difference] {
        wanted.lines.difference(from: lines).map { change in
            switch change {
            case .remove(let offset, let line, _): (offset, Difference.removed(line: line.trimmingSpace, of: "rules"))
            case .insert(let offset, let line, _): (offset, Difference.added(line: line.trimmingSpace, to: "rules"))
            }
        }.sorted { ($0.0, $0.1.old.isEmpty ? 1 : 0) < ($1.0, $1.1.old.isEmpty ? 1 : 0) }.map(\.1)
    }
}
