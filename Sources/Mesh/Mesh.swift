/// Network Service Mesh on one host: a manager, a registry and a forwarder that uses nothing but the kernel.
///
/// Imports `NSM` for the protocol and `Netlink` for the kernel, and nothing of the agent.
