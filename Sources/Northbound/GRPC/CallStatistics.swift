public import CoreMetrics
public import GRPCCore
internal import Synchronization

/// What calls of gRPC were made, and how long they took.
///
/// It counts for ``PrometheusRegistry`` as well, with the names and labels that servers in Go have.
public final class CallStatistics: Sendable {
    /// Calls of one method that have ended.
    struct Times: Sendable, Hashable {
        var count: UInt64 = 0
        /// Seconds.
        var total = 0.0
        var least = Double.infinity
        var most = 0.0

        mutating func add(_ seconds: Double) {
            count += 1
            total += seconds
            least = min(least, seconds)
            most = max(most, seconds)
        }
    }

    private let times = Mutex<[MethodDescriptor: Times]>([:])
    private let meters: [MethodDescriptor: Meters]

    /// Makes a table in which nothing was called yet.
    ///
    /// - Parameters:
    ///   - factory: Makes the counters.
    ///   - methods: Those that are counted; others are not, so that no caller makes up labels. The agent's unless given.
    public init(factory: any MetricsFactory = MetricsSystem.factory, methods: [MethodDescriptor]? = nil) {
        let methods = methods ?? Self.ownMethods
        meters = Dictionary(methods.map { ($0, Meters($0, factory)) }, uniquingKeysWith: { first, _ in first })
    }

    /// Calls of a service by method, sorted by name.
    func calls(of service: ServiceDescriptor) -> [(method: String, times: Times)] {
        times.withLock { times in times.filter { $0.key.service == service } }
            .map { ($0.key.method, $0.value) }.sorted { $0.0 < $1.0 }
    }

    /// The methods of the agent's own services.
    private static let ownMethods =
        Ligato_Generic_ManagerService.Method.descriptors + Ligato_Generic_MetaService.Method.descriptors
        + Ligato_Configurator_ConfiguratorService.Method.descriptors + Grpc_Health_V1_Health.Method.descriptors
        + Grpc_Reflection_V1_ServerReflection.Method.descriptors

    /// What counts the calls of a server.
    public var interceptor: any ServerInterceptor { CountingInterceptor(statistics: self) }

    func begin(_ method: MethodDescriptor) -> Meters? {
        let meters = meters[method]
        meters?.started.increment()
        return meters
    }

    func end(_ method: MethodDescriptor, _ code: Status.Code, _ time: Duration) {
        meters[method]?.end(code, time)
        times.withLock { $0[method, default: Times()].add(time.seconds) }
    }
}

extension CallStatistics {
    /// Counters of one method.
    struct Meters: Sendable {
        let started: Counter
        let received: Counter
        let sent: Counter
        private let time: Timer
        private let good: Counter
        private let labels: [(String, String)]
        private let factory: any MetricsFactory

        init(_ method: MethodDescriptor, _ factory: any MetricsFactory) {
            self.factory = factory
            labels = [
                ("grpc_method", method.method), ("grpc_service", method.service.fullyQualifiedService),
                ("grpc_type", Self.name(method.type)),
            ]
            started = Counter(label: "grpc_server_started_total", dimensions: labels, factory: factory)
            received = Counter(label: "grpc_server_msg_received_total", dimensions: labels, factory: factory)
            sent = Counter(label: "grpc_server_msg_sent_total", dimensions: labels, factory: factory)
            time = Timer(label: "grpc_server_handling_seconds", dimensions: labels, factory: factory)
            // There from the start, so that a rate is known when the first one comes.
            good = Counter(
                label: "grpc_server_handled_total", dimensions: labels + [("grpc_code", "OK")], factory: factory)
        }

        func end(_ code: Status.Code, _ duration: Duration) {
            let (seconds, attoseconds) = duration.components
            time.recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
            if code == .ok { return good.increment() }
            let labels = labels + [("grpc_code", CallStatistics.name(code))]
            Counter(label: "grpc_server_handled_total", dimensions: labels, factory: factory).increment()
        }

        private static func name(_ type: MethodDescriptor.RPCType?) -> String {
            switch type {
            case .clientStreaming: "client_stream"
            case .serverStreaming: "server_stream"
            case .bidirectionalStreaming: "bidi_stream"
            case .unary, nil: "unary"
            }
        }
    }

    /// As programs in Go call it.
    static func name(_ code: Status.Code) -> String {
        switch code {
        case .ok: "OK"
        case .cancelled: "Canceled"
        case .invalidArgument: "InvalidArgument"
        case .deadlineExceeded: "DeadlineExceeded"
        case .notFound: "NotFound"
        case .alreadyExists: "AlreadyExists"
        case .permissionDenied: "PermissionDenied"
        case .resourceExhausted: "ResourceExhausted"
        case .failedPrecondition: "FailedPrecondition"
        case .aborted: "Aborted"
        case .outOfRange: "OutOfRange"
        case .unimplemented: "Unimplemented"
        case .internalError: "Internal"
        case .unavailable: "Unavailable"
        case .dataLoss: "DataLoss"
        case .unauthenticated: "Unauthenticated"
        // Codes are numbers, of which more may come.
        default: "Unknown"
        }
    }
}

/// Counts the calls of a server.
struct CountingInterceptor: ServerInterceptor {
    let statistics: CallStatistics

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        let method = context.descriptor
        let start = ContinuousClock.now
        let end: @Sendable (Status.Code) -> Void = { statistics.end(method, $0, .now - start) }
        guard let meters = statistics.begin(method) else { return try await next(request, context) }
        var request = request
        request.messages = RPCAsyncSequence(
            wrapping: request.messages.map { message in
                meters.received.increment()
                return message
            })
        var response: StreamingServerResponse<Output>
        do {
            response = try await next(request, context)
        } catch {
            end(Self.code(error))
            throw error
        }
        switch response.accepted {
        case .failure(let error): end(Self.code(error))
        case .success(var contents):
            let produce = contents.producer
            contents.producer = { writer in
                do {
                    let trailer = try await produce(RPCWriter(wrapping: CountingWriter(writer, meters.sent)))
                    end(.ok)
                    return trailer
                } catch {
                    end(Self.code(error))
                    throw error
                }
            }
            response.accepted = .success(contents)
        }
        return response
    }

    private static func code(_ error: any Error) -> Status.Code {
        if let error = error as? RPCError { return Status.Code(error.code) }
        return error is CancellationError ? .cancelled : .unknown
    }
}

private struct CountingWriter<Element: Sendable>: RPCWriterProtocol {
    private let base: RPCWriter<Element>
    private let sent: Counter

    init(_ base: RPCWriter<Element>, _ sent: Counter) {
        self.base = base
        self.sent = sent
    }

    func write(_ element: Element) async throws {
        try await base.write(element)
        sent.increment()
    }

    func write(contentsOf elements: some Sequence<Element>) async throws {
        for element in elements { try await write(element) }
    }
}
