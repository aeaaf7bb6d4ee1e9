/// Keeps the connections of declared clients and endpoints: their sessions in the mesh, what those report, the names of their
/// interfaces, and the name servers they bring.
///
/// Knows the mesh and its two kinds of values, and neither the kernel nor the agent.
