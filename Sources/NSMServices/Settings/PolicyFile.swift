internal import Glibc
internal import NSM
internal import NetworkTypes
internal import YAML

/// A file with the policy routes that the clients of endpoints are given, as stock endpoints read it by `NSM_PBR_CONFIG_PATH`: a
/// list of `from`, `proto`, `dstport`, `srcport`, and `routes` with `prefix` and `nexthop`.
struct PolicyFile: Sendable {
    /// Why it can't be used.
    struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        let description: String
    }

    /// What changes when the file is written or replaced.
    struct Stamp: Hashable, Sendable {
        private let parts: [Int64]

        fileprivate init(_ status: stat) {
            parts = [
                Int64(truncatingIfNeeded: status.st_dev), Int64(truncatingIfNeeded: status.st_ino),
                Int64(status.st_size), Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec),
            ]
        }
    }

    let path: String
    /// Bytes.
    private static let largest = 1 << 20
    private static let mostPolicies = 64
    private static let mostRoutes = 256

    /// The file as it is now; nil: there is none.
    var stamp: Stamp? {
        var status = stat()
        return stat(path, &status) == 0 ? Stamp(status) : nil
    }

    /// The policies; none when there is no file.
    func read() throws(Failure) -> [NSMPolicyRoute] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0, errno == ENOENT { return [] }
        guard descriptor >= 0 else { throw Failure(description: "\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure(description: "\(path): \(String(cString: strerror(errno)))") }
            if count == 0 { break }
            content += buffer[..<count]
            guard content.count <= Self.largest else {
                throw Failure(description: "\(path): it has more than \(Self.largest) bytes")
            }
        }
        do {
            return try Self.policies(String(decoding: content, as: UTF8.self))
        } catch {
            throw Failure(description: "\(path): \(error)")
        }
    }

    /// Reads the policies of a text.
    static func policies(_ text: String) throws(Failure) -> [NSMPolicyRoute] {
        let tree = YAMLTree(parsing: text)
        if let mistake = tree.mistakes.first {
            throw Failure(description: "line \(mistake.line): \(mistake.text)")
        }
        guard let root = tree.documents.first, !tree.isNull(root) else { return [] }
        guard tree.documents.count == 1, tree.kind(of: root) == .sequence else {
            throw Failure(description: "line \(tree[root].line): a list of policies is needed")
        }
        guard tree.count(of: root) <= mostPolicies else {
            throw Failure(description: "it has more than \(mostPolicies) policies")
        }
        var policies: [NSMPolicyRoute] = []
        for element in tree.elements(of: root) {
            do {
                policies.append(try policy(tree, element))
            } catch {
                throw Failure(description: "line \(tree[element].line): \(error)")
            }
        }
        return policies
    }

    private static func policy(_ tree: YAMLTree, _ node: YAMLTree.Index) throws(Failure) -> NSMPolicyRoute {
        var policy = NSMPolicyRoute()
        for (key, value) in try fields(tree, node, ["from", "proto", "dstport", "srcport", "routes"]) {
            let text = tree.string(of: value)
            switch key {
            case "from":
                guard let prefix = NSMIPContext.prefix(text) else { throw bad(key, text, "a prefix") }
                policy.from = "\(prefix)"
            case "proto":
                guard let number = UInt8(text) else { throw bad(key, text, "an IP protocol number, such as 6 for TCP") }
                policy.proto = "\(number)"
            case "dstport", "srcport":
                let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) ?? 0 }
                guard (1...2).contains(ends.count), !ends.contains(0), ends == ends.sorted() else {
                    throw bad(key, text, "a port or a range of ports, such as 80 or 8000-8080")
                }
                if key == "dstport" { policy.dstPort = text } else { policy.srcPort = text }
            default: policy.routes = try routes(tree, value)
            }
        }
        return policy
    }

    private static func routes(_ tree: YAMLTree, _ node: YAMLTree.Index) throws(Failure) -> [NSMRoute] {
        if tree.isNull(node) { return [] }
        guard tree.kind(of: node) == .sequence, tree.count(of: node) <= mostRoutes else {
            throw Failure(description: "routes: a list of at most \(mostRoutes) is needed")
        }
        var routes: [NSMRoute] = []
        for element in tree.elements(of: node) {
            var route = NSMRoute()
            for (key, value) in try fields(tree, element, ["prefix", "nexthop"]) {
                let text = tree.string(of: value)
                if key == "prefix", let prefix = NSMIPContext.prefix(text)?.network {
                    route.prefix = "\(prefix)"
                } else if key == "nexthop", text.isEmpty || IPAddress(text) != nil {
                    route.nextHop = text
                } else {
                    throw bad(key, text, key == "prefix" ? "a prefix" : "an address")
                }
            }
            guard !route.prefix.isEmpty else { throw Failure(description: "routes: one has no prefix") }
            routes.append(route)
        }
        return routes
    }

    private static func fields(
        _ tree: YAMLTree, _ node: YAMLTree.Index, _ known: [String]
    ) throws(Failure) -> [(String, YAMLTree.Index)] {
        guard tree.kind(of: node) == .mapping else {
            throw Failure(description: "\(known.joined(separator: ", ")) are needed")
        }
        var found: [(String, YAMLTree.Index)] = []
        for pair in tree.pairs(of: node) {
            let key = tree.string(of: pair.key)
            guard known.contains(key) else {
                throw Failure(
                    description: "there is no '\(key.prefix(64))'; known are \(known.joined(separator: ", "))")
            }
            if !tree.isNull(pair.value) { found.append((key, pair.value)) }
        }
        return found
    }

    private static func bad(_ key: String, _ text: String, _ needed: String) -> Failure {
        Failure(description: "\(key) is '\(text.prefix(64))'; \(needed) is needed")
    }
}
