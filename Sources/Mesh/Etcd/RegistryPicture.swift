internal import EtcdClient
internal import MeshTransport
internal import NSM

/// What the etcd that meshes share holds of other meshes. Pure: entries and events in, changes out.
///
/// An endpoint counts as long as its mesh says where it is.
struct RegistryPicture {
    /// What is new.
    enum Change: Hashable {
        case mesh(MeshRecord)
        case noMesh(MeshRecord)
        case endpoint(NSMNetworkServiceEndpoint, mesh: String)
        case noEndpoint(NSMNetworkServiceEndpoint, mesh: String)
        case service(NSMNetworkService, mesh: String)
        case noService(NSMNetworkService, mesh: String)
    }
    private struct Sized<Content> {
        let content: Content
        /// Bytes, as it is stored.
        let size: Int
    }
    private struct Mesh {
        var record: MeshRecord?
        var endpoints: [String: Sized<NSMNetworkServiceEndpoint>] = [:]
        var services: [String: Sized<NSMNetworkService>] = [:]

        var count: Int { endpoints.count + services.count }
        var isEmpty: Bool { record == nil && count == 0 }

        /// All that counts.
        func changes(_ name: String) -> [Change] {
            guard let record else { return [] }
            return [.mesh(record)] + endpoints.values.map { .endpoint($0.content.at(record), mesh: name) }
                + services.values.map { .service($0.content, mesh: name) }
        }
    }

    /// How much is taken.
    struct Limits {
        /// Meshes.
        var meshes = 4096
        /// Endpoints and services of one mesh.
        var ofMesh = 4096
        /// Those of all meshes.
        var all = 131_072
        /// Bytes of all values together.
        var bytes = 64 << 20
    }

    let root: String
    /// The name of this host's mesh, whose own records are somebody else's business.
    let own: String
    let limits: Limits
    private var meshes: [String: Mesh] = [:]
    private var count = 0
    private var bytes = 0

    init(root: String, own: String, limits: Limits = Limits()) {
        self.root = root
        self.own = own
        self.limits = limits
    }

    /// The meshes of which it is known where they are.
    var known: [MeshRecord] { meshes.values.compactMap(\.record) }

    /// Takes in all that there is. Calls `unfit` for each entry that is not used.
    mutating func replace(_ entries: [EtcdEntry], unfit: (EtcdEntry, RegistryRecord.Unfit) -> Void) -> [Change] {
        let before = meshes
        meshes = [:]
        (count, bytes) = (0, 0)
        for entry in entries {
            do throws(RegistryRecord.Unfit) {
                _ = try put(entry)
            } catch {
                unfit(entry, error)
            }
        }
        var changes: [Change] = []
        for (name, mesh) in before {
            changes += mesh.changes(name).filter { !has($0) }.compactMap(\.undone)
        }
        for (name, mesh) in meshes { changes += mesh.changes(name) }
        return changes
    }

    /// Whether there is now what a change is about, at the same address.
    func has(_ change: Change) -> Bool {
        switch change {
        case .mesh(let old), .noMesh(let old):
            guard let record = meshes[old.name]?.record else { return false }
            return old.address == record.address && old.id == record.id
        case .endpoint(let old, let mesh), .noEndpoint(let old, let mesh):
            guard let mesh = meshes[mesh], let record = mesh.record else { return false }
            return mesh.endpoints[old.name] != nil && old.url == record.address.url
        case .service(let old, let mesh), .noService(let old, let mesh):
            guard let mesh = meshes[mesh], mesh.record != nil else { return false }
            return mesh.services[old.name] != nil
        }
    }

    /// Takes in an entry that was written.
    ///
    /// - Throws: why it is not used. What it replaced is gone all the same; ``remove(_:)`` says so.
    mutating func put(_ entry: EtcdEntry) throws(RegistryRecord.Unfit) -> [Change] {
        guard let key = RegistryKey(entry.key, root: root) else {
            throw RegistryRecord.Unfit(description: "no mesh writes such a key")
        }
        if key.mesh == own { return [] }
        let record = try RegistryRecord(entry, as: key)
        try makeRoom(for: key, entry.value.count)
        return store(record, key, entry.value.count)
    }

