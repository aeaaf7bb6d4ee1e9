/// Which network namespace something is in.
public enum NetNamespace: Hashable, Sendable {
    /// The one the agent runs in.
    case own
    /// A name under /run/netns.
    case named(String)
    /// That of a process.
    case process(Int32)
    /// A file that refers to one, by its absolute path.
    case file(String)
    /// That of a container with this label.
    case microservice(String)
    /// That of a pod of this host, `namespace/name`.
    case pod(String)

    /// The same for two references that certainly mean the same namespace.
    var identity: NetNamespace {
        guard case .file(let path) = self else { return self }
        for folder in ["/run/netns/", "/var/run/netns/"] where path.hasPrefix(folder) {
            return .named(String(path.dropFirst(folder.count)))
        }
        return self
    }
}

/// A named network namespace that is declared.
public struct NamespaceSpec: Hashable, Sendable {
    /// A setting below /proc/sys/net.
    public struct Sysctl: Hashable, Sendable {
        /// As sysctl(8) has it: `net.ipv4.ip_forward`.
        public let name: String
        /// What it is to be, words with one space between.
        public let value: String

        /// The file.
        public var path: String { "/proc/sys/" + name.split(separator: ".").joined(separator: "/") }
    }

    /// Its name under /run/netns.
    public let name: String
    /// Its settings, sorted by name.
    public let sysctls: [Sysctl]

    init?(_ message: Nsmagent_Linux_Namespace, _ findings: inout FieldFindings) {
        name = message.name
        sysctls = message.sysctls.sorted { $0.key < $1.key }.compactMap { findings.sysctl($0.key, $0.value) }
        findings.check(name: name, "name")
        if !name.isEmpty, let problem = NetNamespace.mistake(inName: name) {
            findings.mistake(["name"], value: name, problem)
        }
    }
}

extension NetNamespace {
    /// Why a text can't be the name of a namespace: it is a file name.
    static func mistake(inName name: String) -> String? {
        if name.utf8.contains(UInt8(ascii: "/")) { return "holds a '/'; for a path use type FD" }
        if name == "." || name == ".." { return "is reserved" }
        if name.utf8.count > 255 { return "is longer than 255 bytes" }
        if name.hasControlCharacter { return "holds a control character" }
        return nil
    }
}

extension FieldFindings {
    /// Reads a setting of a namespace.
    fileprivate mutating func sysctl(_ name: String, _ value: String) -> NamespaceSpec.Sysctl? {
        let path: [PathPart] = ["sysctls", .key(name)]
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        let isName = parts.allSatisfy { part in
            !part.isEmpty
                && part.utf8.allSatisfy { byte in
                    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
                }
        }
        let words = value.split { $0 == " " || $0 == "\t" }
        if parts.count < 3 || parts[0] != "net" || !isName || name.utf8.count > 128 {
            mistake(path, "is not a setting of a namespace, such as net.ipv4.ip_forward")
        } else if parts.count > 3, ["conf", "neigh"].contains(parts[2]), !["all", "default"].contains(parts[3]) {
            mistake(path, "is a setting of an interface; write it in 'sysctls' of that")
        } else if name == "net.ipv6.conf.all.disable_ipv6" {
            // It takes away all IPv6 addresses, of which the kernel tells nobody.
            mistake(
                path, "takes IPv6 from all interfaces; write disable_ipv6 in 'sysctls' of those that are to have none")
        } else if words.isEmpty || value.utf8.count > 256 || value.hasControlCharacter && !value.contains("\t") {
            mistake(path, value: value, "is not a value for a setting")
        } else {
            return NamespaceSpec.Sysctl(name: name, value: words.joined(separator: " "))
        }
        return nil
    }

    /// Why a text can't be the label of a container: what nobody could have in an environment, or look for.
    private static func mistake(inLabel label: String) -> String? {
        if label.utf8.count > 255 { return "is longer than 255 bytes" }
        return label.hasControlCharacter ? "holds a control character" : nil
    }

    /// Reads a reference to a namespace; nil stands for the agent's own.
    mutating func namespace(_ message: Ligato_Linux_Namespace_NetNamespace?) -> NetNamespace {
        guard let message else { return .own }
        let reference = message.reference
        guard message.type != .undefined else {
            mistake(["namespace"], "needs a type: NSID, PID, FD, MICROSERVICE or POD")
            return .own
        }
        guard !reference.isEmpty else {
            mistake(["namespace"], "needs a reference")
            return .own
        }
        let path: [PathPart] = ["namespace", "reference"]
        switch message.type {
        case .nsid:
            if let problem = NetNamespace.mistake(inName: reference) { mistake(path, value: reference, problem) }
            return .named(reference)
        case .pid:
            guard let number = Int32(reference), number > 0, !reference.hasPrefix("+") else {
                mistake(path, value: reference, "is not a process number")
                return .own
            }
            return .process(number)
        case .fd:
            if !reference.hasPrefix("/") {
                mistake(path, value: reference, "is not an absolute path, such as /proc/1/ns/net")
            }
            return .file(reference)
        case .microservice:
            if let problem = Self.mistake(inLabel: reference) { mistake(path, value: reference, problem) }
            return .microservice(reference)
        case .pod:
            let parts = reference.split(separator: "/", omittingEmptySubsequences: false)
            if parts.count != 2 || parts.contains(where: { $0.isEmpty || $0.utf8.count > 253 }) {
                mistake(path, value: reference, "is not a pod, such as default/web")
            }
            return .pod(reference)
        case .undefined: return .own
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.namespace.NetNamespace.ReferenceType", ["namespace", "type"])
            return .own
        }
    }
}
