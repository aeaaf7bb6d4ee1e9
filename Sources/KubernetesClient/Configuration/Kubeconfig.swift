internal import Glibc
internal import YAML

extension KubernetesConfiguration {
    /// What files of `kubectl` say: server and user of the current context. Of what several files say of one name, the first counts.
    ///
    /// - Parameters:
    ///   - paths: The files. Those that are not there are skipped, as long as one is.
    ///   - context: The context; nil: the current one of the first file that has one.
    /// - Throws: ``KubernetesError`` that says what is missing, or can't be done here.
    public static func kubeconfig(
        _ paths: [String], context: String? = nil
    ) throws(KubernetesError) -> KubernetesConfiguration {
        var files: [KubeconfigFile] = []
        for path in paths where paths.count == 1 || access(path, F_OK) == 0 {
            files.append(try KubeconfigFile(path))
        }
        guard let first = files.first else {
            throw KubernetesError(
                .badConfiguration, "no kubeconfig is there: \(paths.joined(separator: ", "))")
        }
        func entry(_ list: StaticString, _ name: String, _ what: StaticString) throws(KubernetesError) -> KubeconfigNode
        {
            for file in files { if let node = file.root.named(name, in: list, what) { return node } }
            throw KubernetesError(.badConfiguration, "\(first.path): '\(list)' has no '\(name)'")
        }
        guard let name = context ?? files.lazy.compactMap({ $0.root.text("current-context") }).first else {
            throw KubernetesError(
                .badConfiguration,
                "\(first.path): no current-context; 'kubectl config use-context NAME' sets one")
        }
        let chosen = try entry("contexts", name, "context")
        let cluster = try entry("clusters", try chosen.needed("cluster"), "cluster")
        var result = try cluster.server()
        result.namespace = chosen.text("namespace") ?? "default"
        if let user = chosen.text("user") { try entry("users", user, "user").credentials(into: &result) }
        return result
    }
}

/// One file of `kubectl`.
private struct KubeconfigFile {
    let path: String
    let root: KubeconfigNode

    init(_ path: String) throws(KubernetesError) {
        self.path = path
        let tree = try SmallFile.read(path, limit: 4 << 20).withUnsafeBytes { YAMLTree(parsing: $0) }
        if let mistake = tree.mistakes.first {
            throw KubernetesError(.badConfiguration, "\(path):\(mistake.line):\(mistake.column): \(mistake.text)")
        }
        guard let document = tree.documents.first, tree.kind(of: document) == .mapping else {
            throw KubernetesError(.badConfiguration, "\(path): this is not a kubeconfig")
        }
        root = KubeconfigNode(tree: tree, node: document, path: path)
    }
}

/// A part of a file.
private struct KubeconfigNode {
    let tree: YAMLTree
    let node: Int
    let path: String

    func child(_ key: StaticString) -> KubeconfigNode? {
        tree.pair(key, in: node).map { KubeconfigNode(tree: tree, node: $0.value, path: path) }
    }

    /// Nil: it is not there, or empty, or no text.
    func text(_ key: StaticString) -> String? {
        guard let child = child(key), !tree.isNull(child.node) else { return nil }
        switch tree.kind(of: child.node) {
        case .mapping, .sequence: return nil
        case .plain, .quoted, .literal, .folded, .alias, .merge: break
        }
        let text = tree.string(of: child.node)
        return text.isEmpty ? nil : text
    }

    func wrong(_ text: String) -> KubernetesError {
        KubernetesError(.badConfiguration, "\(path):\(tree[node].line):\(tree[node].column): \(text)")
    }

    func needed(_ key: StaticString) throws(KubernetesError) -> String {
        guard let text = text(key) else { throw wrong("'\(key)' is missing") }
        return text
    }

    func named(_ name: String, in list: StaticString, _ what: StaticString) -> KubeconfigNode? {
        guard let list = child(list), tree.kind(of: list.node) == .sequence else { return nil }
        for element in tree.elements(of: list.node) {
            let element = KubeconfigNode(tree: tree, node: element, path: path)
            if element.text("name") == name { return element.child(what) }
        }
        return nil
    }

    /// A path as it is meant from the file's folder.
    private func resolved(_ file: String) -> String {
        if file.hasPrefix("/") { return file }
        guard let slash = path.lastIndex(of: "/") else { return file }
        return path[...slash] + file
    }

    private func pem(_ name: StaticString, _ data: StaticString) throws(KubernetesError) -> KubernetesConfiguration.PEM?
    {
        if let text = text(data) {
            guard let bytes = Base64.decode(text) else { throw wrong("'\(data)' is not Base64") }
            return .inline(bytes)
        }
        return text(name).map { .file(resolved($0)) }
    }

    func server() throws(KubernetesError) -> KubernetesConfiguration {
        let text = try needed("server")
        guard let server = ServerAddress(text) else {
            throw wrong(
                "'\(ServerAddress.withoutSecrets(text))' is not an address of a server; https://host:port is needed")
        }
        if child("proxy-url") != nil { throw wrong("'proxy-url' can't be done; name the server itself") }
        var result = KubernetesConfiguration(server: server)
        result.tls.authorities = try pem("certificate-authority", "certificate-authority-data")
        result.tls.serverName = self.text("tls-server-name")
        result.tls.acceptsAnyServer = self.text("insecure-skip-tls-verify") == "true"
        return result
    }

    func credentials(into result: inout KubernetesConfiguration) throws(KubernetesError) {
        for key: StaticString in ["exec", "auth-provider"] where child(key) != nil {
            throw wrong(
                "the user gets its credentials from a program ('\(key)'), which is not run here; use a token, a token file or a client certificate"
            )
        }
        for key: StaticString in ["username", "password", "as", "as-uid", "as-groups"] where child(key) != nil {
            throw wrong("'\(key)' can't be done; use a token, a token file or a client certificate")
        }
        result.tls.certificate = try pem("client-certificate", "client-certificate-data")
        result.tls.key = try pem("client-key", "client-key-data")
        guard (result.tls.certificate == nil) == (result.tls.key == nil) else {
            throw wrong("a client certificate needs its key, and a key its certificate")
        }
        if let token = text("token") {
            result.credentials = .token(token)
        } else if let file = text("tokenFile") {
            result.credentials = .tokenFile(resolved(file))
        }
    }
}
