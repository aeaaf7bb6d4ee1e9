internal import NetworkTypes

/// The inside of a table in the language of nft(8), as far as it can be judged without nft.
///
/// The text is put between braces of ours and read by a program of root's. So it may not leave them, name files, or hold
/// what another reader could understand in another way.
struct RulesetText {
    /// Something that can't be in it.
    struct Mistake: Hashable {
        var line: Int
        var column: Int
        var text: String
    }

    /// More bytes are not read.
    static let mostBytes = 1 << 20

    /// The text without comments. Its lines are those of the original.
    private(set) var text = ""
    /// Names of links that have to be there when it is loaded: those that the kernel knows by number, behind `iif`, `oif`
    /// and `device`.
    private(set) var devices: Set<String> = []
    private(set) var mistakes: [Mistake] = []

    /// What a statement between the braces of a table starts with.
    private static let starts: Set<String> = [
        "chain", "set", "map", "flowtable", "counter", "quota", "ct", "limit", "secmark", "synproxy", "flags", "define",
        "redefine", "undefine",
    ]
    private static let operators: Set<String> = ["eq", "ne", "map", "vmap"]
    private static let deviceWords: Set<String> = ["iif", "oif", "device", "devices"]

    private var line = 1
    private var column = 1
    /// Where braces were opened that are not closed yet.
    private var open: [(line: Int, column: Int)] = []
    /// Whether a statement of the table starts here.
    private var isAtStart = true
    private var isFlags = false
    /// How many braces were open at the word that wants names of links behind it; nil: none does.
    private var deviceDepth: Int?
    /// Whether what follows is what a map makes of a link.
    private var isMapped = false

    /// Reads a text.
    init(_ original: String) {
        guard original.utf8.count <= Self.mostBytes else {
            mistakes = [Mistake(line: 1, column: 1, text: "is longer than \(Self.mostBytes >> 20) MiB")]
            return
        }
        var output: [UInt8] = []
        output.reserveCapacity(original.utf8.count + 1)
        let bytes = Array(original.utf8)
        var index = 0
        while index < bytes.count, mistakes.count < 10 {
            let end = step(bytes, index)
            if bytes[index] != UInt8(ascii: "#") { output += bytes[index..<end] }
            advance(bytes[index..<end])
            index = end
        }
        if mistakes.isEmpty, let place = open.last {
            mistakes.append(Mistake(line: place.line, column: place.column, text: "this '{' is never closed"))
        }
        text = String(decoding: output, as: UTF8.self)
    }

    private mutating func advance(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
    }

    private mutating func refuse(_ text: String) { mistakes.append(Mistake(line: line, column: column, text: text)) }

    /// Looks at what starts at a byte; where it ends.
    private mutating func step(_ bytes: [UInt8], _ index: Int) -> Int {
        let byte = bytes[index]
        switch byte {
        case UInt8(ascii: "\n"), UInt8(ascii: ";"): endStatement()
        case UInt8(ascii: " "), UInt8(ascii: "\t"): break
        case UInt8(ascii: "#"): return bytes[index...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        case UInt8(ascii: "\""): return quoted(bytes, index)
        case UInt8(ascii: "{"):
            open.append((line, column))
            isAtStart = false
        case UInt8(ascii: "}"):
            deviceDepth = nil
            if open.popLast() == nil { refuse("this '}' closes the table; a ruleset is the inside of one table") }
            if open.isEmpty { isAtStart = true }
        case UInt8(ascii: "\\"): refuse("'\\' can't be in a ruleset")
        case 0..<32, 127: refuse("a control character (\(byte)) can't be in a ruleset")
        case 128...: refuse("only quoted texts and comments may hold other than ASCII characters")
        default:
            if Self.isWord(byte) { return word(bytes, index) }
            // Behind `iif` there may be an operator, and more in braces.
            switch byte {
            case UInt8(ascii: ","): isMapped = false
            case UInt8(ascii: ":"): isMapped = true
            case UInt8(ascii: "="), UInt8(ascii: "!"): break
            default: deviceDepth = nil
            }
            isAtStart = false
        }
        return index + 1
    }

    private mutating func endStatement() {
        if open.isEmpty { isAtStart = true }
        isFlags = false
        // A list of names in braces may go on in the next line.
        if let depth = deviceDepth, open.count <= depth { deviceDepth = nil }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "/"):
            true
        default: false
        }
    }

    private mutating func word(_ bytes: [UInt8], _ index: Int) -> Int {
        let end = bytes[index...].firstIndex { !Self.isWord($0) } ?? bytes.count
        let word = String(decoding: bytes[index..<end], as: UTF8.self)
        if word == "include" {
            refuse("'include' can't be in a ruleset: no files are read for it")
        } else if open.isEmpty, isAtStart {
            start(word)
        } else if isFlags, word == "owner" || word == "persist" {
            refuse("a table with the flag '\(word)' would go with the program that makes it")
        }
        isAtStart = false
        note(device: word)
        return end
    }

    private mutating func start(_ word: String) {
        isFlags = word == "flags"
        if Self.starts.contains(word) { return }
        switch word {
        case "table": refuse("'table' can't be in a ruleset: it is the inside of one, without 'table … {' and '}'")
        case "comment": refuse("the comment of a table says whose it is; comments of chains and rules are free")
        default: refuse("'\(word)' does not start a chain, set, map or other object of a table")
        }
    }

    /// Names of links: what follows `iif` and its like, until something else does.
    private mutating func note(device word: String) {
        if Self.deviceWords.contains(word) {
            deviceDepth = open.count
            isMapped = false
        } else if let depth = deviceDepth, !Self.operators.contains(word), !isMapped {
            if UInt32(word) == nil, InterfaceName.mistake(in: word) == nil { devices.insert(word) }
            // One name; or several in braces.
            if open.count <= depth { deviceDepth = nil }
        }
    }

    private mutating func quoted(_ bytes: [UInt8], _ index: Int) -> Int {
        let rest = bytes[(index + 1)...]
        guard let end = rest.firstIndex(where: { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\n") }),
            bytes[end] == UInt8(ascii: "\"")
        else {
            refuse("this quoted text is not closed in its line")
            return rest.firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        }
        let content = bytes[(index + 1)..<end]
        if content.contains(where: { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: "\\") }) {
            refuse("a control character or '\\' can't be in a quoted text")
        }
        if open.isEmpty, isAtStart { refuse("a quoted text does not start an object of a table") }
        note(device: String(decoding: content, as: UTF8.self))
        return end + 1
    }
}
