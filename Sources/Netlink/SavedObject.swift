import CLinux
import CMnl
import Glibc

/// An address, route or neighbour with everything that the kernel says of it, also what is not understood here, so that it
/// can be put back as it was: what `ip route save` and `ip route restore` do.
public struct SavedObject: Hashable, Sendable {
    /// What is understood of it: an address, a route or a neighbour.
    public private(set) var report: Report
    /// `RTM_NEWADDR`, `RTM_NEWROUTE` or `RTM_NEWNEIGH`.
    private let type: UInt16
    /// Family header and attributes, as a request takes them.
    private var payload: [UInt8]

    /// Takes what a dump tells; nil: it is of another class.
    init?(_ message: Message) {
        guard let report = Report.decode(type: message.type, payload: message.payload) else { return nil }
        switch report {
        case .address: payload = Self.address(message.payload)
        case .route: payload = Self.route(message.payload)
        case .neighbour: payload = Self.neighbour(message.payload)
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            return nil
        }
        self.report = report
        type = UInt16(truncatingIfNeeded: message.type)
    }

    /// Indexes of the links it is on.
    public var linkIndexes: [Int32] {
        switch report {
        case .address(let address): [address.linkIndex]
        case .route(let route): route.nextHops.map(\.linkIndex)
        case .neighbour(let neighbour): [neighbour.linkIndex]
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            []
        }
    }

    /// Memory that surely holds the request; nil when no message does.
    var capacity: Int? { payload.count <= 60_000 ? payload.count + 64 : nil }

    /// Encodes the request that makes it where it is missing: `EEXIST` says that it is there.
    func write(at start: UnsafeMutableRawPointer) -> MessageWriter {
        // Without NLM_F_APPEND the kernel would take an IPv6 route of the same metric for the same route.
        let exclusion = Int32(type) == Int32(RTM_NEWROUTE) ? NLM_F_APPEND : NLM_F_EXCL
        let writer = MessageWriter(at: start, type: type, flags: NLM_F_CREATE | exclusion)
        payload.withUnsafeBytes { bytes in
            guard let place = mnl_nlmsg_put_extra_header(writer.header, bytes.count) else { return }
            UnsafeMutableRawBufferPointer(start: place, count: bytes.count).copyMemory(from: bytes)
        }
        return writer
    }

    // MARK: - From a report to a request

    private static func address(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        copy(bytes, header: MemoryLayout<ifaddrmsg>.size) { _ in true }
    }

    private static func neighbour(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var result = copy(bytes, header: MemoryLayout<ndmsg>.size) {
            ![NDA_CACHEINFO, NDA_PROBES].contains($0.type)
        }
        result.withUnsafeMutableBytes { bytes in
            guard var header = UnsafeRawBufferPointer(bytes).value(as: ndmsg.self) else { return }
            // The kernel reports no state of proxy entries; without this one they go with the carrier.
            if header.ndm_flags & Neighbour.proxy != 0 { header.ndm_state = Neighbour.permanent }
            bytes.storeBytes(of: header, as: ndmsg.self)
        }
        return result
    }

    private static func route(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        let size = MemoryLayout<rtmsg>.size
        let types = Set(AttributeReader(bytes.after(size)).map(\.type))
        // A report has a nexthop object and the next hops behind it; a request names the object alone.
        let spelled = [RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_MULTIPATH].map { Int($0.rawValue) }
        var lifetime: Int32 = 0
        var result = copy(bytes, header: size) { attribute in
            if attribute.type == RTA_CACHEINFO.rawValue {
                let info = attribute.payload.value(as: rta_cacheinfo.self)
                lifetime = info?.rta_expires ?? 0
                return false
            }
            return !types.contains(Int(RTA_NH_ID.rawValue)) || !spelled.contains(attribute.type)
        }
        result.withUnsafeMutableBytes { bytes in
            guard var header = UnsafeRawBufferPointer(bytes).value(as: rtmsg.self) else { return }
            header.rtm_flags &= UInt32(RTNH_F_ONLINK | RTNH_F_PERVASIVE)
            bytes.storeBytes(of: header, as: rtmsg.self)
            // That a link is down only the kernel may say.
            changeHops(UnsafeMutableRawBufferPointer(rebasing: bytes[size...])) {
                $0.rtnh_flags &= UInt8(RTNH_F_ONLINK | RTNH_F_PERVASIVE)
            }
        }
        if lifetime > 0 { result += expiry(UInt32(lifetime)) }
        return result
    }

