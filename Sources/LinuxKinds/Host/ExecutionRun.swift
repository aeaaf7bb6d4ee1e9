internal import Netlink
internal import Reconciler

/// Results so far, and the namespaces for which requests wait.
struct ExecutionRun {
    private(set) var results: [OperationResult]
    var waiting: [NamespaceState] = []
    /// Our marks of links that are taken over: the namespace, the index, and the group.
    var lateMarks: [(state: NamespaceState, index: Int32, group: UInt32)] = []

    /// Stands for the operation of a request that belongs to none.
    static let nobody = -1

    private let operations: [LinuxOperation]

    init(_ operations: [LinuxOperation]) {
        self.operations = operations
        results = Array(repeating: .done, count: operations.count)
    }

    /// The operation with a number; nil: the number stands for no operation.
    func operation(_ number: Int) -> LinuxOperation? { number == Self.nobody ? nil : operations[number] }

    /// How many failed or were skipped.
    private var undone = 0
    /// Whether nothing failed and nothing was skipped.
    var isAllDone: Bool { undone == 0 }

    /// An operation that failed is tried again.
    mutating func startAfresh(_ operation: Int) {
        set(operation, .done)
        if refusal?.operation == operation { refusal = nil }
    }

    /// The first operation that the kernel refused, and its answer.
    private(set) var refusal: (operation: Int, error: KernelError)?

    /// - Parameter answer: what the kernel answered, when it was asked.
    mutating func set(_ operation: Int, _ result: OperationResult, _ answer: KernelError? = nil) {
        if operation == Self.nobody { return }
        if case .done = results[operation] {} else { undone -= 1 }
        results[operation] = result
        if case .done = result { return }
        undone += 1
        if let answer, refusal == nil { refusal = (operation, answer) }
    }

    /// Notes that requests wait for a namespace, when the first one does.
    mutating func dirty(_ state: NamespaceState) {
        if state.batched.count == 1 { waiting.append(state) }
    }
}
