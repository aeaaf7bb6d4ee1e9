internal import ArgumentParser
internal import Mesh

/// The kinds of tunnels that `--tunnel` names, for a mesh and for a forwarder.
enum TunnelKinds {
    /// All, the preferred one first unless somebody says otherwise.
    static let all: [ForwarderMechanism] = [.vxlan, .wireGuard]

    static let help =
        "A kind of tunnels that is made, VXLAN or WIREGUARD, the preferred one first; no other is. Can be given more than once. WireGuard is encrypted, carries the payload IP, and needs a kernel that has it."

    /// The kinds of the option, each once.
    ///
    /// - Throws: `ValidationError`.
    static func parse(_ texts: [String]) throws -> [ForwarderMechanism] {
        try texts.reduce(into: []) { kinds, text in
            guard let kind = all.first(where: { $0.rawValue == text.uppercased() }) else {
                throw ValidationError("--tunnel '\(text)': there is VXLAN and WIREGUARD")
            }
            if !kinds.contains(kind) { kinds.append(kind) }
        }
    }
}
