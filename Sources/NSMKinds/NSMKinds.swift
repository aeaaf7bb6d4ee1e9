/// Clients and endpoints of network services as values: what is declared, and what follows from the connections.
///
/// Knows the models and the mesh's messages, and neither who keeps the connections nor the kernel.
