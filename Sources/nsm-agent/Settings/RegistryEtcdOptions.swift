internal import ArgumentParser
internal import EtcdClient
internal import Logging
internal import Mesh

/// The etcd that several meshes share as their registry.
struct RegistryEtcdOptions: ParsableArguments, Sendable {
    @OptionGroup var member: EtcdClientOptions
    @Option(
        help: ArgumentHelp(
            "What all keys of the meshes begin with; the same on all hosts.", valueName: "text"))
    var etcdPrefix = EtcdRegistrySettings.defaultRoot
    @Option(
        help: ArgumentHelp(
            "How long what this mesh wrote to etcd outlives it: 5 to 3600.", valueName: "seconds"))
    var etcdLeaseSeconds = EtcdRegistrySettings.defaultLeaseSeconds

    mutating func validate() throws {
        guard etcdPrefix.hasPrefix("/"), etcdPrefix.hasSuffix("/"), (2...512).contains(etcdPrefix.utf8.count) else {
            throw ValidationError(
                "--etcd-prefix '\(etcdPrefix)': it must begin and end with '/', in at most 512 bytes")
        }
        guard EtcdRegistrySettings.leaseRange.contains(etcdLeaseSeconds) else {
            throw ValidationError("--etcd-lease-seconds '\(etcdLeaseSeconds)': 5 to 3600 is needed")
        }
    }

    /// How it is used with `--registry etcd`.
    ///
    /// - Parameter other: The etcd from which the agent has its values, for when no other is named.
    func settings(or other: EtcdConfiguration?, logger: Logger) throws -> EtcdRegistrySettings {
        guard let client = try member.client(logger: logger)?.client ?? other else {
            throw ValidationError("--registry etcd needs --etcd-endpoints or --etcd-config")
        }
        return EtcdRegistrySettings(client: client, root: etcdPrefix, leaseSeconds: etcdLeaseSeconds)
    }
}
