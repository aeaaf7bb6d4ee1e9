/// The kernel's network objects over netlink: sockets bound to a namespace, batches of requests, dumps, events, and the codec of
/// each class of objects.
///
/// Imports the C libraries and `NetworkTypes`, and has no policy: what should be in the kernel others say.
