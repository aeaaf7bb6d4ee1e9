/// A rule as a user writes it: what follows `-A CHAIN` on a line of iptables-restore(8).
///
/// Root's iptables-restore reads it, so it may say nothing but what one packet filter rule says: it stays on its line and
/// names no table, no command and no program.
public enum RuleText {
    /// A part of a rule between spaces.
    public struct Word: Hashable, Sendable {
        /// What it says, without quotes.
        public var text: String
        /// Whether it, or a part of it, was in quotes.
        public var isQuoted: Bool
    }

    /// The most bytes of one rule: iptables-restore reads lines of 10239, on which our mark stands, too.
    static let mostBytes = 8192
    /// The most bytes of a word.
    static let mostWordBytes = 1023
    /// The most words of a rule.
    static let mostWords = 240
    /// The most rules of a chain.
    static let mostRules = 10_000

    /// Parts a rule as iptables-restore does: at spaces and tabs; between two `"` everything counts as it is, but a `\` is left
    /// out and what follows it is taken. The second `"` ends the word.
    ///
    /// - Returns: nil when a quote is not closed.
    public static func words(of rule: some StringProtocol) -> [Word]? {
        var words: [Word] = []
        var bytes: [UInt8] = []
        var isOpen = false
        var isQuoted = false
        var isEscaped = false
        func end() {
            if !bytes.isEmpty || isQuoted {
                words.append(Word(text: String(decoding: bytes, as: UTF8.self), isQuoted: isQuoted))
            }
            bytes.removeAll(keepingCapacity: true)
            isQuoted = false
        }
        for byte in rule.utf8 {
            if isOpen {
                if isEscaped {
                    isEscaped = false
                    bytes.append(byte)
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isOpen = false
                    end()
                } else {
                    bytes.append(byte)
                }
            } else if byte == UInt8(ascii: "\"") {
                isOpen = true
                isQuoted = true
            } else if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
                end()
            } else {
                bytes.append(byte)
            }
        }
        if isOpen { return nil }
        end()
        return words
    }

    /// A text as iptables-save writes it: in quotes where it holds more than letters, digits, `-` and `_`.
    public static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        if isPlain, !text.isEmpty { return text }
        var result = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" || scalar == "'" { result.unicodeScalars.append("\\") }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }

    /// What is wrong with a rule; nil: nothing that can be seen without iptables.
    static func mistake(in rule: String) -> String? {
        if rule.utf8.count > mostBytes { return "is longer than \(mostBytes) bytes" }
        // A tab is a space to iptables-restore.
        if rule.utf8.contains(where: { ($0 < 32 && $0 != 9) || $0 == 127 }) {
            return "holds a control character; a rule is one line"
        }
        guard let words = words(of: rule) else { return "has a quote (\") that is not closed" }
        if words.isEmpty { return "is empty; write what follows `-A CHAIN` in the words of iptables(8)" }
        if words.count > mostWords { return "has more than \(mostWords) words" }
        if words.contains(where: { $0.text.utf8.count > mostWordBytes }) {
            return "has a word of more than \(mostWordBytes) bytes"
        }
        return RuleOptions.mistake(in: words.map(\.text))
    }
}

extension RuleText {
    /// How many rules iptables makes of a rule: one for each pair of a source and a destination. Beyond ``mostRules`` nobody
    /// counts.
    static func count(of rule: String) -> Int {
        guard rule.utf8.contains(UInt8(ascii: ",")), let words = words(of: rule) else { return 1 }
        return RuleOptions.addressLists(in: words.map(\.text)).reduce(1) { product, list in
            min(product * (1 + list.utf8.count { $0 == UInt8(ascii: ",") }), mostRules + 1)
        }
    }
}

