/// The value types of networking that every room shares: addresses, prefixes, MAC addresses, names.
///
/// Imports nothing, knows no kernel.
