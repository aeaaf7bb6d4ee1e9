import CLinux
import CMnl
import Glibc
import NetworkTypes

extension Request {
    /// The message as it is sent, without the socket's port number. Pure: opens and sends nothing.
    ///
    /// - Returns: nothing when the request is too long for any message, see ``Batch/append(_:)``.
    public func encoded(sequence: UInt32) -> [UInt8] {
        guard let capacity else { return [] }
        return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            guard let start = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            let writer = write(at: start)
            writer.header.pointee.nlmsg_seq = sequence
            count = writer.count
        }
    }

    /// Memory that surely holds the message; nil when it has more than an attribute's 65535 bytes can say.
    var capacity: Int? {
        let fixed = 1024
        let perHop = 32
        switch self {
        case .createLink(let link, _), .setLink(let link):
            return [link.name, link.alias, link.peer?.name, link.kind?.name]
                .reduce(fixed) { total, text in Self.add(text, to: total) }
        case .addAltNames(let names, _), .deleteAltNames(let names, _):
            // With its header and padding.
            return names.count > 64
                ? nil : names.reduce(fixed) { total, name in Self.add(name, to: total).map { $0 + 8 } }
        case .addRoute(let route, _), .appendRoute(let route), .deleteRoute(let route):
            return route.nextHops.count <= 1024 ? fixed + route.nextHops.count * perHop : nil
        case .addRule(let rule), .deleteRule(let rule):
            return [rule.inputInterface, rule.outputInterface]
                .reduce(fixed + rule.others.count) { total, text in Self.add(text, to: total) }
        case .deleteLink, .deleteLinkGroup, .addAddress, .deleteAddress, .addNeighbour, .deleteNeighbour,
            .addForwarding, .deleteForwarding, .addQdisc, .changeQdisc, .deleteQdisc:
            return fixed
        // With its table of times.
        case .addFilter, .deleteFilter: return 2 * fixed
        case .addNextHop(let hop, _), .deleteNextHop(let hop):
            return hop.members.count <= 4096 ? fixed + hop.members.count * 8 : nil
        case .addVLANs(let vlans, _, _), .deleteVLANs(let vlans, _, _):
            return vlans.capacity
        case .restore(let object):
            return object.capacity
        }
    }

    /// No text the kernel takes is longer than an alias, 255 bytes; it says so itself up to 1 KiB.
    private static func add(_ text: String?, to total: Int?) -> Int? {
        guard let text, let total else { return total }
        let count = text.utf8.count
        return count <= 1024 ? total + count : nil
    }

    /// Encodes into at least ``capacity`` bytes.
    func write(at start: UnsafeMutableRawPointer) -> MessageWriter {
        switch self {
        case .createLink(let link, let echo):
            let flags = NLM_F_CREATE | NLM_F_EXCL | (echo ? NLM_F_ECHO : 0)
            return link.write(MessageWriter(at: start, type: RTM_NEWLINK, flags: flags))
        case .setLink(let link):
            return link.write(MessageWriter(at: start, type: RTM_NEWLINK))
        case .addAltNames(let names, let index):
            let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND
            return Self.write(names, of: index, MessageWriter(at: start, type: RTM_NEWLINKPROP, flags: flags))
        case .deleteAltNames(let names, let index):
            return Self.write(names, of: index, MessageWriter(at: start, type: RTM_DELLINKPROP))
        case .deleteLink(let index):
            let writer = MessageWriter(at: start, type: RTM_DELLINK)
            writer.putStruct(ifinfomsg.self) { $0.ifi_index = index }
            return writer
        case .deleteLinkGroup(let group):
            let writer = MessageWriter(at: start, type: RTM_DELLINK)
            writer.putStruct(ifinfomsg.self) { _ in }
            writer.put(IFLA_GROUP, u32: group)
            return writer
        case .addAddress(let address, let replace):
            return address.write(MessageWriter(at: start, type: RTM_NEWADDR, flags: Self.creation(replace)))
        case .deleteAddress(var address):
            // The kernel compares it, and has another one since the link got a new name.
            address.label = nil
            return address.write(MessageWriter(at: start, type: RTM_DELADDR))
        case .addRoute(let route, let replace):
            return route.write(MessageWriter(at: start, type: RTM_NEWROUTE, flags: Self.creation(replace)))
        case .appendRoute(let route):
            return route.write(MessageWriter(at: start, type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_APPEND))
        case .deleteRoute(let route):
            return route.writeSelector(MessageWriter(at: start, type: RTM_DELROUTE))
        case .addNeighbour(let entry, let replace):
            return entry.write(MessageWriter(at: start, type: RTM_NEWNEIGH, flags: Self.creation(replace)))
        case .deleteNeighbour(let entry):
            return entry.writeSelector(MessageWriter(at: start, type: RTM_DELNEIGH))
        case .addForwarding(let entry):
            return entry.write(MessageWriter(at: start, type: RTM_NEWNEIGH, flags: entry.creation))
        case .deleteForwarding(let entry):
            return entry.write(MessageWriter(at: start, type: RTM_DELNEIGH))
        case .addVLANs(let vlans, let link, let isPort):
            return vlans.write(MessageWriter(at: start, type: RTM_SETLINK), of: link, isPort: isPort)
        case .deleteVLANs(let vlans, let link, let isPort):
            return vlans.write(MessageWriter(at: start, type: RTM_DELLINK), of: link, isPort: isPort)
        case .addQdisc(let qdisc):
            return qdisc.write(
                MessageWriter(at: start, type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_EXCL), isChange: false)
        case .changeQdisc(let qdisc):
            return qdisc.write(MessageWriter(at: start, type: RTM_NEWQDISC), isChange: true)
        case .deleteQdisc(let qdisc):
            return qdisc.writeSelector(MessageWriter(at: start, type: RTM_DELQDISC))
        case .addFilter(let filter):
            return filter.write(MessageWriter(at: start, type: RTM_NEWTFILTER, flags: NLM_F_CREATE | NLM_F_EXCL))
        case .deleteFilter(let filter):
            return filter.writeSelector(MessageWriter(at: start, type: RTM_DELTFILTER))
        case .addNextHop(let hop, let replace):
            return hop.write(MessageWriter(at: start, type: RTM_NEWNEXTHOP, flags: Self.creation(replace)))
        case .deleteNextHop(let hop):
            return hop.writeSelector(MessageWriter(at: start, type: RTM_DELNEXTHOP))
        case .addRule(let rule):
            return rule.write(MessageWriter(at: start, type: RTM_NEWRULE, flags: NLM_F_CREATE | NLM_F_EXCL))
        case .deleteRule(let rule):
            return rule.write(MessageWriter(at: start, type: RTM_DELRULE))
        case .restore(let object):
            return object.write(at: start)
        }
    }

    private static func write(_ altNames: [String], of index: Int32, _ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(ifinfomsg.self) { $0.ifi_index = index }
        writer.nest(IFLA_PROP_LIST) { for name in altNames { writer.put(IFLA_ALT_IFNAME, name: name) } }
        return writer
    }

    private static func creation(_ replace: Bool) -> Int32 {
        NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL)
    }
}
