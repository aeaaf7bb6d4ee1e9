internal import ArgumentParser
internal import Concurrency
internal import EtcdClient
internal import Northbound

/// Where in etcd values are declared.
struct EtcdOptions: ParsableArguments, Sendable {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A member of the etcd that declares values, such as 192.0.2.1:2379; several with commas between them, or by giving this more than once. (default: no etcd)",
            valueName: "address"))
    var etcdEndpoints: [String] = []
    @Option(
        help: ArgumentHelp(
            "What all keys of all agents begin with; the label of this one and 'config/' follow.", valueName: "text"))
    var etcdPrefix = "/vnf-agent/"
    @Option(help: ArgumentHelp("Who may sign etcd's certificates, PEM.", valueName: "file"))
    var etcdCaFile: String?
    @Option(help: ArgumentHelp("The certificate that is shown to etcd, PEM.", valueName: "file"))
    var etcdCertFile: String?
    @Option(help: ArgumentHelp("The key of that certificate, PEM.", valueName: "file"))
    var etcdKeyFile: String?

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        _ = try endpoints()
        guard etcdPrefix.hasPrefix("/"), etcdPrefix.hasSuffix("/") else {
            throw ValidationError("--etcd-prefix '\(etcdPrefix)': it must begin and end with '/'")
        }
    }

    private func endpoints() throws -> [EtcdEndpoint] {
        try etcdEndpoints.flatMap { $0.split(separator: ",") }.map { text in
            guard let endpoint = EtcdEndpoint(String(text)) else {
                throw ValidationError(
                    "--etcd-endpoints '\(text)': host:port, https://host:port or unix:///path is needed")
            }
            return endpoint
        }
    }

    /// Nil: there is no etcd.
    func settings(label: String) throws -> EtcdSettings? {
        let endpoints = try endpoints()
        if endpoints.isEmpty { return nil }
        var client = EtcdConfiguration(endpoints: endpoints)
        if etcdCaFile != nil || etcdCertFile != nil || etcdKeyFile != nil {
            client.tls = .init(authorities: etcdCaFile, certificate: etcdCertFile, key: etcdKeyFile)
        }
        return EtcdSettings(client: client, label: label, root: etcdPrefix)
    }
}