    /// Takes in that a key is gone, or holds nothing that can be used.
    mutating func remove(_ key: [UInt8]) -> [Change] {
        guard let key = RegistryKey(key, root: root), var mesh = meshes[key.mesh] else { return [] }
        var changes: [Change] = []
        let record = mesh.record
        switch key {
        case .mesh:
            changes = mesh.changes(key.mesh).compactMap(\.undone)
            mesh.record = nil
        case .endpoint(let name, _):
            guard let old = mesh.endpoints.removeValue(forKey: name) else { return [] }
            leave(old.size)
            if let record { changes = [.noEndpoint(old.content.at(record), mesh: key.mesh)] }
        case .service(let name, _):
            guard let old = mesh.services.removeValue(forKey: name) else { return [] }
            leave(old.size)
            if record != nil { changes = [.noService(old.content, mesh: key.mesh)] }
        }
        meshes[key.mesh] = mesh.isEmpty ? nil : mesh
        return changes
    }

    // MARK: - Parts

    private mutating func leave(_ size: Int) {
        count -= 1
        bytes -= size
    }

    private func makeRoom(for key: RegistryKey, _ size: Int) throws(RegistryRecord.Unfit) {
        let mesh = meshes[key.mesh] ?? Mesh()
        let isNew = meshes[key.mesh] == nil
        let old: Int? =
            switch key {
            case .mesh: 0
            case .endpoint(let name, _): mesh.endpoints[name]?.size
            case .service(let name, _): mesh.services[name]?.size
            }
        let hasRoom = old != nil || (mesh.count < limits.ofMesh && count < limits.all)
        if hasRoom, !isNew || meshes.count < limits.meshes, bytes - (old ?? 0) + size <= limits.bytes { return }
        throw RegistryRecord.Unfit(
            description:
                "too many: its mesh has \(mesh.count) records, and all \(meshes.count) meshes \(count), of \(bytes) bytes"
        )
    }

    private mutating func store(_ content: RegistryRecord, _ key: RegistryKey, _ size: Int) -> [Change] {
        var mesh = meshes[key.mesh] ?? Mesh()
        defer { meshes[key.mesh] = mesh }
        switch content {
        case .mesh(let record):
            let old = mesh.record
            if old == record { return [] }
            let isMoved = old.map { $0.address != record.address || $0.id != record.id } ?? true
            let gone = isMoved ? mesh.changes(key.mesh).compactMap(\.undone) : []
            mesh.record = record
            return gone + (isMoved ? mesh.changes(key.mesh) : [.mesh(record)])
        case .endpoint(let endpoint):
            if let old = mesh.endpoints[endpoint.name] { leave(old.size) }
            mesh.endpoints[endpoint.name] = Sized(content: endpoint, size: size)
            enter(size)
            return mesh.record.map { [.endpoint(endpoint.at($0), mesh: key.mesh)] } ?? []
        case .service(let service):
            if let old = mesh.services[service.name] { leave(old.size) }
            mesh.services[service.name] = Sized(content: service, size: size)
            enter(size)
            return mesh.record == nil ? [] : [.service(service, mesh: key.mesh)]
        }
    }

    private mutating func enter(_ size: Int) {
        count += 1
        bytes += size
    }
}

extension RegistryPicture.Change {
    /// What takes it back.
    fileprivate var undone: Self? {
        switch self {
        case .mesh(let record): .noMesh(record)
        case .endpoint(let endpoint, let mesh): .noEndpoint(endpoint, mesh: mesh)
        case .service(let service, let mesh): .noService(service, mesh: mesh)
        case .noMesh, .noEndpoint, .noService: nil
        }
    }

    /// Whether it says that something is gone.
    var isLoss: Bool {
        switch self {
        case .noMesh, .noEndpoint, .noService: true
        case .mesh, .endpoint, .service: false
        }
    }
}

extension NSMNetworkServiceEndpoint {
    /// With the address of its mesh, of which clients of other hosts request it.
    fileprivate func at(_ mesh: MeshRecord) -> Self {
        var copy = self
        copy.url = mesh.address.url
        return copy
    }
}
