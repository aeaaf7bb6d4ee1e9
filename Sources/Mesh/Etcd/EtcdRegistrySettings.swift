public import EtcdClient

/// The etcd that several meshes share as their registry.
public struct EtcdRegistrySettings: Sendable {
    /// How to talk to it.
    public var client: EtcdConfiguration
    /// What all keys of all meshes begin with; it begins and ends with `/`.
    public var root: String
    /// How long what this mesh wrote outlives it, seconds: 5 to 3600. It gives three signs of life in that time.
    public var leaseSeconds: Int64

    /// What keys begin with unless set.
    public static let defaultRoot = "/nsm-agent/registry/"
    /// The seconds of a lease unless set. A mesh that is started again, or an etcd, has that much time.
    public static let defaultLeaseSeconds: Int64 = 30
    /// What the seconds of a lease may be.
    public static let leaseRange: ClosedRange<Int64> = 5...3600

    /// Makes settings.
    public init(
        client: EtcdConfiguration, root: String = defaultRoot, leaseSeconds: Int64 = defaultLeaseSeconds
    ) {
        self.client = client
        self.root = root
        self.leaseSeconds = leaseSeconds
    }

    /// Its members, for people.
    var text: String { "etcd " + client.endpoints.map(\.description).joined(separator: ",") }
}
