/// Where wishes come from and status goes to: files, and the control service of a running agent.
///
/// Imports `Model` and `Reconciler`, and knows neither the kernel nor the mesh.
