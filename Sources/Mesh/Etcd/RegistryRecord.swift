internal import EtcdClient
internal import MeshTransport
internal import NSM
internal import NetworkTypes
internal import SPIFFE
internal import SwiftProtobuf

/// What a mesh says of itself to others.
struct MeshRecord: Hashable, Sendable {
    /// Its name in paths.
    let name: String
    /// Where other hosts reach it: a TCP address.
    let address: SocketAddress
    /// Who must answer there; nil: it does not say. What etcd says proves nothing: it can only narrow down who is trusted.
    let id: SPIFFEID?
    /// How long what it wrote outlives it, seconds.
    let leaseSeconds: Int64
    /// Differs after each start.
    let process: String

    /// As it is stored.
    var bytes: [UInt8] {
        var message = Nsmagent_Registry_Mesh()
        message.name = name
        message.url = address.url
        message.id = id?.description ?? ""
        message.leaseSeconds = UInt32(clamping: leaseSeconds)
        message.process = process
        return RegistryRecord.bytes(message)
    }
}

/// What is stored under a key of the etcd that meshes share. Whoever may write there may have written it.
enum RegistryRecord: Hashable, Sendable {
    case mesh(MeshRecord)
    /// Without an address: that of its mesh counts.
    case endpoint(NSMNetworkServiceEndpoint)
    case service(NSMNetworkService)

    /// Why a record is not used, for people.
    struct Unfit: Error, CustomStringConvertible {
        let description: String

        /// - Parameter description: Of which 1024 bytes are kept: it may quote what somebody else wrote.
        init(description: String) { self.description = description.prefix(bytes: 1024) }
    }

    /// Bytes of a value: of a registration, which JSON makes longer.
    static let largest = 2 * RegistryStore.largest
    private static let longestProcess = 64

    /// Reads what is stored under a key.
    ///
    /// - Throws: ``Unfit``.
    init(_ entry: EtcdEntry, as key: RegistryKey) throws(Unfit) {
        guard entry.value.count <= Self.largest else {
            throw Unfit(description: "it has \(entry.value.count) bytes; at most \(Self.largest) are taken")
        }
        guard entry.lease != 0 else {
            throw Unfit(description: "it has no lease, so nobody says that it still holds")
        }
        switch key {
        case .mesh(let name): self = .mesh(try Self.mesh(entry.value, name))
        case .endpoint(let name, _): self = .endpoint(try Self.endpoint(entry.value, name))
        case .service(let name, _): self = .service(try Self.service(entry.value, name))
        }
    }

    // MARK: - Reading

    private static func message<Message: SwiftProtobuf.Message>(
        _ bytes: [UInt8], _ type: Message.Type
    ) throws(Unfit) -> Message {
        var options = JSONDecodingOptions()
        // Later versions may say more.
        options.ignoreUnknownFields = true
        options.messageDepthLimit = 16
        do {
            return try Message(jsonUTF8Bytes: bytes, options: options)
        } catch {
            throw Unfit(description: "it can't be read: \(error)")
        }
    }

    private static func check(_ name: String, _ wanted: String, _ what: String, _ size: Int) throws(Unfit) {
        guard name == wanted else {
            throw Unfit(description: "it is called '\(name.prefix(bytes: 253))', unlike its key")
        }
        do {
            try RegistryStore.check(name, what, size)
        } catch {
            throw Unfit(description: error.description)
        }
    }

    /// Reads what a mesh says of itself.
    ///
    /// - Throws: ``Unfit``.
    static func mesh(_ bytes: [UInt8], _ name: String) throws(Unfit) -> MeshRecord {
        let message = try message(bytes, Nsmagent_Registry_Mesh.self)
        try check(message.name, name, "a mesh", bytes.count)
        // Names would have to be resolved by what somebody else wrote.
        guard case .tcp(let host, let port)? = SocketAddress(url: message.url), port > 0,
            let address = IPAddress(host), !address.isUnspecified, !address.isMulticast
        else {
            throw Unfit(description: "'\(message.url.prefix(bytes: 253))' is not tcp:// with an address and a port")
        }
        guard EtcdRegistrySettings.leaseRange.contains(Int64(message.leaseSeconds)) else {
            throw Unfit(description: "a lease of \(message.leaseSeconds) s; 5 to 3600 s are taken")
        }
        guard (1...longestProcess).contains(message.process.utf8.count) else {
            throw Unfit(description: "its process has a name of \(message.process.utf8.count) bytes")
        }
        var id: SPIFFEID?
        if !message.id.isEmpty {
            do {
                id = try SPIFFEID(message.id)
            } catch {
                throw Unfit(description: error.description)
            }
        }
        return MeshRecord(
            name: name, address: .tcp(host: "\(address)", port: port), id: id,
            leaseSeconds: Int64(message.leaseSeconds), process: message.process)
    }

    private static func endpoint(_ bytes: [UInt8], _ name: String) throws(Unfit) -> NSMNetworkServiceEndpoint {
        let endpoint = try message(bytes, NSMNetworkServiceEndpoint.self)
        try check(endpoint.name, name, "an endpoint", (try? endpoint.serializedData().count) ?? .max)
        guard endpoint.networkServiceNames.count <= RegistryStore.mostServices else {
            throw Unfit(description: "it offers more than \(RegistryStore.mostServices) services")
        }
        return endpoint.shared
    }

    private static func service(_ bytes: [UInt8], _ name: String) throws(Unfit) -> NSMNetworkService {
        var service = try message(bytes, NSMNetworkService.self)
        try check(service.name, name, "a service", (try? service.serializedData().count) ?? .max)
        service.pathIds = []
        return service
    }

    // MARK: - Writing

    /// A message as it is stored: the same bytes for the same message.
    static func bytes(_ message: some SwiftProtobuf.Message) -> [UInt8] {
        var options = JSONEncodingOptions()
        options.useDeterministicOrdering = true
        // Texts are valid and moments are set by nobody, so there is nothing that JSON could not say.
        return (try? message.jsonUTF8Bytes(options: options)) ?? []
    }
}

extension NSMNetworkServiceEndpoint {
    /// What other hosts are told of it: not where its socket is, who registered it, and until when.
    var shared: Self {
        var shared = withoutTimes
        shared.url = ""
        shared.pathIds = []
        return shared
    }
}

extension String {
    /// As much of the beginning as fits into so many bytes of UTF-8. A character can have any number of bytes.
    func prefix(bytes most: Int) -> String {
        guard var end = utf8.index(startIndex, offsetBy: most, limitedBy: endIndex) else { return String(self) }
        while end.samePosition(in: unicodeScalars) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
