/// Finds what a writer probably meant.
package enum Suggestion {
    /// More candidates than this are not compared.
    private static let mostCandidates = 10_000

    /// The candidate nearest to `word`; nil when none is near. Looks at the first 10 000 only, and at 64 bytes of each.
    package static func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
        let target = lowered(word)
        // Every third letter may be wrong; more than that is another word.
        var limit = target.count / 3
        var best: String?
        for candidate in candidates.prefix(mostCandidates) {
            let other = lowered(candidate)
            // Of words as short as `to` every letter counts.
            let allowed = min(limit, other.count / 3)
            let distance = distance(target, other, limit: allowed)
            if distance <= allowed, best == nil || distance < limit {
                limit = distance
                best = candidate
            }
        }
        return best
    }

    /// `; did you mean 'x'?`, or nothing.
    package static func phrase(for word: String, among candidates: some Sequence<String>) -> String {
        nearest(to: word, among: candidates).map { "; did you mean '\($0)'?" } ?? ""
    }

    private static func lowered(_ word: String) -> [UInt8] {
        word.utf8.prefix(64).map { (65...90).contains($0) ? $0 | 32 : $0 }
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
    private static func distance(_ left: [UInt8], _ right: [UInt8], limit: Int) -> Int {
        guard abs(left.count - right.count) <= limit else { return limit + 1 }
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var older: [Int] = []
        var previous = Array(0...right.count)
        for row in 1...left.count {
            var current = [row]
            for column in 1...right.count {
                let isSame = left[row - 1] == right[column - 1]
                var cost = min(previous[column] + 1, current[column - 1] + 1, previous[column - 1] + (isSame ? 0 : 1))
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    cost = min(cost, older[column - 2] + 1)
                }
                current.append(cost)
            }
            older = previous
            previous = current
        }
        return previous[right.count]
    }
}

extension String {
    /// The text as it is if it is short, and else cut, in single quotes.
    var shortened: String { utf8.count <= 64 ? self : inQuotes }

    /// The text in single quotes for a message: cut to a readable length, without control characters.
    var inQuotes: String {
        var out = "'"
        for (index, character) in unicodeScalars.enumerated() {
            if index == 64 {
                out += "…"
                break
            }
            if character.value < 32 || (127..<160).contains(character.value) {
                out += "\\u{\(String(character.value, radix: 16))}"
            } else {
                out.unicodeScalars.append(character)
            }
        }
        return out + "'"
    }
}
