/// What tasks, threads and time need, and several rooms would write again: waits that can be cancelled, gates, queues,
/// broadcasts, threads that actors live on, moments and their texts.
///
/// Imports nothing of ours, and knows neither the network nor the mesh.
