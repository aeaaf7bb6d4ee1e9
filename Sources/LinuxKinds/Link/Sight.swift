internal import CLinux
internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes

/// Where the link of an interface is that is known by what it is.
enum Sight {
    /// In the namespace it is to be in.
    case here(LinkState)
    /// In the agent's own, or where it was moved before, from where it is moved.
    case away(LinkState)
    /// Nowhere, or it can't be told from others.
    case nowhere(String)
}

/// What a driver says of a device. Source: `ETHTOOL_GDRVINFO`, linux/ethtool.h.
struct DeviceInfo: Hashable {
    /// `driver`
    var driver: String
    /// `bus_info`; empty: it is on no bus.
    var bus: String
}

extension LinuxWorld {
    /// Looks for the link of an interface that is known by what it is: first by the mark of a link that was moved for it.
    func sight(of interface: Interface, _ match: LinkMatch) -> Sight {
        let (target, home) = (byReference[interface.namespace], byReference[.own])
        let mark = ownership.lentPrefix + interface.name
        if let link = target?.lent[mark] { return .here(link) }
        let near = target.map { narrow(links(match, of: interface, in: $0), match, mark) } ?? []
        if let link = near.first, near.count == 1 { return .here(link) }
        if near.count > 1 { return .nowhere(Self.reason(near, interface, match)) }
        // Those that were moved elsewhere come home before.
        for state in states where state !== target { if let link = state.lent[mark] { return .away(link) } }
        var far = home === target ? [] : home.map { links(match, of: interface, in: $0) } ?? []
        for state in states where state !== target && state !== home && !state.lent.isEmpty {
            far += links(match, of: interface, in: state).filter { $0.loan != nil }
        }
        far = narrow(far, match, mark)
        if let link = far.first, far.count == 1 { return .away(link) }
        return .nowhere(Self.reason(far, interface, match))
    }

    private static func reason(_ found: [LinkState], _ interface: Interface, _ match: LinkMatch) -> String {
        if found.isEmpty {
            let own = interface.namespace == .own ? "" : " or in the agent's own namespace"
            return "host-interface-exists: none with \(match.text)\(interface.namespace.suffix)\(own)"
        }
        let names = found.map(\.link.name).joined(separator: ", ")
        return "host-interface-exists: several with \(match.text)\(found[0].namespace.reference.suffix): \(names)"
    }

    /// The links of others that are what is said, and that no other value has moved.
    private func links(_ match: LinkMatch, of interface: Interface, in state: NamespaceState) -> [LinkState] {
        func fits(_ link: LinkState) -> Bool {
            link.link.flags & LinkFlags.loopback == 0 && !ownership.owns(alias: link.link.alias)
                && !ownership.belongsToAnother(alias: link.link.alias) && link.link.group != ownership.linkGroup
                && isFree(link) && isMatch(link.link, of: link, match, interface)
        }
        // One link at most has it.
        if let name = match.altName { return state.link(named: name).map { fits($0) ? [$0] : [] } ?? [] }
        return state.links.values.filter(fits).sorted { $0.link.index < $1.link.index }
    }

    /// Which of several links a MAC address means that they share: that of the device which keeps it, not what is built on that or has
    /// it as a port, and else the one that it meant so far.
    private func narrow(_ found: [LinkState], _ match: LinkMatch, _ mark: String) -> [LinkState] {
        guard found.count > 1, let mac = match.mac else { return found }
        let permanent = found.filter { $0.link.permanentMAC == mac }
        let candidates = permanent.isEmpty ? found : permanent
        let rest = candidates.filter { link in
            !candidates.contains { other in
                other.namespace === link.namespace
                    && (other.link.master == link.link.index || other.link.index == link.link.lower)
            }
        }
        if rest.count > 1, let kept = rest.first(where: { $0.matchedAs == mark }) { return [kept] }
        return rest
    }

    private func isFree(_ link: LinkState) -> Bool {
        if let loan = link.loan { return declarations.interfaces[loan.name] == nil }
        // One that is not in the record is like any other link.
        guard let alias = link.link.alias, alias.hasPrefix(Marks.lentAlias) else { return true }
        return alias.hasPrefix(ownership.lentPrefix)
    }

    /// Whether a link, as it is or was, is what is said.
    func isMatch(_ seen: Link, of link: LinkState, _ match: LinkMatch, _ interface: Interface) -> Bool {
        matchComparisons += 1
        if let mac = match.mac {
            // One without a permanent address may have got another one from this very interface.
            let isChanged = seen.permanentMAC == nil && interface.mac != nil && seen.mac == interface.mac
            guard (seen.permanentMAC ?? seen.mac) == mac || isChanged else { return false }
        }
        if let name = match.altName, !seen.altNames.contains(name) { return false }
        if match.driver == nil, match.path == nil { return true }
        // Asked last: it takes a system call.
        guard let device = device(of: link) else { return false }
        if let driver = match.driver, driver != device.driver { return false }
        return match.path.map { Glob.matches(device.bus, $0) } ?? true
    }

    /// What the driver of a link says; nil: it says nothing. It is asked once, in the namespace of the link: the files of sysfs show
    /// only the namespace in which they were mounted.
    func device(of link: LinkState) -> DeviceInfo? {
        if let known = link.device { return known.info }
        guard link.link.index > 0, link.namespace.handle != nil else { return nil }
        var (driver, bus) = ([CChar](repeating: 0, count: 32), [CChar](repeating: 0, count: 32))
        let name = SettingClass.kernelName(of: link, self)
        let result = try? withControlSocket(in: link.namespace) { cl_ethtool_driver($0, name, &driver, &bus) }
        func text(_ bytes: [CChar]) -> String {
            String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        let info = result == 0 ? DeviceInfo(driver: text(driver), bus: text(bus)) : nil
        link.device = KnownDevice(info: info)
        return info
    }
}

/// What was heard of a device, perhaps nothing.
struct KnownDevice {
    var info: DeviceInfo?
}

extension LinkMatch {
    /// In words.
    var text: String {
        let parts = [
            mac.map { "MAC address \($0)" }, driver.map { "driver \($0)" }, path.map { "path \($0)" },
            altName.map { "altname \($0)" },
        ]
        return parts.compactMap { $0 }.joined(separator: ", ")
    }
}

/// Texts with `*` for any text and `?` for any letter.
enum Glob {
    /// Whether a pattern stands for more than one text.
    static func isPattern(_ pattern: String) -> Bool { pattern.utf8.contains { $0 == 0x2a || $0 == 0x3f } }

    static func matches(_ text: String, _ pattern: String) -> Bool {
        let (text, pattern) = (Array(text.utf8), Array(pattern.utf8))
        var (position, place) = (0, 0)
        // Where the last star was, and what of the text it stands for so far.
        var star: (place: Int, position: Int)?
        while position < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, position)
                place += 1
            } else if place < pattern.count, pattern[place] == UInt8(ascii: "?") || pattern[place] == text[position] {
                position += 1
                place += 1
            } else if let last = star {
                star = (last.place, last.position + 1)
                position = last.position + 1
                place = last.place + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