    /// `RTA_EXPIRES`, seconds; reported in `USER_HZ`, of which the kernel has 100 (asm-generic/param.h).
    private static func expiry(_ ticks: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        withUnsafeBytes(of: UInt16(8)) { bytes += $0 }
        withUnsafeBytes(of: UInt16(RTA_EXPIRES.rawValue)) { bytes += $0 }
        withUnsafeBytes(of: max(ticks / 100, 1)) { bytes += $0 }
        return bytes
    }

    /// Changes each next hop of a `RTA_MULTIPATH` in place.
    private static func changeHops(_ attributes: UnsafeMutableRawBufferPointer, _ change: (inout rtnexthop) -> Void) {
        for attribute in AttributeReader(UnsafeRawBufferPointer(attributes))
        where attribute.type == RTA_MULTIPATH.rawValue {
            guard let start = attributes.baseAddress, let hops = attribute.payload.baseAddress else { return }
            var offset = UnsafeRawPointer(start).distance(to: hops)
            let end = offset + attribute.payload.count
            while offset < end {
                let rest = UnsafeRawBufferPointer(rebasing: attributes[offset..<end])
                guard var hop = rest.value(as: rtnexthop.self), hop.rtnh_len >= MemoryLayout<rtnexthop>.size else {
                    return
                }
                change(&hop)
                attributes.storeBytes(of: hop, toByteOffset: offset, as: rtnexthop.self)
                offset += (Int(hop.rtnh_len) + 3) & ~3
            }
        }
    }

    private static func copy(
        _ bytes: UnsafeRawBufferPointer, header size: Int, _ isKept: (Attribute) -> Bool
    ) -> [UInt8] {
        // Attributes start at multiples of 4.
        var result = Array(bytes.prefix(size))
        result += Array(repeating: 0, count: -size & 3)
        for attribute in AttributeReader(bytes.after((size + 3) & ~3)) where isKept(attribute) {
            withUnsafeBytes(of: UInt16(truncatingIfNeeded: attribute.payload.count + 4)) { result += $0 }
            withUnsafeBytes(of: UInt16(truncatingIfNeeded: attribute.type)) { result += $0 }
            result += attribute.payload
            result += Array(repeating: 0, count: -attribute.payload.count & 3)
        }
        return result
    }
}

extension SavedObject {
    /// The same for links whose indexes have changed.
    public func moved(_ index: (Int32) -> Int32) -> SavedObject {
        var moved = self
        moved.payload.withUnsafeMutableBytes { bytes in
            let told = UnsafeRawBufferPointer(bytes)
            switch report {
            case .address:
                guard var header = told.value(as: ifaddrmsg.self) else { return }
                header.ifa_index = UInt32(bitPattern: index(Int32(bitPattern: header.ifa_index)))
                bytes.storeBytes(of: header, as: ifaddrmsg.self)
            case .neighbour:
                guard var header = told.value(as: ndmsg.self) else { return }
                header.ndm_ifindex = index(header.ndm_ifindex)
                bytes.storeBytes(of: header, as: ndmsg.self)
            case .route:
                let attributes = UnsafeMutableRawBufferPointer(rebasing: bytes[MemoryLayout<rtmsg>.size...])
                for case let attribute in AttributeReader(UnsafeRawBufferPointer(attributes))
                where attribute.type == RTA_OIF.rawValue && attribute.payload.count >= 4 {
                    guard let start = attributes.baseAddress, let place = attribute.payload.baseAddress else {
                        continue
                    }
                    let offset = UnsafeRawPointer(start).distance(to: place)
                    attributes.storeBytes(of: index(attribute.payload.i32), toByteOffset: offset, as: Int32.self)
                }
                Self.changeHops(attributes) { $0.rtnh_ifindex = index($0.rtnh_ifindex) }
            case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
                .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop,
                .nextHopRemoved, .settings:
                break
            }
        }
        moved.report = report.moved(index)
        return moved
    }
}

extension Report {
    fileprivate func moved(_ index: (Int32) -> Int32) -> Report {
        switch self {
        case .address(var address):
            address.linkIndex = index(address.linkIndex)
            return .address(address)
        case .route(var route):
            for hop in route.nextHops.indices { route.nextHops[hop].linkIndex = index(route.nextHops[hop].linkIndex) }
            return .route(route)
        case .neighbour(var entry):
            entry.linkIndex = index(entry.linkIndex)
            return .neighbour(entry)
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .rule, .ruleRemoved, .port,
            .forwarding, .forwardingRemoved, .qdisc, .qdiscRemoved, .filter, .filterRemoved, .nextHop, .nextHopRemoved,
            .settings:
            return self
        }
    }
}
