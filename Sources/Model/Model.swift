/// What users write: the messages, their keys, and the checks that need no kernel.
///
/// Imports `YAML` and `NetworkTypes`, and knows neither Linux nor the mesh.
