import Foundation
import Glibc
import Netlink
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh

/// Tests that change the kernel run one after another: they count descriptors and events.
@Suite("On the kernel", .serialized) struct OnTheKernel {}

/// Namespaces of one test, and what `ip` says of them.
final class Spaces {
    private(set) var names: [String] = []
    private let prefix = "mf\(UInt32.random(in: 0...0xffff))"

    /// Makes a namespace with its loopback interface up.
    func make(_ name: String) throws -> NetworkNamespace {
        let full = "\(prefix)-\(name)"
        _ = try NetworkNamespace.create(named: full, directory: "/run/netns")
        names.append(full)
        try ip(name, "link set lo up")
        return try open(name)
    }

    func open(_ name: String) throws -> NetworkNamespace { try NetworkNamespace(path: "/run/netns/\(prefix)-\(name)") }

    @discardableResult
    func ip(_ name: String, _ words: String) throws -> String { try run("ip -n \(prefix)-\(name) \(words)") }

    @discardableResult
    func inside(_ name: String, _ words: String) throws -> String {
        try run("ip netns exec \(prefix)-\(name) \(words)")
    }

    /// What `ip -j` says, without the empty objects it writes for what it left out.
    func json(_ name: String, _ words: String) throws -> [[String: Any]] {
        let text = try ip(name, "-j -d \(words)")
        let objects = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]] ?? []
        return objects.filter { !$0.isEmpty }
    }

    func link(_ name: String, _ link: String) throws -> [String: Any] {
        try #require(try json(name, "link show").first { $0["ifname"] as? String == link })
    }

    func links(_ name: String) throws -> Set<String> {
        Set(try json(name, "link show").compactMap { $0["ifname"] as? String }).subtracting(["lo"])
    }

    /// Global addresses as `LOCAL/LENGTH`.
    func addresses(_ name: String, _ link: String) throws -> Set<String> {
        let infos = try json(name, "addr show dev \(link)").flatMap { $0["addr_info"] as? [[String: Any]] ?? [] }
        return Set(
            infos.filter { $0["scope"] as? String == "global" }.map { "\($0["local"] ?? "")/\($0["prefixlen"] ?? "")" })
    }

    /// Destinations in a table, of both families, without what the kernel made.
    func routes(_ name: String, table: String = "main") throws -> Set<String> {
        var result: Set<String> = []
        for family in ["-4", "-6"] {
            // A table that was never used is unknown to `ip`.
            for route in (try? json(name, "\(family) route show table \(table)")) ?? []
            where route["protocol"] as? String != "kernel" {
                let gateway = (route["gateway"] as? String).map { " via \($0)" } ?? ""
                result.insert("\(route["dst"] ?? "")\(gateway) dev \(route["dev"] ?? "")")
            }
        }
        return result
    }

    func remove() {
        for name in names { try? NetworkNamespace.remove(named: name, directory: "/run/netns") }
        names = []
    }

    deinit { remove() }

    /// How many descriptors of this process are these namespaces.
    static func held(_ spaces: [NetworkNamespace]) throws -> Int {
        let wanted = Set(spaces.map { "net:[\($0.inode)]" })
        return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter { number in
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(number)")
            return target.map(wanted.contains) ?? false
        }.count
    }
}

/// What the kernel tells of a namespace while something is done.
struct Listener {
    private let socket: EventSocket

    init(_ space: NetworkNamespace) throws {
        socket = try EventSocket(in: space, groups: [.links, .addresses, .routes, .rules])
    }

    var reports: [Report] {
        var reports: [Report] = []
        _ = socket.drain { reports.append($0) }
        return reports
    }
}

/// A connection of two namespaces with addresses of both families.
func pair(
    _ client: NetworkNamespace, _ endpoint: NetworkNamespace, id: String = "one", clientName: String = "nsm-1",
    endpointName: String = "srv-1"
) throws -> CrossConnect {
    var connection = CrossConnect(
        id: id, client: ConnectionEnd(namespace: client, name: clientName),
        endpoint: ConnectionEnd(namespace: endpoint, name: endpointName))
    connection.client.addresses = try prefixes("172.16.0.2/32", "2001:db8::2/128")
    connection.endpoint.addresses = try prefixes("172.16.0.1/32", "2001:db8::1/128")
    connection.client.peers = connection.endpoint.addresses
    connection.endpoint.peers = connection.client.addresses
    return connection
}

func prefixes(_ texts: String...) throws -> [IPPrefix] { try texts.map { try #require(IPPrefix($0)) } }
func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

/// Why the forwarder refuses; it must.
func refusal(_ body: () async throws -> Void) async -> ForwarderError? {
    do {
        try await body()
        Issue.record("nothing was refused")
        return nil
    } catch {
        if let error = error as? ForwarderError { return error }
        Issue.record("another error: \(error)")
        return nil
    }
}
