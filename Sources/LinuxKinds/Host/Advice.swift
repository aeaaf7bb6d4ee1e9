internal import Glibc
internal import Netlink
internal import NetworkTypes

/// What to do about the kernel's refusals. Something is said only where it is known to be right: what the kernel explains by
/// itself needs no guess, and what can be looked up is looked up.
extension LinuxWorld {
    /// The kernel's answer, with what to do where there is something.
    func text(for error: KernelError) -> String {
        let advice =
            switch error.code {
            case EPERM: "; the agent needs CAP_NET_ADMIN in that namespace, and CAP_SYS_ADMIN to enter it"
            case ENOMEM, ENOBUFS: "; the kernel is short of memory"
            case ENOSPC where error.message == nil: "; a limit of the namespace or of the kernel is reached"
            default: ""
            }
        return error.description + advice
    }

    /// The kernel's answer to an operation, with what is known of its cause.
    func text(for error: KernelError, _ operation: LinuxOperation?, in state: NamespaceState) -> String {
        let advice: String? =
            switch operation?.action {
            case .createLink(let creation): self.advice(error, creation)
            case .request(let request): self.advice(error, request, in: state)
            case .createTUN, .rename, .moveLink, .deleteLinks, .createNamespace, .markNamespace, .removeNamespace,
                .sysctl, .desirable, .offload, .wireGuard, .load, nil:
                nil
            }
        return advice.map { "\(error)\($0)" } ?? text(for: error)
    }

    private func advice(_ error: KernelError, _ creation: LinkCreation) -> String? {
        let attributes = creation.attributes
        guard let kind = attributes.kind, let name = attributes.name else { return nil }
        let what = ": \(kind.name) \(name)"
        switch error.code {
        case EINVAL where error.message == nil:
            return what + (attributes.mtu.map { "; is mtu \($0) in the range of its kind?" } ?? "")
        case EOPNOTSUPP where error.message == Self.unknownKind:
            return
                "; this kernel has no links of kind \(kind.name), or they are a module: try modprobe \(kind.moduleName)"
        case EOPNOTSUPP where error.message == nil && kind[BridgeAttributes.self]?.vlanFiltering == true:
            return what + "; this kernel's bridges may not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)"
        case EEXIST where error.message == nil: return what + (holder(of: name, creation) ?? "")
        default: return nil
        }
    }

    /// What the kernel says of a kind of links that it does not have. Source: `__rtnl_newlink`, net/core/rtnetlink.c.
    private static let unknownKind = "Unknown device type"

    /// What the kernel says of a qdisc that it does not have. Source: `qdisc_create`, net/sched/sch_api.c.
    private static let unknownQdisc = "Specified qdisc kind is unknown"

    /// Whose link has a name; nil: no link has it.
    private func holder(of name: String, _ creation: LinkCreation) -> String? {
        guard let target = states[creation.target], target.handle != nil,
            let link = try? routeSocket(target).link(name: name)
        else { return nil }
        let alias = link.alias.map { " (alias \($0))" } ?? ""
        return ownership.owns(alias: link.alias)
            ? "; a link of ours\(alias) has this name already" : "; a link that is not ours\(alias) has this name"
    }

    private func advice(_ error: KernelError, _ request: Request, in state: NamespaceState) -> String? {
        if case .addQdisc(let qdisc) = request, error.code == ENOENT, error.message == Self.unknownQdisc {
            let name = qdisc.kind.name
            if name == "ingress" {
                return "; this kernel can't limit what arrives, or by a module: try modprobe sch_ingress"
            }
            return "; this kernel has no qdisc \(name), or it is a module: try modprobe sch_\(name)"
        }
        if case .addFilter = request, error.code == ENOENT {
            return "; this kernel can't limit what arrives, or by modules: try modprobe -a cls_matchall act_police"
        }
        if case .addNextHop(let hop, replace: false) = request, error.code == EEXIST {
            return "; a nexthop of that number (\(hop.id)) is there and is not ours: remove it, or give ours another id"
        }
        guard [ENODEV, EACCES, EINVAL, ENOBUFS].contains(error.code) else { return nil }
        for index in request.linkIndexes {
            let index = madeIndexes[index] ?? index
            guard index > 0, let socket = try? routeSocket(state) else { continue }
            // A link that can't be read is not necessarily gone.
            guard let answer = try? socket.link(index: index) else {
                if error.code == ENODEV, (try? socket.dump(.links)) != nil { return "; the link is gone" }
                continue
            }
            if request.isV6, let reason = lackOfV6(answer.name, in: state) { return reason }
        }
        return nil
    }

    /// Why a link has no IPv6; nil: it has.
    private func lackOfV6(_ name: String, in state: NamespaceState) -> String? {
        switch readSysctl("/proc/sys/net/ipv6/conf/\(name)/disable_ipv6", in: state) {
        case nil: "; \(name) has no IPv6: its MTU is below 1280, or this kernel has no IPv6"
        case "1": "; IPv6 is disabled on \(name) (disable_ipv6)"
        default: nil
        }
    }
}

extension Request {
    /// Links that it names, other than by making them.
    fileprivate var linkIndexes: [Int32] {
        switch self {
        case .setLink(let attributes): [attributes.index] + (attributes.master.map { [$0] } ?? [])
        case .deleteLink(let index), .addAltNames(_, let index), .deleteAltNames(_, let index): [index]
        case .addAddress(let address, _), .deleteAddress(let address): [address.linkIndex]
        case .addRoute(let route, _), .appendRoute(let route), .deleteRoute(let route):
            route.nextHops.map(\.linkIndex)
        case .addNeighbour(let neighbour, _), .deleteNeighbour(let neighbour): [neighbour.linkIndex]
        case .addForwarding(let entry), .deleteForwarding(let entry): [entry.linkIndex]
        case .addVLANs(_, let index, _), .deleteVLANs(_, let index, _): [index]
        case .addNextHop(let hop, _): hop.linkIndex == 0 ? [] : [hop.linkIndex]
        case .addQdisc(let qdisc), .changeQdisc(let qdisc), .deleteQdisc(let qdisc): [qdisc.linkIndex]
        case .addFilter(let filter), .deleteFilter(let filter): [filter.linkIndex]
        case .restore(let object): object.linkIndexes
        case .createLink, .deleteLinkGroup, .addRule, .deleteRule, .deleteNextHop: []
        }
    }

    /// Whether it is about IPv6.
    fileprivate var isV6: Bool {
        switch self {
        case .addAddress(let address, _), .deleteAddress(let address): address.local.family == .v6
        case .addRoute(let route, _), .appendRoute(let route), .deleteRoute(let route):
            route.destination.family == .v6
        case .addNeighbour(let neighbour, _), .deleteNeighbour(let neighbour): neighbour.destination.family == .v6
        case .addNextHop(let hop, _), .deleteNextHop(let hop): hop.family == .v6
        case .createLink, .setLink, .addAltNames, .deleteAltNames, .deleteLink, .deleteLinkGroup, .addForwarding,
            .deleteForwarding, .addRule,
            .deleteRule,
            .addVLANs, .deleteVLANs, .addQdisc, .changeQdisc, .deleteQdisc, .addFilter, .deleteFilter, .restore:
            false
        }
    }
}