/// Options of iptables(8) that are no part of a rule.
private enum RuleOptions {
    /// Options whose argument is any text. All of them need one, so what follows is never an option.
    private static let texts: Set<String> = [
        "--comment", "--log-prefix", "--nflog-prefix", "--string", "--hex-string",
    ]
    /// Commands, the table, and what is about the program and not about the rule.
    private static let forbiddenLong = [
        "append", "delete", "delete-chain", "insert", "replace", "list", "list-rules", "flush", "zero", "new-chain",
        "new",
        "rename-chain", "policy", "check", "table", "modprobe", "help", "version", "wait", "wait-interval",
    ]
    /// Those that iptables itself does not refuse beside `-A`. They are seen even where a text is expected.
    private static let neverLong = ["modprobe", "help", "version"]
    /// Full names of options of matches that look like abbreviations of commands.
    private static let knownLong: Set<String> = ["pol"]

    private static let forbiddenShort = Set("ACDRILSMFZNEXPVhtwW")
    private static let neverShort = Set("MhV")
    private static let shortWithArgument = Set("psdjgiomc")
    private static let shortAlone = Set("vnxf46b")

    static func mistake(in words: [String]) -> String? {
        var isText = false
        for word in words {
            if let option = option(word, isText: isText) {
                return "holds \(option.inQuotes), which is not part of a rule; write only what follows `-A CHAIN`"
            }
            isText = !isText && texts.contains(word)
        }
        return nil
    }

    /// What stands behind the options for the source and the destination.
    static func addressLists(in words: [String]) -> [Substring] {
        var lists: [Substring] = []
        var isText = false
        var isAddress = false
        for word in words {
            if isAddress { lists.append(word[...]) }
            isAddress = false
            if !isText, word.hasPrefix("--") {
                let parts = word.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let isOne = ["source", "src", "destination", "dst"].contains { $0.hasPrefix(parts[0]) }
                if isOne, parts.count == 2 { lists.append(parts[1]) } else { isAddress = isOne }
            } else if !isText, word.hasPrefix("-"),
                let index = word.dropFirst().firstIndex(where: { !shortAlone.contains($0) }),
                word[index] == "s" || word[index] == "d"
            {
                let rest = word[word.index(after: index)...]
                if rest.isEmpty { isAddress = true } else { lists.append(rest) }
            }
            isText = !isText && texts.contains(word)
        }
        return lists
    }

    /// The forbidden option that a word is, or that is among its letters.
    private static func option(_ word: String, isText: Bool) -> String? {
        if word.hasPrefix("--") {
            let name = String(word.dropFirst(2).prefix { $0 != "=" })
            if name.isEmpty || knownLong.contains(name) { return nil }
            // getopt_long(3) takes the start of a name for the name.
            let forbidden = isText ? neverLong : forbiddenLong
            return forbidden.contains { $0.hasPrefix(name) } ? "--\(name)" : nil
        }
        guard word.hasPrefix("-") else { return nil }
        for letter in word.dropFirst() {
            if (isText ? neverShort : forbiddenShort).contains(letter) { return "-\(letter)" }
            if shortWithArgument.contains(letter) || !shortAlone.contains(letter) { return nil }
        }
        return nil
    }
}

/// Names of chains.
enum ChainName {
    /// As iptables says: shorter than `XT_EXTENSION_MAXNAMELEN`.
    static let mostBytes = 28

    private static let builtIn: Set<String> = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING"]
    private static let verdicts: Set<String> = ["ACCEPT", "DROP", "QUEUE", "RETURN"]

    /// What is wrong with the name of a CUSTOM chain.
    static func mistake(in name: String) -> String? {
        if name.utf8.count > mostBytes { return "is longer than \(mostBytes) bytes" }
        if builtIn.contains(name) { return "is a built-in chain; write chain_type \(name)" }
        if verdicts.contains(name) { return "is what rules do with packets, and no name for a chain" }
        if name.utf8.contains(where: { $0 <= 32 || $0 == 127 || "\"'\\".utf8.contains($0) }) {
            return "holds a space, a quote, a backslash or a control character"
        }
        if let first = name.first, "-!".contains(first) { return "begins with '\(first)'" }
        return nil
    }
}
