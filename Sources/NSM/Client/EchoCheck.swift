internal import CLinux
internal import DescriptorTransport
internal import Glibc
internal import NetworkTypes

/// ICMP echoes between the addresses of a connection. Source: RFC 792, RFC 4443; icmp(7) for the datagram sockets.
struct EchoCheck: Sendable {
    /// How a check ended.
    enum Outcome: Sendable, Equatable {
        case alive
        /// No answer between these addresses.
        case dead(String)
        /// The kernel does not let us ask, for this reason.
        case unknown(String)
    }

    let timeout: Duration
    /// The namespace of the interface, as a path.
    let namespace: String
    private static let tries = 4

    /// Asks from each of the client's addresses the endpoint's of the same family. All pairs must answer; without a pair
    /// there is nothing to ask, and the path counts as alive.
    func run(_ context: NSMIPContext) async -> Outcome {
        for source in context.sourcePrefixes {
            for destination in context.destinationPrefixes where destination.family == source.family {
                let outcome = await ask(source.address, destination.address)
                if outcome != .alive { return outcome }
            }
        }
        return .alive
    }

    private func ask(_ source: IPAddress, _ destination: IPAddress) async -> Outcome {
        let socket: Descriptor
        do throws(DescriptorError) {
            socket = try open(source)
        } catch {
            return .unknown("\(error)")
        }
        // An address that is gone went with its interface.
        guard Self.withAddress(source, { bind(socket.number, $0, $1) }) == 0 else {
            return .dead("the address \(source) can't be used: \(String(cString: strerror(errno)))")
        }
        let step = timeout / Self.tries
        for number in 0..<Self.tries {
            let sent = send(socket.number, destination, sequence: UInt16(number))
            let end = ContinuousClock.now + step
            // Answers mostly come within a millisecond; the waits grow so that a dead path costs little.
            var wait = Duration.milliseconds(1)
            while ContinuousClock.now < end {
                guard (try? await Task.sleep(for: min(wait, step))) != nil else { return .unknown("cancelled") }
                var buffer = [UInt8](repeating: 0, count: 256)
                if sent, recv(socket.number, &buffer, buffer.count, Int32(MSG_DONTWAIT)) > 0 { return .alive }
                wait = wait * 2
            }
        }
        return .dead("no echo from \(destination) to \(source) within \(timeout)")
    }

    private func open(_ source: IPAddress) throws(DescriptorError) -> Descriptor {
        let space = try Descriptor.open(namespace, pathOnly: false)
        let own = try? Descriptor.open("/proc/self/ns/net", pathOnly: true)
        let domain = source.family == .v4 ? AF_INET : AF_INET6
        let type = Int32(SOCK_DGRAM.rawValue)
        let proto = source.family == .v4 ? Int32(IPPROTO_ICMP) : Int32(IPPROTO_ICMPV6)
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

    private func send(_ socket: Int32, _ destination: IPAddress, sequence: UInt16) -> Bool {
        // Type, code, checksum and identifier (both the kernel's), sequence number.
        let type: UInt8 = destination.family == .v4 ? 8 : 128
        let message: [UInt8] = [type, 0, 0, 0, 0, 0, UInt8(sequence >> 8), UInt8(sequence & 0xff)]
        return Self.withAddress(destination) { address, length in
            sendto(socket, message, message.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL), address, length) > 0
        }
    }

    private static func withAddress<Result>(
        _ address: IPAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch address.family {
        case .v4:
            length = MemoryLayout<sockaddr_in>.size
            storage.ss_family = sa_family_t(AF_INET)
        case .v6:
            length = MemoryLayout<sockaddr_in6>.size
            storage.ss_family = sa_family_t(AF_INET6)
        }
        return withUnsafeMutableBytes(of: &storage) { bytes in
            // Source: sin_addr and sin6_addr stand 4 and 8 bytes behind the start, linux/in.h and linux/in6.h.
            address.withNetworkOrderBytes { source in
                let offset = address.family == .v4 ? 4 : 8
                UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]).copyMemory(from: source)
            }
            return bytes.withMemoryRebound(to: sockaddr.self) { pointer in
                // The storage is never empty.
                body(UnsafePointer(pointer.baseAddress.unsafelyUnwrapped), socklen_t(length))
            }
        }
    }
}
