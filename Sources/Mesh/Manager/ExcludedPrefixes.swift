internal import NetworkTypes

/// Prefixes that addresses of connections must not be taken from: what this host uses, and what its operator names.
struct ExcludedPrefixes: Hashable {
    /// In order, without those that lie inside others.
    let prefixes: [IPPrefix]

    /// - Parameters:
    ///   - addresses: of the host's interfaces, with their networks.
    ///   - routes: destinations of the host's routes.
    ///   - configured: what the operator names; only they may exclude all.
    init(addresses: [IPPrefix], routes: [IPPrefix], configured: [IPPrefix]) {
        let used = (addresses + routes).map(\.network).filter { prefix in
            // Everybody has loopback and link-local addresses, and a default route says nothing of who uses what.
            prefix.length > 0 && !prefix.address.isLoopback && !prefix.address.isLinkLocal
                && !prefix.address.isMulticast && !prefix.address.isUnspecified
        }
        var kept: [IPPrefix] = []
        // A prefix sorts before those inside it.
        for prefix in (used + configured.map(\.network)).sorted()
        where !(kept.last.map { $0.contains(prefix.address) && $0.length <= prefix.length } ?? false) {
            kept.append(prefix)
        }
        prefixes = kept
    }
}
