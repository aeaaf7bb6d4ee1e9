internal import Model
internal import SwiftProtobuf
public import Reconciler

/// Takes the next part of an answer; returns when there is room for another one.
public typealias Write<Part> = @Sendable (Part) async throws -> Void

/// Collects an answer in parts that stay far below what gRPC takes in one message unasked, 4 MiB.
private struct Parts<Part: Sendable> {
    /// About how many bytes are enough for a part.
    private static var enough: Int { 512 << 10 }

    /// What every part starts from.
    let start: Part
    let write: Write<Part>
    private var part: Part
    private var size = 0

    init(first: Part, start: Part, write: @escaping Write<Part>) {
        self.start = start
        self.write = write
        part = first
    }

    /// Adds something of about so many bytes.
    mutating func add(_ size: Int, _ change: (inout Part) -> Void) async throws {
        if self.size > 0, self.size + size > Self.enough {
            try await write(part)
            part = start
            self.size = 0
        }
        self.size += size
        change(&part)
    }

    /// Sends what is left; there is always at least one part.
    consuming func finish() async throws { try await write(part) }
}

/// Puts the parts of an answer together again.
protocol Joinable {
    /// Adds what the lists of a later part hold.
    mutating func join(_ part: Self)
}

// MARK: - Status

extension Nsmagent_Control_StatusResponse: Joinable {
    /// Sends this and the values, in parts.
    public func write(_ values: some Sequence<Nsmagent_Control_Value>, to write: @escaping Write<Self>) async throws {
        var head = self
        (head.mistakes, head.warnings, head.files, head.values) = ([], [], [], [])
        var parts = Parts(first: head, start: Self(), write: write)
        for text in mistakes { try await parts.add(text.size) { $0.mistakes.append(text) } }
        for text in warnings { try await parts.add(text.size) { $0.warnings.append(text) } }
        for text in files { try await parts.add(text.size) { $0.files.append(text) } }
        for value in values { try await parts.add(value.size) { $0.values.append(value) } }
        try await parts.finish()
    }

    mutating func join(_ part: Self) {
        mistakes += part.mistakes
        warnings += part.warnings
        files += part.files
        values += part.values
    }
}

extension Nsmagent_Control_Value {
    fileprivate var size: Int {
        64 + status.key.size + status.error.size + baseKey.size + summary.size
            + status.details.reduce(0) { $0 + $1.size }
    }
}

// MARK: - History

extension Nsmagent_Control_Transaction: Joinable {
    /// Sends a finished transaction, in parts; its start must be a time of the wall clock.
    public static func write(_ transaction: Transaction, to write: @escaping Write<Self>) async throws {
        let head = Self(head: transaction)
        var parts = Parts(first: head, start: head, write: write)
        for entry in transaction.entries {
            let operation = Nsmagent_Control_Operation(entry)
            try await parts.add(operation.size) { $0.operations.append(operation) }
        }
        try await parts.finish()
    }

    mutating func join(_ part: Self) { operations += part.operations }
}

extension Nsmagent_Control_Operation {
    fileprivate var size: Int { 32 + verb.size + key.size + summary.size + error.size }
}

// MARK: - Configuration

extension Nsmagent_Control_ConfigurationResponse: Joinable {
    /// Sends this and what was declared, in parts.
    public func write(_ past: HistoryStore.Past, to write: @escaping Write<Self>) async throws {
        var head = self
        var values: [ModelValue] = []
        switch past {
        case .values(let known, _): (head.known, values) = (true, known)
        case .unknown(let range): (head.first, head.last) = (range?.first ?? 0, range?.last ?? 0)
        case .unreadable(let count): head.unreadable = UInt64(clamping: count)
        }
        (head.files, head.sources) = ([], [])
        var parts = Parts(first: head, start: Self(), write: write)
        for text in files { try await parts.add(text.size) { $0.files.append(text) } }
        for text in sources { try await parts.add(text.size) { $0.sources.append(text) } }
        for value in values {
            var declared = Nsmagent_Control_DeclaredValue()
            declared.model = value.model.name
            declared.message = try value.message.serializedData()
            try await parts.add(declared.model.size + declared.message.count + 8) { $0.values.append(declared) }
        }
        try await parts.finish()
    }

    mutating func join(_ part: Self) {
        values += part.values
        files += part.files
        sources += part.sources
    }
}

// MARK: - Graph

extension Nsmagent_Control_GraphResponse: Joinable {
    /// Sends a graph, in parts. What an edge names without being a value becomes a node without a state.
    public static func write(
        _ values: [ValueStatus], edges: [GraphEdge], to write: @escaping Write<Self>
    ) async throws {
        var known: Set<String> = []
        var parts = Parts(first: Self(), start: Self(), write: write)
        for value in values {
            known.insert(value.key)
            let node = Nsmagent_Control_GraphNode(value.key, value.state, value.summary)
            try await parts.add(node.size) { $0.nodes.append(node) }
        }
        for edge in edges {
            if known.insert(edge.to).inserted {
                let node = Nsmagent_Control_GraphNode(edge.to, .nonexistent, edge.to)
                try await parts.add(node.size) { $0.nodes.append(node) }
            }
            let line = Nsmagent_Control_GraphEdge(edge)
            try await parts.add(16 + line.from.size + line.to.size) { $0.edges.append(line) }
        }
        try await parts.finish()
    }

    mutating func join(_ part: Self) {
        nodes += part.nodes
        edges += part.edges
    }
}

extension Nsmagent_Control_GraphNode {
    fileprivate var size: Int { 16 + key.size + label.size }
}

extension String {
    /// Bytes of the field.
    fileprivate var size: Int { utf8.count + 8 }
}
