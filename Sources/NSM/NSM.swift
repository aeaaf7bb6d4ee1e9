/// Network Service Mesh, v1 API: clients, endpoints, and the registry's client. What a manager is made of beside them is here
/// too, for this package alone.
///
/// A program finds its mesh by the environment that stock clients know, see ``MeshEnvironment``. A client asks for a service
/// and keeps the connection, through refreshes, restarts of the manager and ends of endpoints, until it is told to close it:
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
/// Who has identities from elsewhere than the Workload API makes a ``Component`` with a `FileIdentity` or `FixedIdentity`, and
/// a ``PeerConnector`` with it. What goes wrong is thrown as ``NSMError``; what listens or connects throws `TransportError`,
/// identities throw `SPIFFEError`, and an endpoint refuses clients by ``EndpointRefusal``. Calls of a task that is cancelled
/// throw `CancellationError`.
///
/// Imports nothing of the agent. Identities come from `SPIFFE`, connections with descriptors from `MeshTransport`. What a
/// program needs beside this room comes with it: addresses and prefixes, identities, and where peers listen.

@_exported public import struct Concurrency.Timestamp
@_exported public import MeshTransport
@_exported public import NetworkTypes
@_exported public import SPIFFE
