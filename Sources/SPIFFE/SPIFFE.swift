/// Identities after the SPIFFE standards: SPIFFE ids, X.509 documents and their trust bundles, tokens signed with them, and
/// the Workload API, as a client and as a service.
///
/// Knows no transport but gRPC's, and nothing of the mesh.
