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
    /// Its name under /run/netns.
    public let name: String

    init?(_ message: Nsmagent_Linux_Namespace, _ findings: inout FieldFindings) {
        name = message.name
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
