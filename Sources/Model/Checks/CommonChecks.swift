internal import NetworkTypes

extension Checker {
    /// Checks a name that other values refer to.
    mutating func check(name: String, _ item: Int, _ field: String, what: String = "a name") {
        if name.isEmpty {
            report(item, [.field(field)], "is missing; give it \(what)")
        } else if name.utf8.contains(where: { $0 < 32 || $0 == 127 }) {
            report(item, [.field(field)], value: name, "holds a control character")
        }
    }

    /// Checks a reference to a namespace.
    mutating func check(namespace: NetNamespace, _ item: Int) {
        let path: [PathPart] = ["namespace"]
        let reference = namespace.reference
        guard namespace.type != .undefined else {
            return report(item, path, "needs a type: NSID, PID, FD or MICROSERVICE")
        }
        guard !reference.isEmpty else { return report(item, path, "needs a reference") }
        let place = path + ["reference"]
        switch namespace.type {
        case .nsid:
            if let problem = Self.mistake(inNamespace: reference) { report(item, place, value: reference, problem) }
        case .pid:
            guard let number = Int32(reference), number > 0, !reference.hasPrefix("+") else {
                return report(item, place, value: reference, "is not a process number")
            }
        case .fd:
            if !reference.hasPrefix("/") {
                report(item, place, value: reference, "is not an absolute path, such as /proc/1/ns/net")
            }
        case .microservice, .undefined, .UNRECOGNIZED: break
        }
    }

    /// Why a text can't be the name of a namespace: it is a file name.
    static func mistake(inNamespace name: String) -> String? {
        if name.utf8.contains(UInt8(ascii: "/")) { return "holds a '/'; for a path use type FD" }
        if name == "." || name == ".." { return "is reserved" }
        if name.utf8.count > 255 { return "is longer than 255 bytes" }
        if name.utf8.contains(where: { $0 < 32 || $0 == 127 }) { return "holds a control character" }
        return nil
    }

    /// Checks a MAC address that a device is to have.
    mutating func check(mac: String, _ item: Int, _ field: String) {
        guard let address = MACAddress(mac) else {
            return report(item, [.field(field)], value: mac, "is not a MAC address, such as 02:00:00:00:00:01")
        }
        if address.isMulticast {
            report(
                item, [.field(field)], value: mac, "is a multicast address (the lowest bit of its first byte is set)")
        } else if address.isZero {
            report(item, [.field(field)], value: mac, "is all zeros")
        }
    }

    /// Checks `alloc:NETWORK[/INTERFACE][/GW]`. `owner` is the interface that is meant when none is named.
    mutating func check(reference: String, _ item: Int, _ path: [PathPart], owner: String, gateway: GatewayUse) {
        var parts = reference.dropFirst("alloc:".count).split(separator: "/", omittingEmptySubsequences: false)
        let isGateway = parts.count > 1 && parts.last == "GW"
        if isGateway { parts.removeLast() }
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), !parts.isEmpty else {
            return report(item, path, value: reference, "is not a reference of the form alloc:NETWORK[/INTERFACE][/GW]")
        }
        if parts.count == 1, owner.isEmpty {
            report(item, path, value: reference, "names no interface, and none is implied")
        }
        if gateway == .required, !isGateway { report(item, path, value: reference, "must end in /GW here") }
        if gateway == .refused, isGateway { report(item, path, value: reference, "can't be a gateway (/GW) here") }
        if gateway == .refused, parts.count == 2, !owner.isEmpty, parts[1] != owner {
            report(item, path, value: reference, "refers to an allocation of another interface than \(owner.inQuotes)")
        }
    }

    /// Whether a reference to an allocation may mean its gateway.
    enum GatewayUse { case refused, allowed, required }
}

/// An address and prefix length read without an intermediate copy of the text.
func parsePrefix(_ text: String) -> IPPrefix? {
    var text = text
    return text.withUTF8 { bytes in
        let raw = UnsafeRawBufferPointer(bytes)
        guard let slash = raw.firstIndex(of: UInt8(ascii: "/")) else {
            return IPAddress(utf8: raw).map { IPPrefix(host: $0) }
        }
        guard let address = IPAddress(utf8: UnsafeRawBufferPointer(rebasing: raw[..<slash])),
            let length = TextFormat.length(raw[(slash + 1)...], upTo: Int(address.family.bitWidth))
        else { return nil }
        return IPPrefix(address, length: UInt8(length))
    }
}

/// An address; nil for anything else.
func parseAddress(_ text: String) -> IPAddress? {
    var text = text
    return text.withUTF8 { IPAddress(utf8: UnsafeRawBufferPointer($0)) }
}

extension String {
    /// Whether the text refers to an IP allocation instead of being an address.
    var isReference: Bool { utf8.starts(with: "alloc:".utf8) }
}
