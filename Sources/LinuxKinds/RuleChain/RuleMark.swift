internal import Concurrency
internal import Model

/// How rules of iptables say whose they are: by a comment, `/vnf-agent/LABEL/NAME`, the same text as the alias of a link.
///
/// A rule with a comment and no target does nothing to packets. One of those says what there is to remember of a chain: the
/// policy that was there before ours, or that the chain is someone else's. It is the first of our rules in the chain.
struct RuleMark: Hashable, Sendable {
    /// The comment of the rules, without spaces.
    let text: String

    /// Bytes of a name that are written out; `XT_MAX_COMMENT_LEN` is 256 with the NUL, and a note may follow.
    private static let mostBytes = 200

    init(_ ownership: Ownership, name: String) {
        let whole = Self.encode(ownership.aliasPrefix + name)
        if whole.utf8.count <= Self.mostBytes {
            text = whole
        } else {
            // No escape is cut: `%` and two digits stay together.
            var start = whole.prefix(Self.mostBytes - 20)
            while let percent = start.lastIndex(of: "%"), start.distance(from: percent, to: start.endIndex) < 3 {
                start = start[..<percent]
            }
            text = start + "~" + String(FNV1a.hash64(whole.utf8), radix: 16)
        }
    }

    init(text: String) { self.text = text }

    /// What all marks of an owner start with.
    static func prefix(_ ownership: Ownership) -> String { encode(ownership.aliasPrefix) }

    /// The name of the value, as far as it was written out.
    func name(_ ownership: Ownership) -> String {
        Self.decode(String(text.dropFirst(Self.prefix(ownership).count)))
    }

    /// The match that says it.
    var match: String { "-m comment --comment \(RuleText.quoted(text))" }

    /// A rule as it is handed to iptables.
    func marked(_ rule: String) -> String { "\(match) \(rule)" }

    /// A rule as iptables writes it, without the mark.
    func unmarked(_ rule: String) -> String {
        guard let range = rule.firstRange(of: match) else { return rule }
        let parts = [rule[..<range.lowerBound], rule[range.upperBound...]].map { String($0).trimmingSpace }
        return parts.filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// What is to be remembered of a chain.
    struct Note: Hashable, Sendable {
        /// The policy that we set, and the one that was there before.
        var policy: (ours: String, former: String)?
        /// Whether the chain was there before us.
        var wasThere = false

        static func == (left: Self, right: Self) -> Bool {
            left.wasThere == right.wasThere && left.policy?.ours == right.policy?.ours
                && left.policy?.former == right.policy?.former
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(wasThere)
            hasher.combine(policy?.ours)
            hasher.combine(policy?.former)
        }

        var isEmpty: Bool { policy == nil && !wasThere }
    }

    /// The rule that says what is to be remembered, as iptables writes it.
    func rule(for note: Note) -> String {
        var words = text
        if let policy = note.policy { words += " policy \(policy.ours) was \(policy.former)" }
        if note.wasThere { words += " was there" }
        return "-m comment --comment \(RuleText.quoted(words))"
    }

    /// The mark of a rule, and what it notes; nil: it is not ours.
    static func read(_ rule: String, prefix: String) -> (mark: RuleMark, note: Note?)? {
        // Few rules are ours, and this is quick.
        guard rule.contains(prefix), let words = RuleText.words(of: rule) else { return nil }
        for index in words.indices.dropLast() where words[index].text == "--comment" && !words[index].isQuoted {
            let comment = words[index + 1].text
            guard comment.hasPrefix(prefix) else { continue }
            let parts = comment.split(separator: " ")
            let mark = RuleMark(text: String(parts[0]))
            // Nothing but a comment: no rule of a user's, each of which has more.
            return (mark, words.count == 4 ? note(parts.dropFirst()) : nil)
        }
        return nil
    }

    private static func note(_ words: ArraySlice<Substring>) -> Note {
        var note = Note()
        let words = Array(words)
        if words.count >= 4, words[0] == "policy", words[2] == "was" {
            note.policy = (String(words[1]), String(words[3]))
        }
        note.wasThere = words.suffix(2) == ["was", "there"]
        return note
    }

    // MARK: - Text

    /// Everything but printable ASCII without spaces, quotes and the like becomes `%XX`.
    private static func encode(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            if byte > 32, byte < 127, !"\"'\\%~".utf8.contains(byte) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        return result
    }

    private static func decode(_ text: String) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2,
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
