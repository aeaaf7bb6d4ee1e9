internal import Glibc
public import Model
public import Netlink

extension LinuxWorld {
    /// What the kernel has, as a configuration that finds all of it in place.
    ///
    /// Without `all`: what we own, under the names it was declared with, in every namespace or in one. Interfaces of
    /// others that ours are built on appear as EXISTING with link_only. Settings below /proc/sys are not among it, as
    /// nothing tells which of them were declared; neither is which addresses were allocated.
    ///
    /// With `all`: in one namespace, nil: our own, also what others made: their interfaces as EXISTING with all their
    /// addresses, their routes and rules; but no neighbours, and no routes that come and go by themselves.
    ///
    /// - Parameter name: a named namespace; nil: see above.
    /// - Throws: `ENOENT` when there is no such namespace; the kernel's error when it can't be read.
    public func export(namespace name: String?, all: Bool) throws(KernelError) -> [ModelValue] {
        try readAll()
        var export = Export(world: self, isEverything: all)
        if let name {
            guard let state = byReference[.named(name)] else {
                throw KernelError(code: ENOENT, message: "there is no namespace named \(name)")
            }
            try export.add(state)
        } else if all, let own = byReference[.own] {
            try export.add(own)
        } else {
            for state in states where state.handle != nil && !state.isFormer { try export.add(state) }
        }
        omissions = export.omissions
        return export.finish()
    }
}

/// Collects the values of an export.
struct Export {
    let world: LinuxWorld
    /// Whether what others made is wanted, too.
    let isEverything: Bool
    private var interfaces: [(order: (Int, Int32), message: Ligato_Linux_Interfaces_Interface)] = []
    var others: [ModelValue] = []
    private var namespaces: [ModelValue] = []
    /// Names of the links that are part of the export.
    var names: [ObjectIdentifier: String] = [:]
    /// What was left out, and why.
    private(set) var omissions: [String] = []
    private var usedNames: Set<String> = []
    var usedRuleNames: Set<String> = []

    init(world: LinuxWorld, isEverything: Bool) {
        self.world = world
        self.isEverything = isEverything
        // A declared name is never given to something else.
        for state in world.states {
            for link in state.ownedLinks.values { usedNames.insert(ownName(of: link)) }
            for link in state.lent.values { if let loan = link.loan { usedNames.insert(loan.name) } }
        }
    }

    var ownership: Ownership { world.ownership }

    func finish() -> [ModelValue] {
        namespaces + interfaces.sorted { $0.order < $1.order }.map { .interface($0.message) } + others
    }

    /// Notes that something can't be part of the export.
    mutating func omit(_ what: String, _ reason: String) { omissions.append("\(what) \(reason)") }

    mutating func add(_ state: NamespaceState) throws(KernelError) {
        for kernelClass in KernelClasses.all { try kernelClass.export(state, to: &self) }
    }

    /// Adds a declared namespace.
    mutating func add(namespace name: String) {
        var message = Nsmagent_Linux_Namespace()
        message.name = name
        namespaces.append(.namespace(message))
    }

    /// Adds the interface of a link.
    mutating func add(_ message: Ligato_Linux_Interfaces_Interface, of link: LinkState) {
        interfaces.append(((link.namespace.id, link.link.index), message))
    }

    // MARK: - Names

    /// The name a link was declared with.
    func ownName(of link: LinkState) -> String {
        func marked(_ alias: String) -> Substring { ownership.mark(in: alias).dropFirst(ownership.aliasPrefix.count) }
        let names = marked(link.link.alias ?? "")
        guard link.link.kind == .veth else { return String(names) }
        let peer = world.peer(of: link)?.link.alias.map { String(marked($0)) }
        // NAME/PEER, where both may hold slashes: the peer says PEER/NAME.
        for slash in names.indices where names[slash] == "/" {
            let (first, second) = (names[..<slash], names[names.index(after: slash)...])
            if peer == nil || peer == "\(second)/\(first)" { return String(first) }
        }
        return String(names)
    }

    /// The name of a link in the export; if it is someone else's, it becomes part of the export.
    mutating func name(of link: LinkState) -> String {
        if let name = names[ObjectIdentifier(link)] { return name }
        if ownership.owns(alias: link.link.alias) {
            LinkClass.exportOwn(link, to: &self)
        } else if let loan = link.loan, !isEverything {
            LinkClass.exportLent(link, loan, to: &self)
        } else {
            LinkClass.exportForeign(link, isWhole: isEverything, to: &self)
        }
        return names[ObjectIdentifier(link)] ?? link.link.name
    }

    /// A name that nothing else in the export has.
    mutating func take(_ wish: String) -> String {
        var name = wish
        var number = 1
        while !usedNames.insert(name).inserted {
            number += 1
            name = "\(wish)-\(number)"
        }
        return name
    }

    func reference(to state: NamespaceState) -> Ligato_Linux_Namespace_NetNamespace? {
        var message = Ligato_Linux_Namespace_NetNamespace()
        switch state.reference {
        case .own, .former: return nil
        case .named(let name): (message.type, message.reference) = (.nsid, name)
        case .process(let pid): (message.type, message.reference) = (.pid, "\(pid)")
        case .file(let path): (message.type, message.reference) = (.fd, path)
        case .microservice(let label): (message.type, message.reference) = (.microservice, label)
        case .pod(let name): (message.type, message.reference) = (.pod, name)
        }
        return message
    }
}
