import NetworkTypes
import Testing

@testable import Netlink

/// What ip(8) sends for a command, and our request for the same.
struct Golden: Sendable, CustomTestStringConvertible {
    let command: String
    let bytes: [UInt8]
    let request: Request

    init(_ command: String, hex: String, _ request: Request) {
        self.command = command
        self.bytes = decodeHex(hex)
        self.request = request
    }

    var testDescription: String { command }
}

/// Bytes of hexadecimal digits; white space does not count.
func decodeHex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func link(_ index: Int32, _ name: String? = nil, _ set: (inout LinkAttributes) -> Void = { _ in }) -> LinkAttributes {
    var attributes = LinkAttributes(index: index, name: name)
    set(&attributes)
    return attributes
}

func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

func prefix(_ text: String) -> IPPrefix {
    guard let prefix = IPPrefix(text) else { preconditionFailure("\(text) is no prefix") }
    return prefix
}

func address(_ text: String, peer: String? = nil, flags: UInt32 = 0) -> Address {
    Address(linkIndex: 5, local: prefix(text), peer: peer.map(ip), flags: flags)
}

func hop(_ gateway: String?, _ link: Int32 = 0, weight: UInt16 = 1, onlink: Bool = false) -> NextHop {
    NextHop(gateway: gateway.map(ip), linkIndex: link, weight: weight, onlink: onlink)
}

func route(
    _ destination: String, table: UInt32 = 254, proto: UInt8 = 3, scope: UInt8 = 0, type: UInt8 = 1, metric: UInt32 = 0,
    source: String? = nil, mtu: UInt32 = 0, _ hops: [NextHop]
) -> Route {
    Route(
        destination: prefix(destination), table: table, proto: proto, scope: scope, type: type, metric: metric,
        source: source.map(ip), mtu: mtu, nextHops: hops)
}

func neighbour(_ destination: String, _ lastMACByte: UInt64?, flags: UInt8 = 0, proto: UInt8 = 0) -> Neighbour {
    Neighbour(
        linkIndex: 5, destination: ip(destination), mac: lastMACByte.map { MACAddress(bits: 0x0200_0000_0000 | $0) },
        state: Neighbour.permanent, flags: flags, proto: proto)
}
