/// Network Service Mesh, v1 API: clients, endpoints, and the registry's client. The parts that only a manager needs are here
/// too; they are not public.
///
/// A program finds its mesh by the environment that stock clients know, see ``MeshEnvironment``. A client asks for a service
/// and keeps the connection, through refreshes, restarts of the manager and ends of endpoints, until the program closes it:
///
/// ```swift
/// let mesh = try MeshAccess(logger: logger)
/// let client = NetworkServiceClient(
///     .init(id: "\(mesh.name)-0", networkService: "db", interfaceName: "nsm-db"), manager: mesh.manager)
/// try await mesh.run {
///     try await client.run(until: terminationSignal)
/// }
/// ```
///
/// An endpoint offers services, and gives their clients addresses, routes and name servers:
///
/// ```swift
/// let service = NetworkServiceEndpoint.Service(name: "db", ipam: PointToPointIPAM("10.0.0.0/24"))
/// let endpoint = NetworkServiceEndpoint(name: mesh.name, services: [service], manager: mesh.manager)
/// try await mesh.run {
///     try await endpoint.run(until: terminationSignal)
/// }
/// ```
///
/// For identities from elsewhere than the Workload API, make a ``Component`` with a `FileIdentity` or `FixedIdentity`, and a
/// ``PeerConnector`` with that. Calls throw ``NSMError``; listening and connecting throw `TransportError`, identities throw
/// `SPIFFEError`, and an endpoint refuses a client by throwing ``EndpointRefusal``. In a cancelled task, calls throw
/// `CancellationError`.
///
/// Imports nothing of the agent. Identities come from `SPIFFE`, connections with descriptors from `MeshTransport`. `import NSM`
/// also imports what programs need beside it: addresses and prefixes, identities, and socket addresses.

@_exported public import struct Concurrency.Timestamp
@_exported public import MeshTransport
@_exported public import NetworkTypes
@_exported public import SPIFFE
