/// Where the lines of a text, or the elements of a list, of a value stand in a file: for what a program says of them later.
public enum SourcePlaces: Hashable, Sendable {
    /// A place in a file, without its name.
    public struct Point: Hashable, Sendable {
        var line: UInt32
        var column: UInt32
    }

    /// A text that keeps its lines: how many there are, in which line of the file the first one is, and behind how many columns.
    case block(file: String, first: Int, columns: Int, count: Int)
    /// A text whose lines can't be told apart in the file.
    case scalar(SourcePosition)
    /// A list.
    case list(file: String, [Point])

    /// Where a place of the text is; nil: it is not of the user's text.
    public func position(line: Int, column: Int) -> SourcePosition? {
        switch self {
        case .block(let file, let first, let columns, let count):
            guard (1...max(count, 1)).contains(line) else { return nil }
            return SourcePosition(file: file, line: first + line - 1, column: column + columns)
        case .scalar(let position): return position
        case .list: return nil
        }
    }

    /// Where an element of the list is.
    public func position(element: Int) -> SourcePosition? {
        guard case .list(let file, let points) = self, points.indices.contains(element) else { return nil }
        return SourcePosition(file: file, line: Int(points[element].line), column: Int(points[element].column))
    }
}

extension Specification {
    /// The same, with the places of what programs read of it.
    func with(_ places: SourcePlaces?) -> Specification {
        switch self {
        case .ruleChain(var chain):
            chain.places = places
            return .ruleChain(chain)
        case .filterTable(var table):
            table.places = places
            return .filterTable(table)
        case .interface, .neighbour, .route, .allocation, .client, .endpoint, .service, .namespace, .rule, .forwarding,
            .qdisc, .nextHop:
            return self
        }
    }

    /// The places of what programs read of it.
    var places: SourcePlaces? {
        switch self {
        case .ruleChain(let chain): chain.places
        case .filterTable(let table): table.places
        case .interface, .neighbour, .route, .allocation, .client, .endpoint, .service, .namespace, .rule, .forwarding,
            .qdisc, .nextHop:
            nil
        }
    }
}
