/// gRPC over Unix sockets that carry file descriptors beneath TLS, and over TCP, which carries none.
///
/// Imports `SPIFFE` for identities, and nothing of the mesh. Descriptors are attached to bytes that are already encrypted,
/// as the peers of Network Service Mesh do it.
