internal import EtcdClient

/// How the controller works.
public struct ControllerSettings: Sendable {
    /// What the keys of all agents begin with.
    public var root = "/vnf-agent/"
    /// What the controller's own keys begin with. Controllers of several clusters at one etcd need different ones.
    public var ownRoot = "/cnf-crd/"
    /// The namespace whose resources count; nil: those of all do.
    public var namespace: String?
    /// Whose resources may write for which microservices.
    public var allowed = AllowList()
    /// Whether items of unknown models are stored unchecked.
    public var keepsUnknownModels = false
    /// Who this is among its replicas.
    public var identity: String
    /// How much one transaction holds.
    public var limits = KeyWork.Limits()

    /// Settings with which all resources count.
    public init(identity: String) { self.identity = identity }

    /// What stands before a resource's keys goes when it does, as long as this finalizer is on it.
    public static let finalizer = "cnf-crd.pantheon.tech/keys"
    /// By what name the controller writes to the API server.
    public static let manager = "cnf-crd"

    var records: KeyRecords { KeyRecords(root: ownRoot) }
    /// Holds the identity of the replica that may write.
    var leaderKey: String { ownRoot + "leader" }
}
