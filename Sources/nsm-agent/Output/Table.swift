/// Lines with aligned columns. The last column is broken into several lines when the terminal is too narrow.
struct Table {
    struct Cell {
        var text: String
        var colour: Terminal.Colour?

        init(_ text: String, _ colour: Terminal.Colour? = nil) {
            self.text = text.withoutControls
            self.colour = colour
        }
    }

    private enum Row {
        case cells([Cell])
        case heading(Cell)
    }

    private let header: [String]
    private var rows: [Row] = []
    /// The last column is not made narrower than this.
    private static let leastWidth = 24

    init(_ header: String...) { self.header = header }

    mutating func add(_ cells: Cell...) { add(cells) }

    mutating func add(_ cells: [Cell]) { rows.append(.cells(cells)) }

    /// Adds a line of its own, across all columns.
    mutating func addHeading(_ text: String, _ colour: Terminal.Colour? = nil) {
        rows.append(.heading(Cell(text, colour)))
    }

    func text(_ terminal: Terminal) -> String {
        var widths = header.map(Text.width)
        for case .cells(let row) in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], Text.width(cell.text)) }
        }
        let left = widths.dropLast().reduce(0) { $0 + $1 + 2 }
        let room = terminal.width.map { max($0 - left, Self.leastWidth) }
        var text = ""
        append(header.map { Cell($0, .bold) }, widths, left, nil, terminal, &text)
        for row in rows {
            switch row {
            case .cells(let cells): append(cells, widths, left, room, terminal, &text)
            case .heading(let cell): text += terminal.paint(cell.text, cell.colour) + "\n"
            }
        }
        return text
    }

    private func append(
        _ row: [Cell], _ widths: [Int], _ left: Int, _ room: Int?, _ terminal: Terminal, _ text: inout String
    ) {
        var line = ""
        for (column, cell) in row.enumerated().dropLast() {
            line += terminal.paint(cell.text, cell.colour)
            line += String(repeating: " ", count: widths[column] + 2 - Text.width(cell.text))
        }
        guard let last = row.last else { return }
        let parts = room.map { Text.wrap(last.text, width: $0) } ?? [last.text]
        for (number, part) in parts.enumerated() {
            if number > 0 { line = String(repeating: " ", count: left) }
            line += terminal.paint(part, last.colour)
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
    }
}

extension String {
    /// The text with a mark in the place of control characters. Peers choose names, and those must not steer the terminal of
    /// the one who reads them.
    var withoutControls: String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool {
            scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
        }
        guard unicodeScalars.contains(where: isControl) else { return self }
        return String(String.UnicodeScalarView(unicodeScalars.map { isControl($0) ? "\u{fffd}" : $0 }))
    }
}
