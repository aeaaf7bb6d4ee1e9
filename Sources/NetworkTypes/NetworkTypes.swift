/// The value types of networking that every room shares: addresses, prefixes, MAC addresses, names, and the
/// numbers by which owners tell what is theirs.
///
/// Imports nothing, knows no kernel.
