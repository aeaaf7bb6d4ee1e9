/// Finds containers by a label in their environment or by their pod: Docker by HTTP, others by the Container Runtime
/// Interface. Knows nothing of values, nor of the kernel: it says what the engines say, bounded, and who may believe it
/// checks it.

/// By what a container is looked for.
public enum ContainerQuery: Hashable, Sendable, CustomStringConvertible {
    /// A container whose environment holds `MICROSERVICE_LABEL` with this text.
    case label(String)
    /// A pod of Kubernetes, `namespace/name`.
    case pod(String)

    /// The variable in the environment of a container that is its label.
    public static let variable = "MICROSERVICE_LABEL"

    /// What is looked for, for people.
    public var description: String {
        switch self {
        case .label(let label): "container with \(Self.variable)=\(label)"
        case .pod(let name): "pod \(name)"
        }
    }
}

/// A container that runs, as its engine says.
public struct Container: Hashable, Sendable {
    /// Its id, most often 64 hexadecimal digits; of a pod that of its sandbox.
    public var id: String
    /// The id of the container whose process `pid` is, which is part of the name of that one's control group. It is another
    /// one than `id` where an engine keeps the network of a pod without a process of its own.
    public var group: String
    /// Its name, for people.
    public var name: String
    /// The number of its first process, as the engine sees it.
    public var pid: Int32
    /// A file that refers to its network namespace, as the engine says; empty: it says none.
    public var namespaceFile: String
    /// By what it is found.
    public var queries: Set<ContainerQuery>
    /// When it was made, nanoseconds since 1970; 0: its engine does not say.
    public var created: Int64
    /// When this life of it began, nanoseconds since 1970; the largest number: its engine does not say, so that nobody is the
    /// first who has no time.
    public var started: Int64
    /// Whether its processes are frozen. Its network is there all the same.
    public var isPaused: Bool

    /// Makes a description.
    public init(
        id: String, group: String? = nil, name: String, pid: Int32, namespaceFile: String = "",
        queries: Set<ContainerQuery>, created: Int64, started: Int64, isPaused: Bool = false
    ) {
        self.id = id
        self.group = group ?? id
        self.name = name
        self.pid = pid
        self.namespaceFile = namespaceFile
        self.queries = queries
        self.created = created
        self.started = started
        self.isPaused = isPaused
    }

    /// `web (4f5a6b7c8d9e)`
    public var text: String { "\(name.isEmpty ? "container" : name) (\(id.prefix(12)))" }

    /// Whether it is the same life of the same container.
    func isSame(as other: Container) -> Bool { id == other.id && pid == other.pid }
}

/// What is known of what is looked for.
public enum ContainerAnswer: Hashable, Sendable {
    /// It runs.
    ///
    /// - Parameters:
    ///   - engine: Which engine says so: its socket.
    ///   - others: Further ones that are found by the same and are not meant, for people.
    case found(Container, engine: String, others: [String])
    /// It is not there, and why.
    case missing(String)
    /// An engine that could tell has not answered yet, and why.
    case unknown(String)
}

/// Where engines are, and which of two containers counts.
public struct ContainerSettings: Hashable, Sendable {
    /// What an engine speaks.
    public enum Speech: String, Hashable, Sendable {
        /// Docker's API: HTTP.
        case docker
        /// The Container Runtime Interface: gRPC.
        case cri
    }

    /// An engine.
    public struct Engine: Hashable, Sendable {
        /// What it speaks.
        public var speech: Speech
        /// The path of its Unix socket.
        public var socket: String

        /// Makes one.
        public init(_ speech: Speech, _ socket: String) {
            self.speech = speech
            self.socket = socket
        }
    }

    /// Those that are asked; one whose socket is not there is waited for.
    public var engines: [Engine]
    /// Whether settings name them. Then each of them has to answer before anything is taken to be missing; of the usual ones
    /// most hosts have only some, so that one answer is enough.
    public internal(set) var areNamed: Bool
    /// Of several containers with one label the newest counts, not the one that was first.
    public var prefersNewest: Bool
    /// How often an engine is asked that sends no events.
    public var pollInterval = Duration.seconds(1)
    /// How long an engine may take for an answer.
    public var patience = Duration.seconds(10)
    /// How long events are followed until all containers are listed anew.
    public var auditInterval = Duration.seconds(300)
    /// The longest wait between two tries to reach an engine.
    public var longestWait = Duration.seconds(5)
    /// How long an engine is left alone that speaks no CRI: it has to be started again for that.
    public var speechlessWait = Duration.seconds(30)
    /// How long until a container is looked at again that could not be looked at.
    public var secondLook = Duration.seconds(5)
    /// How long a socket that is not there is left alone.
    public var absence = Duration.seconds(1)
    /// How many running containers an engine may have.
    public var mostContainers = 20_000

    /// Where engines listen by default.
    public static let usual = [
        Engine(.docker, "/run/docker.sock"), Engine(.cri, "/run/containerd/containerd.sock"),
        Engine(.cri, "/run/crio/crio.sock"),
    ]

    /// Makes settings; without engines the usual ones are asked.
    public init(engines: [Engine]? = nil, prefersNewest: Bool = false) {
        self.engines = engines ?? Self.usual
        areNamed = engines != nil
        self.prefersNewest = prefersNewest
    }
}

/// Why an engine could not be asked.
public struct ContainerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong.
    public let description: String
    /// Whether the engine answers and knows nothing of the Container Runtime Interface.
    let isSpeechless: Bool

    init(_ description: String, isSpeechless: Bool = false) {
        self.description = description
        self.isSpeechless = isSpeechless
    }
}
