internal import CLinux
internal import Glibc

/// What the output goes to.
struct Terminal {
    /// Whether colours may be used.
    let hasColours: Bool
    /// Characters in a line; nil: no terminal, so lines may be long.
    let width: Int?

    /// Standard output.
    static var output: Terminal { Terminal(descriptor: STDOUT_FILENO) }

    init(descriptor: Int32) {
        let isTerminal = cl_is_terminal(descriptor)
        hasColours = isTerminal && environment("NO_COLOR") == nil && environment("TERM") != "dumb"
        width = isTerminal ? Self.width(of: descriptor) : nil
    }

    private static func width(of descriptor: Int32) -> Int {
        if let columns = environment("COLUMNS").flatMap({ Int($0) }), columns > 0 { return columns }
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    enum Colour: String {
        case red = "31"
        case green = "32"
        case yellow = "33"
        case magenta = "35"
        case cyan = "36"
        case dim = "2"
        case bold = "1"
    }

    /// The text in a colour, if there are colours.
    func paint(_ text: String, _ colour: Colour?) -> String {
        guard hasColours, let colour else { return text }
        return "\u{1b}[\(colour.rawValue)m\(text)\u{1b}[0m"
    }
}

/// Text for people.
enum Text {
    /// `1 value`, `2 values`.
    static func count(_ number: Int, _ word: String) -> String { "\(number) \(word)\(number == 1 ? "" : "s")" }

    /// A duration in two digits or so: `850 µs`, `12.3 ms`, `1.25 s`.
    static func duration(_ duration: Duration) -> String {
        let parts = duration.components
        let microseconds = parts.seconds * 1_000_000 + parts.attoseconds / 1_000_000_000_000
        switch microseconds {
        case ..<1000: return "\(microseconds) µs"
        case ..<100_000: return "\(microseconds / 1000).\(microseconds % 1000 / 100) ms"
        case ..<1_000_000: return "\(microseconds / 1000) ms"
        default:
            let hundredths = microseconds / 10_000 % 100
            return "\(microseconds / 1_000_000).\(hundredths < 10 ? "0" : "")\(hundredths) s"
        }
    }

    /// An amount of data in powers of 1000: `812 B`, `1.2 kB`, `34 MB`.
    static func bytes(_ count: UInt64) -> String {
        var (value, unit) = (count, "B")
        var tenth: UInt64 = 0
        for next in ["kB", "MB", "GB", "TB", "PB", "EB"] where value >= 1000 {
            tenth = value % 1000 / 100
            (value, unit) = (value / 1000, next)
        }
        return value < 10 && unit != "B" ? "\(value).\(tenth) \(unit)" : "\(value) \(unit)"
    }

    /// How long ago, coarsely: `4s`, `3m12s`, `5h07m`, `12d3h`.
    static func age(seconds: Int64) -> String {
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        switch max(seconds, 0) {
        case let short where short < 60: return "\(short)s"
        case let short where short < 3600: return "\(short / 60)m\(two(short % 60))s"
        case let short where short < 86400: return "\(short / 3600)h\(two(short % 3600 / 60))m"
        case let long: return "\(long / 86400)d\(long % 86400 / 3600)h"
        }
    }

    /// Breaks text at spaces into lines of at most `width` characters, where that is possible.
    static func wrap(_ text: String, width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, self.width(line) + 1 + self.width(word) > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? "\(word)" : " \(word)"
        }
        if !line.isEmpty || lines.isEmpty { lines.append(line) }
        return lines
    }

    /// How many columns of a terminal a text takes: two for wide characters of East Asian scripts and for pictures.
    /// Source: Unicode Standard Annex 11, the blocks that are wide throughout.
    static func width(_ text: some StringProtocol) -> Int {
        text.reduce(0) { sum, character in
            guard let first = character.unicodeScalars.first else { return sum }
            let isWide = wideBlocks.contains { $0.contains(first.value) }
            return sum + (isWide ? 2 : 1)
        }
    }

    private static let wideBlocks: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff,
        0xfe30...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f900...0x1f9ff, 0x20000...0x3fffd,
    ]

    static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - self.width(text)))
    }
}
