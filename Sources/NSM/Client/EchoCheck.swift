internal import CLinux
internal import MeshTransport
internal import Glibc
internal import NetworkTypes

/// An address of ours and one of the other end's that must reach each other through an interface.
struct EchoPath: Hashable {
    /// Its name; empty: whichever the routes say.
    let interface: String
    let source: IPAddress
    let destination: IPAddress

    /// Pairs of one family in which each address of a connection is once at least. Without any there is nothing to ask, and it
    /// counts as alive.
    ///
    /// Not each address with each: what a peer answers must not decide how much work that is.
    static func all(of connection: NSMConnection) -> [EchoPath] {
        let context = connection.context.ipContext
        return IPAddress.Family.allCases.flatMap { family in
            let sources = context.sourcePrefixes.map(\.address).filter { $0.family == family }
            let destinations = context.destinationPrefixes.map(\.address).filter { $0.family == family }
            guard !sources.isEmpty, !destinations.isEmpty else { return [EchoPath]() }
            return (0..<max(sources.count, destinations.count)).map { index in
                EchoPath(
                    interface: connection.mechanism.interfaceName, source: sources[index % sources.count],
                    destination: destinations[index % destinations.count])
            }
        }
    }
}

/// How an echo ended.
enum EchoOutcome: Sendable, Equatable {
    case alive
    /// No answer.
    case dead(String)
    /// The kernel does not let us ask, for this reason.
    case unknown(String)
}

/// ICMP echoes to many addresses at once. Source: RFC 792, RFC 4443; icmp(7) for the datagram sockets.
struct EchoCheck: Sendable {
    let timeout: Duration
    /// The namespace of the interfaces, as a path.
    let namespace: String
    private static let tries = 4
    /// Answers that may wait in a socket: its buffer holds some hundred.
    private static let burst = 64

    /// Whether all paths of one connection are alive.
    func run(_ paths: [EchoPath]) async -> EchoOutcome {
        await run(paths).first { $0 != .alive } ?? .alive
    }

    /// Asks all, and asks those again that don't answer, four times within the timeout.
    func run(_ paths: [EchoPath]) async -> [EchoOutcome] {
        var outcomes = [EchoOutcome](repeating: .alive, count: paths.count)
        // Sequence numbers have 16 bits.
        for start in stride(from: 0, to: paths.count, by: 0x10000) {
            let part = start..<min(start + 0x10000, paths.count)
            var round = Round(Array(paths[part]), in: namespace)
            await round.run(step: timeout / Self.tries, tries: Self.tries)
            outcomes.replaceSubrange(part, with: round.outcomes(timeout))
        }
        return outcomes
    }

    private struct Round {
        let paths: [EchoPath]
        /// By index of the path: whether it answered, and what the kernel said of the last try.
        private var isAlive: [Bool]
        private var errors: [Int32]
        private var waiting: Set<Int>
        private var sockets: [IPAddress.Family: Descriptor] = [:]
        private var reasons: [IPAddress.Family: String] = [:]
        private var isCancelled = false

        init(_ paths: [EchoPath], in namespace: String) {
            self.paths = paths
            isAlive = Array(repeating: false, count: paths.count)
            errors = Array(repeating: 0, count: paths.count)
            waiting = Set(paths.indices)
            for family in Set(paths.map(\.source.family)) {
                do throws(DescriptorError) {
                    sockets[family] = try Self.open(family, namespace)
                } catch {
                    reasons[family] = "\(error)"
                }
            }
        }

        mutating func run(step: Duration, tries: Int) async {
            for _ in 0..<tries where !waiting.isEmpty && !sockets.isEmpty && !isCancelled {
                sendAll()
                let end = ContinuousClock.now + step
                // Answers mostly come within a millisecond; the waits grow so that a dead path costs little.
                var wait = Duration.milliseconds(1)
                while !waiting.isEmpty, ContinuousClock.now < end {
                    guard (try? await Task.sleep(for: min(wait, step))) != nil else {
                        isCancelled = true
                        return
                    }
                    receive()
                    wait = wait * 2
                }
            }
        }

        func outcomes(_ timeout: Duration) -> [EchoOutcome] {
            paths.indices.map { index in
                let path = paths[index]
                if isAlive[index] { return .alive }
                if let reason = reasons[path.source.family] { return .unknown(reason) }
                if isCancelled { return .unknown("cancelled") }
                let route = "from \(path.source) to \(path.destination) through \(path.interface)"
                if errors[index] == 0 { return .dead("no echo \(route) within \(timeout)") }
                return .dead("echoes \(route): \(String(cString: strerror(-errors[index])))")
            }
        }

        private mutating func sendAll() {
            var indexes: [String: Int32] = [:]
            for (count, index) in waiting.sorted().enumerated() {
                let path = paths[index]
                guard let socket = sockets[path.source.family] else { continue }
                var interface: Int32 = 0
                if !path.interface.isEmpty {
                    interface = indexes[path.interface] ?? cl_interface_index(socket.number, path.interface)
                    indexes[path.interface] = interface
                }
                errors[index] = interface < 0 ? interface : Self.send(path, interface, UInt16(index), socket)
                // Of a peer on this host the answer is there already.
                if count % EchoCheck.burst == EchoCheck.burst - 1 { receive() }
            }
            receive()
        }

        private static func send(
            _ path: EchoPath, _ interface: Int32, _ sequence: UInt16, _ socket: Descriptor
        ) -> Int32 {
            let family = path.source.family == .v4 ? AF_INET : AF_INET6
            return path.source.withNetworkOrderBytes { source in
                path.destination.withNetworkOrderBytes { destination in
                    cl_send_echo(
                        socket.number, family, source.baseAddress, destination.baseAddress, interface, sequence)
                }
            }
        }

        private mutating func receive() {
            for (family, socket) in sockets {
                var sequence: UInt16 = 0
                var from = [UInt8](repeating: 0, count: 16)
                while true {
                    let result = cl_receive_echo(socket.number, &sequence, &from)
                    // Errors are those of single answers, such as an unreachable address.
                    if result == 0 { break }
                    guard result > 0, waiting.contains(Int(sequence)) else { continue }
                    let path = paths[Int(sequence)]
                    guard path.source.family == family,
                        path.destination.withNetworkOrderBytes({ $0.elementsEqual(from.prefix($0.count)) })
                    else { continue }
                    isAlive[Int(sequence)] = true
                    waiting.remove(Int(sequence))
                }
            }
        }

        private static func open(_ family: IPAddress.Family, _ namespace: String) throws(DescriptorError) -> Descriptor
        {
            let space = try Descriptor.open(namespace, pathOnly: false)
            let own = try? Descriptor.open("/proc/self/ns/net", pathOnly: true)
            let domain = family == .v4 ? AF_INET : AF_INET6
            let type = Int32(SOCK_DGRAM.rawValue)
            let proto = family == .v4 ? Int32(IPPROTO_ICMP) : Int32(IPPROTO_ICMPV6)
            let number: Int32
            if own?.inode == space.inode {
                let made = socket(domain, type | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), proto)
                number = made < 0 ? -errno : made
            } else {
                number = cl_socket_in_namespace(space.number, domain, type, proto)
            }
            guard number >= 0 else {
                throw DescriptorError(
                    "echoes can't be sent: \(String(cString: strerror(-number))); net.ipv4.ping_group_range must allow them"
                )
            }
            return try Descriptor(owning: number)
        }
    }
}
