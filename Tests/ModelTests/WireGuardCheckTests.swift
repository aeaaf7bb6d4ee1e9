import Model
import Testing

@Suite("WireGuard interfaces are checked")
struct WireGuardCheckTests {
    private static let key = "nWd6zmmpbdDvaOuvgPSnBkEU+YnvB0pfC7Yd6ZhioHs="
    private static let other = "se19BmIZ096vj0p13JTyRvgq3JfVqHsXvkxc0yCXDn8="

    private func found(_ block: String, _ more: String = "") -> [String] {
        mistakes("linuxConfig:\n  interfaces:\n    - {name: a, type: WIREGUARD, wireguard: {\(block)}\(more)}\n")
    }

    private func peers(_ peers: String...) -> String { "peers: [\(peers.map { "{\($0)}" }.joined(separator: ", "))]" }

    @Test("what is right")
    func right() {
        #expect(found("") == [])
        for endpoint in [
            "192.0.2.1:1", "'[2001:db8::1]:65535'", "vpn.example:51820", "localhost:7", "a-b_c.example.:7",
            "7up.example:7",
        ] {
            #expect(found(peers("publicKey: \(Self.key), endpoint: \(endpoint)")) == [], "\(endpoint)")
        }
        #expect(
            found(
                "privateKeyFile: /etc/wireguard/key, listenPort: 51820, fwmark: 4294967295, "
                    + peers(
                        "publicKey: \(Self.key), presharedKeyFile: /k, allowedIps: [10.0.0.1/8, '::/0'], persistentKeepalive: 65535",
                        "publicKey: \(Self.other), allowedIps: [0.0.0.0/0]")) == [])
    }

    @Test(
        "what is wrong, and where",
        arguments: [
            (
                "privateKeyFile: key",
                "private_key_file has to be the absolute path of a file; a key itself has no place"
            ),
            ("listenPort: 65536", "wireguard.listen_port '65536' is out of range"),
            ("peers: [{}]", "wireguard.peers[0].public_key is missing"),
            ("peers: [{publicKey: abc}]", "peers[0].public_key is not a public key, 44 characters of base64"),
            (
                "peers: [{publicKey: \(key)}, {publicKey: \(key)}]",
                "peers[1].public_key is there twice"
            ),
            (
                "peers: [{publicKey: \(key), allowedIps: [10.0.0.1/8]}, {publicKey: \(other), allowedIps: [10.9.0.0/8]}]",
                "peers[1].allowed_ips[0] '10.9.0.0/8' is behind peer 0 of the list already"
            ),
            (
                "peers: [{publicKey: \(key), allowedIps: [10.0.0.1/33]}]",
                "allowed_ips[0] '10.0.0.1/33' is not an IP prefix"
            ),
            (
                "peers: [{publicKey: \(key), persistentKeepalive: 65536}]",
                "persistent_keepalive '65536' is out of range"
            ),
            ("peers: [{publicKey: \(key), endpoint: '192.0.2.1'}]", "endpoint '192.0.2.1' is not ADDRESS:PORT"),
            ("peers: [{publicKey: \(key), endpoint: '192.0.2.1:0'}]", "is not ADDRESS:PORT"),
            ("peers: [{publicKey: \(key), endpoint: '2001:db8::1:7'}]", "needs brackets around its IPv6 address"),
            ("peers: [{publicKey: \(key), endpoint: '0.0.0.0:7'}]", "is not the address of one host"),
            ("peers: [{publicKey: \(key), endpoint: '192.0.2.256:7'}]", "has neither an address nor a host name"),
            ("peers: [{publicKey: \(key), endpoint: 'a b:7'}]", "has neither an address nor a host name"),
            ("peers: [{publicKey: \(key), endpoint: '-a:7'}]", "has neither an address nor a host name"),
            ("peers: [{publicKey: \(key), presharedKeyFile: x}]", "preshared_key_file has to be the absolute path"),
        ])
    func wrong(_ block: String, _ text: String) {
        let found = found(block)
        #expect(found.count == 1 && found[0].contains(text), "\(found)")
    }

    @Test("a key in the place of its file is not repeated")
    func secret() {
        let text = found("privateKeyFile: mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=")
        #expect(text.count == 1 && !text[0].contains("mEHZ"), "\(text)")
    }

    @Test("a key is repeated nowhere, whatever stands in its place and wherever it stands")
    func pastedKeys() {
        // One key in 64 begins with a slash.
        for key in ["mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=", "/EHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w="] {
            for block in [
                "privateKeyFile: \(key)", "privateKeyFile: '\(key) '", "privateKeyFile: [\(key)]", "privateKey: \(key)",
                "privateKey:\(key)", "psk: \(key)", "\(key): 1", "listenPort: \(key)",
                "peers: [{publicKey: \(Self.key), presharedKeyFile: \(key)}]",
                "peers: [{publicKey: \(Self.key), presharedkey: \(key)}]", "peers: [{publicKey: '\(key)x'}]",
                "peers: [{publicKey: \(Self.key), endpoint: \(key)}]",
                "peers: [{publicKey: \(Self.key), allowedIps: [\(key)]}]",
            ] {
                let config = load(interfaces("{name: a, type: WIREGUARD, enabled: true, wireguard: {\(block)}}"))
                #expect(!config.isValid, "\(block)")
                let all = config.mistakes + config.warnings
                let texts = all.map(\.description) + config.invalidValues.map(\.text)
                #expect(!texts.contains { $0.contains("EHZEe1r") }, "\(texts)")
            }
        }
        // As messages have it, without a text.
        var message = Ligato_Linux_Interfaces_Interface()
        (message.name, message.type) = ("a", .wireguard)
        message.wireguard.privateKeyFile = "/EHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w="
        let value = ModelValue.interface(message)
        let sentences = value.checked().findings.map { value.sentence($0) }
        #expect(!sentences.isEmpty && !sentences.contains { $0.contains("EHZEe1r") }, "\(sentences)")
        let mistyped = "mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2"
        for block in ["privateKeyFile: \(mistyped)", "privateKey:\(mistyped)", "peers: [{publicKey: \(mistyped)}]"] {
            let found = load(interfaces("{name: a, type: WIREGUARD, enabled: true, wireguard: {\(block)}}")).mistakes
            #expect(found.count == 1 && !found[0].text.contains("EHZ") && found[0].hidesSource, "\(found)")
        }
    }

    @Test("paths and public keys are not taken for keys")
    func paths() {
        let long = "/etc/wireguard/private/interfaces/uplinks/wg0Key"
        #expect(found("privateKeyFile: \(long), " + peers("publicKey: \(Self.key), presharedKeyFile: \(long)")) == [])
        #expect(SecretText.hidden(in: "a '\(Self.key)', \(long)") == "a '(hidden)', \(long)")
        #expect(SecretText.starred(in: "é \(Self.key) \(Self.other)!").count == 2 + 44 + 1 + 44 + 1)
        #expect(SecretText.hidden(in: "=\(Self.key)=").contains(Self.key.dropLast()) == false)
    }

    @Test("there are no more peers and networks than the agent bears")
    func bounds() {
        let networks = (0..<1025).map { "10.0.\($0 / 256).\($0 % 256)/32" }.joined(separator: ", ")
        #expect(
            found(peers("publicKey: \(Self.key), allowedIps: [\(networks)]")).first?.contains(
                "allowed_ips are 1025; 1024 are possible") == true)
        let many = (0..<10_001).map { _ in "{}" }.joined(separator: ", ")
        #expect(found("peers: [\(many)]").first?.contains("peers are 10001; 10000 are possible") == true)
    }

    @Test("it has no MAC address")
    func mac() {
        #expect(found("", ", physAddress: '02:00:00:00:00:01'").first?.contains("has no MAC address") == true)
    }
}
