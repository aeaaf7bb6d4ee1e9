internal import Glibc
internal import NSM
internal import NetworkTypes
internal import Synchronization

/// Which interfaces are there. A seam to the kernel.
protocol InterfaceLookup: Sendable {
    /// The interface that has an address.
    func interface(with address: IPAddress) -> String?
    /// Whether there is an interface of this name.
    func exists(_ name: String) -> Bool
    /// The addresses of all interfaces whose names begin so.
    func addresses(ofInterfacesWith prefix: String) -> [IPAddress]
}

/// No interface at all.
struct NoInterfaces: InterfaceLookup {
    func interface(with address: IPAddress) -> String? { nil }
    func exists(_ name: String) -> Bool { false }
    func addresses(ofInterfacesWith prefix: String) -> [IPAddress] { [] }
}

extension SparedAddresses {
    private static let most = 65536

    /// The addresses that an endpoint's connections have when it begins, on interfaces whose names begin so.
    convenience init(ofInterfacesWith prefix: String, _ host: any InterfaceLookup) {
        let own = host.addresses(ofInterfacesWith: prefix).filter { !$0.isLinkLocal }.sorted()
        self.init(own.prefix(Self.most)) { host.interface(with: $0) != nil }
    }
}

/// The interfaces in the network namespace of this process.
final class HostInterfaces: InterfaceLookup {
    /// All addresses, as they were read. After a restart many clients ask at once, and reading is the work of all links.
    private let read = Mutex<(at: ContinuousClock.Instant, names: [IPAddress: String])?>(nil)
    private static let age = Duration.seconds(1)

    func exists(_ name: String) -> Bool { if_nametoindex(name) != 0 }

    func interface(with address: IPAddress) -> String? {
        recent { $0[address] }
    }

    func addresses(ofInterfacesWith prefix: String) -> [IPAddress] {
        recent { names in names.filter { $0.value.hasPrefix(prefix) }.map(\.key) }
    }

    private func recent<Result: Sendable>(_ look: ([IPAddress: String]) -> Result) -> Result {
        let now = ContinuousClock.now
        return read.withLock { read in
            if let read, now - read.at < Self.age { return look(read.names) }
            let names = Self.names()
            read = (now, names)
            return look(names)
        }
    }

    private static func names() -> [IPAddress: String] {
        var names: [IPAddress: String] = [:]
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return names }
        defer { freeifaddrs(first) }
        var next = first
        while let entry = next?.pointee {
            defer { next = entry.ifa_next }
            guard let own = entry.ifa_addr, let address = address(own), names[address] == nil else { continue }
            names[address] = String(cString: entry.ifa_name)
        }
        return names
    }

    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>) -> IPAddress? {
        let raw = UnsafeRawPointer(pointer)
        // Source: sin_addr and sin6_addr stand 4 and 8 bytes behind the start, linux/in.h and linux/in6.h.
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET: return IPAddress(networkOrder: UnsafeRawBufferPointer(start: raw + 4, count: 4))
        case AF_INET6: return IPAddress(networkOrder: UnsafeRawBufferPointer(start: raw + 8, count: 16))
        default: return nil
        }
    }
}
