import Glibc
import Testing

@testable import KubernetesClient

@Suite struct ConfigurationTests {
    private static func file(_ text: String, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/kubernetes-client-test-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        _ = Array(text.utf8).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
        try body(path)
    }

    private static func text(user: String, cluster: String = "server: https://10.0.0.1:6443/x/") -> String {
        """
        apiVersion: v1
        kind: Config
        current-context: mine
        contexts:
        - name: other
          context: {cluster: none, user: none}
        - name: mine
          context: {cluster: c, user: u, namespace: n}
        clusters:
        - name: c
          cluster: {\(cluster)}
        users:
        - name: u
          user: {\(user)}
        """
    }

    @Test func theCurrentContextCounts() throws {
        let cluster = "server: 'https://10.0.0.1:6443/x/', certificate-authority: ca.pem, tls-server-name: kube"
        try Self.file(Self.text(user: "tokenFile: sub/token", cluster: cluster)) { path in
            let configuration = try KubernetesConfiguration.kubeconfig([path])
            #expect(configuration.server.description == "https://10.0.0.1:6443/x")
            #expect(configuration.namespace == "n")
            #expect(configuration.tls.authorities == .file("/tmp/ca.pem"))
            #expect(configuration.tls.serverName == "kube")
            #expect(configuration.credentials == .tokenFile("/tmp/sub/token"))
        }
        try Self.file(Self.text(user: "client-certificate-data: QUI=, client-key-data: QUJD, token: t")) { path in
            let configuration = try KubernetesConfiguration.kubeconfig(["/nowhere", path])
            #expect(configuration.tls.certificate == .inline(Array("AB".utf8)))
            #expect(configuration.tls.key == .inline(Array("ABC".utf8)))
            #expect(configuration.credentials == .token("t"))
        }
    }

    @Test(arguments: [
        ("exec: {command: aws}", "which is not run here"), ("auth-provider: {name: gcp}", "which is not run here"),
        ("username: a, password: b", "'username' can't be done"),
        ("client-certificate: a.pem", "a client certificate needs its key"),
        ("client-certificate-data: '*', client-key-data: QUJD", "'client-certificate-data' is not Base64"),
    ]) func whatCantBeDoneIsSaidSo(user: String, expected: String) throws {
        try Self.file(Self.text(user: user)) { path in
            let error = #expect(throws: KubernetesError.self) { try KubernetesConfiguration.kubeconfig([path]) }
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
            #expect(error?.message.hasPrefix("\(path):14:") == true, "\(error?.message ?? "")")
        }
    }

    @Test(arguments: ["a", "ftp://a", "https://", "https://a:0", "https://a b", "https://[::1", "https://a/?b"])
    func whatIsNoAddressIsNone(text: String) { #expect(ServerAddress(text) == nil) }

    @Test(arguments: [
        "https://me:hunter2@kube:6443", "me:hunter2@kube", "https://kube:6443?token=hunter2",
        "https://a:b/hunter2@kube",
        "http://me:hun?ter2@kube/x#hunter2", "https://kube#hunter2", "https://me:x#hunter2?@kube:1",
    ]) func anAddressWithASecretIsToldWithoutIt(server: String) throws {
        try Self.file(Self.text(user: "token: t", cluster: "server: '\(server)'")) { path in
            let error = #expect(throws: KubernetesError.self) { try KubernetesConfiguration.kubeconfig([path]) }
            let text = error?.message ?? ""
            #expect(text.contains("kube") && text.contains("is not an address of a server"), "\(text)")
            #expect(!text.contains("hun") && !text.contains("ter2"), "\(text)")
        }
    }

    @Test(arguments: [
        ("http://kube", false, KubernetesConfiguration.Credentials.token("secret"), "sent without TLS"),
        ("http://kube", false, .tokenFile("/x"), "sent without TLS"), ("http://kube", false, .none, ""),
        ("https://kube", false, .token("secret"), ""), ("https://kube", true, .token("secret"), "given the token"),
        ("https://kube", true, .none, "anybody can be the server"),
    ]) func whatIsDangerousIsWarnedOf(
        server: String, acceptsAny: Bool, credentials: KubernetesConfiguration.Credentials, expected: String
    ) throws {
        var configuration = KubernetesConfiguration(
            server: try #require(ServerAddress(server)), credentials: credentials)
        configuration.tls.acceptsAnyServer = acceptsAny
        let warnings = configuration.warnings
        #expect(warnings.count == (expected.isEmpty ? 0 : 1) && warnings.allSatisfy { $0.contains(expected) })
        #expect(!warnings.joined().contains("secret"))
    }

    @Test func addressesAreRead() {
        #expect(ServerAddress("https://[fd00::1]")?.authority == "[fd00::1]")
        #expect(ServerAddress("https://[fd00::1]:6443")?.port == 6443)
        #expect(ServerAddress("http://kube.local/")?.port == 80)
    }

    @Test func aChangedTokenIsReadAgain() throws {
        try Self.file("one\n") { path in
            let identity = KubernetesIdentity(
                KubernetesConfiguration(
                    server: try #require(ServerAddress("http://127.0.0.1")), credentials: .tokenFile(path)))
            #expect(try identity.token() == "one")
            // As kubelets change it: another file takes its place.
            let other = path + ".new"
            let file = try #require(fopen(other, "w"))
            fputs("two two\n", file)
            fclose(file)
            rename(other, path)
            #expect(try identity.token() == "two")
            unlink(path)
            #expect(try identity.token() == "two")
        }
    }
}

@Suite struct JSONTests {
    @Test(arguments: [
        #"{"a":[1,-2.5e+3,true,false,null,"x\"\\\/\b\f\n\r\té😀"],"b":{}}"#, "[]", #""""#, "0",
        " [ { } , 12345678901234567890123 ] ",
    ]) func whatIsReadIsWrittenBack(text: String) throws {
        let value = try JSONValue(parsing: Array(text.utf8))
        #expect(try JSONValue(parsing: value.bytes) == value)
    }

    @Test func textsAreRead() throws {
        let value = try JSONValue(parsing: Array(#""A\ud83d\ude00\ud83d!""#.utf8))
        #expect(value == "A😀\u{fffd}!")
        #expect(JSONValue.string("a\u{1}\"\\\n").text == #""a\u0001\"\\\n""#)
        #expect(try JSONValue(parsing: Array(#"{"a":1,"b":2,"a":3}"#.utf8)) == ["a": 3, "b": 2])
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\"}", "01", "-", "1.", "1e", "tru", "\"", "\"\u{1}\"", "\"\\x\"", "\"\\u12g4\"", "1 2",
        "nul",
        "{\"a\":1,}", "+1", ".5",
    ]) func whatIsNoneIsRefused(text: String) {
        #expect(throws: JSONValue.Mistake.self) { try JSONValue(parsing: Array(text.utf8)) }
    }

    @Test func depthIsBounded() {
        let text = String(repeating: "[", count: 100_000)
        #expect(throws: JSONValue.Mistake.self) { try JSONValue(parsing: Array(text.utf8)) }
    }

    @Test func membersAreSetAndRemoved() {
        var value: JSONValue = ["a": 1]
        value["b"] = ["c": true]
        value["a"] = nil
        #expect(value.text == #"{"b":{"c":true}}"#)
    }

    @Test func notesAreCutBetweenCharacters() {
        #expect("aäb".prefix(bytes: 2) == "a")
        #expect("aäb".prefix(bytes: 3) == "aä")
        #expect("aäb".prefix(bytes: 4) == "aäb")
    }
}
