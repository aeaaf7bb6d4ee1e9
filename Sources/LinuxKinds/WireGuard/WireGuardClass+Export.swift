internal import Model
internal import Netlink
internal import NetworkTypes

extension WireGuardClass {
    /// Writes down what a WireGuard link has. Keys are never part of it; their files are, where declared values name them, and
    /// where they don't, what is missing is said.
    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        let what = "interface \(message.name)"
        let device: WireGuardDevice
        do throws(KernelError) {
            device = try known(of: link, export.world)
        } catch {
            export.omit(what, "is written down without its peers, as they can't be read: \(error)")
            return
        }
        let declared = (export.world.declarations.interfaces[message.name]?.value.kind as? WireGuardKind)?.spec
        message.wireguard.listenPort = UInt32(device.listenPort)
        message.wireguard.fwmark = device.firewallMark
        if let file = declared?.privateKeyFile {
            message.wireguard.privateKeyFile = file
        } else if device.privateKey != nil {
            export.omit(what, "has a private key; name its file in wireguard.private_key_file")
        }
        let files = Dictionary(
            (declared?.peers ?? []).map { ($0.key, $0.presharedKeyFile) }, uniquingKeysWith: { first, _ in first })
        for (key, peer) in device.peers.sorted(by: { $0.key < $1.key }) {
            var part = Ligato_Linux_Interfaces_WireguardPeer()
            part.publicKey = "\(key)"
            part.endpoint = peer.endpoint.map { "\($0)" } ?? ""
            part.allowedIps = peer.allowedIPs.sorted().map(\.description)
            part.persistentKeepalive = UInt32(peer.keepalive)
            if peer.presharedKey != nil {
                part.presharedKeyFile = (files[key] ?? nil) ?? ""
                if part.presharedKeyFile.isEmpty {
                    export.omit(
                        "\(what), peer \(key)",
                        "has a preshared key, which goes without preshared_key_file; name its file there")
                }
            }
            message.wireguard.peers.append(part)
        }
    }
}
