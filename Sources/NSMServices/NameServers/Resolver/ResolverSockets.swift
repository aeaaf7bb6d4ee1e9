internal import Glibc
internal import NetworkTypes

/// The sockets at which the resolver is asked: its own, or those that a service manager handed over.
struct ResolverSockets: Sendable {
    /// Why there are none.
    struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// What failed, and what to do.
        let description: String
        /// Whether somebody else listens there.
        var isTaken = false
    }

    let address: ResolverAddress
    /// Closed by who uses them. nil: none of that kind was handed over.
    let datagram: Int32?
    let stream: Int32?

    /// Opens sockets at an address.
    static func bind(_ address: ResolverAddress) throws(Failure) -> ResolverSockets {
        let datagram = try open(address, Int32(SOCK_DGRAM.rawValue))
        do {
            return ResolverSockets(
                address: address, datagram: datagram, stream: try open(address, Int32(SOCK_STREAM.rawValue)))
        } catch {
            close(datagram)
            throw error
        }
    }

    private static func open(_ place: ResolverAddress, _ type: Int32) throws(Failure) -> Int32 {
        let descriptor = socket(
            Int32(place.address.family.rawValue),
            type | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw failure(place, errno) }
        var on: Int32 = 1
        let isStream = type == Int32(SOCK_STREAM.rawValue)
        // Streams that ended a moment ago are in nobody's way.
        if isStream { setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) }
        if place.address.family == .v6 {
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        guard place.withSocketAddress({ Glibc.bind(descriptor, $0, $1) }) == 0,
            !isStream || listen(descriptor, 64) == 0
        else {
            let code = errno
            close(descriptor)
            throw failure(place, code)
        }
        return descriptor
    }

    private static func failure(_ place: ResolverAddress, _ code: Int32) -> Failure {
        let reason = String(cString: strerror(code))
        let advice =
            switch code {
            case EACCES, EPERM:
                "it needs CAP_NET_BIND_SERVICE, or net.ipv4.ip_unprivileged_port_start=\(place.port) in this network namespace, or a socket unit that hands the socket over"
            case EADDRINUSE: "name another address, such as 127.0.0.3:53, with --dns-address"
            default: "name an address of this network namespace with --dns-address"
            }
        return Failure(
            description: "the resolver can't listen at \(place): \(reason); \(advice)", isTaken: code == EADDRINUSE)
    }

    // MARK: - Sockets that were handed over

    /// The first descriptor that is handed over. Source: sd_listen_fds(3).
    private static let firstHanded: Int32 = 3
    /// More are nobody's for us.
    private static let mostHanded: Int32 = 64

    /// Copies of the sockets that a service manager handed over; nil: none that asks us.
    ///
    /// - Parameter variable: Looks up a variable of the environment.
    static func handed(
        _ variable: (String) -> String?, first: Int32 = firstHanded, process: pid_t = getpid()
    ) throws(Failure) -> ResolverSockets? {
        guard variable("LISTEN_PID").flatMap({ pid_t($0) }) == process,
            let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), count > 0
        else { return nil }
        var address: ResolverAddress?
        var found: [Int32: Int32] = [:]
        for descriptor in first..<(first + min(count, mostHanded)) {
            guard let type = number(descriptor, SO_TYPE), let place = ResolverAddress(boundTo: descriptor),
                found[type] == nil
            else { continue }
            // One that does not listen yet is not one of a service manager.
            if type == Int32(SOCK_STREAM.rawValue), number(descriptor, SO_ACCEPTCONN) != 1 { continue }
            if let address, address != place { continue }
            address = place
            found[type] = descriptor
        }
        guard let address, let datagram = found[Int32(SOCK_DGRAM.rawValue)] else {
            if found.isEmpty { return nil }
            throw Failure(description: "the socket unit hands over no datagram socket; it needs ListenDatagram=")
        }
        let copied = try copy(datagram)
        do throws(Failure) {
            let stream = try found[Int32(SOCK_STREAM.rawValue)].map { descriptor throws(Failure) in
                try copy(descriptor)
            }
            return ResolverSockets(address: address, datagram: copied, stream: stream)
        } catch {
            close(copied)
            throw error
        }
    }

    private static func copy(_ descriptor: Int32) throws(Failure) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else {
            throw Failure(description: "a socket that was handed over: \(String(cString: strerror(errno)))")
        }
        return copy
    }

    private static func number(_ descriptor: Int32, _ option: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 ? value : nil
    }
}

extension ResolverAddress {
    /// The address of a socket of the Internet; nil for others.
    init?(boundTo descriptor: Int32) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        let family = Int32(storage.ss_family)
        let found = withUnsafeBytes(of: storage) { bytes -> (IPAddress?, UInt16)? in
            // The port follows the family in both; the address of IPv6 follows the flow.
            let port = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
            switch family {
            case AF_INET: return (IPAddress(networkOrder: UnsafeRawBufferPointer(rebasing: bytes[4..<8])), port)
            case AF_INET6: return (IPAddress(networkOrder: UnsafeRawBufferPointer(rebasing: bytes[8..<24])), port)
            default: return nil
            }
        }
        guard let (address, port) = found, let address, port > 0 else { return nil }
        self.init(address, port: port)
    }

    /// Whether the kernel says that nobody takes datagrams there. In doubt, somebody does.
    var isDeserted: Bool {
        let descriptor = socket(
            Int32(address.family.rawValue),
            Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard withSocketAddress({ connect(descriptor, $0, $1) }) == 0 else { return false }
        // A byte is no question, so a resolver is silent. Without one, the kernel says so; on the loopback at once.
        var byte: UInt8 = 0
        guard send(descriptor, &byte, 1, 0) == 1 else { return errno == ECONNREFUSED }
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 100) == 1 else { return false }
        return recv(descriptor, &byte, 1, 0) < 0 && errno == ECONNREFUSED
    }

    /// Calls `body` with the address as the kernel takes it.
    fileprivate func withSocketAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        storage.ss_family = sa_family_t(address.family.rawValue)
        let length = withUnsafeMutableBytes(of: &storage) { bytes in
            bytes.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
            address.withNetworkOrderBytes { from in
                UnsafeMutableRawBufferPointer(rebasing: bytes[(address.family == .v4 ? 4 : 8)...]).copyMemory(
                    from: from)
            }
            return address.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        }
        return withUnsafePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }
}
