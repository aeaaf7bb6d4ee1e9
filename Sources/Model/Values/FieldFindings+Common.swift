internal import NetworkTypes

extension FieldFindings {
    /// Checks a name that other values refer to.
    mutating func check(name: String, _ field: String, what: String = "a name") {
        if name.isEmpty {
            mistake([.field(field)], "is missing; give it \(what)")
        } else if name.hasControlCharacter {
            mistake([.field(field)], value: name, "holds a control character")
        }
    }

    /// Notes a number that an enumeration does not have.
    mutating func unknown(_ number: Int, _ enumeration: String, _ path: [PathPart]) {
        mistake(path, value: String(number), Schema.plain.textOfNumbers(inEnum: enumeration))
    }

    /// Checks a number against the range that its .proto file gives.
    mutating func check(_ number: UInt32, _ range: ClosedRange<UInt32>, _ path: @autoclosure () -> [PathPart]) {
        if range.contains(number) { return }
        mistake(path(), value: String(number), FieldSchema.outOfRange(range.lowerBound, range.upperBound))
    }

    /// Reads the MAC address that a device is to have; nil for an empty text, and for none.
    mutating func mac(_ text: String, _ field: String) -> MACAddress? {
        if text.isEmpty { return nil }
        guard let address = MACAddress(text) else {
            malformed([.field(field)], value: text, "is not a MAC address, such as 02:00:00:00:00:01")
            return nil
        }
        if address.isMulticast {
            malformed(
                [.field(field)], value: text, "is a multicast address (the lowest bit of its first byte is set)")
        } else if address.isZero {
            malformed([.field(field)], value: text, "is all zeros")
        }
        return address
    }

    /// Reads an address without a prefix length; nil for an empty text, and for anything else.
    mutating func address(_ text: String, _ path: @autoclosure () -> [PathPart]) -> IPAddress? {
        if text.isEmpty || isForeignReference(text, path()) { return nil }
        switch IPText(text) {
        case .address(let address): return address
        case .prefix(let prefix):
            malformed(path(), value: text, "is an address with a prefix length; write \(prefix.address) alone")
        case .badLength(let address):
            malformed(path(), value: text, "is an address with a prefix length; write \(address) alone")
        case .nothing: malformed(path(), value: text, "is not an IP address")
        }
        return nil
    }

    /// Reads an address with or without a prefix length; nil for an empty text, and for anything else.
    mutating func prefix(_ text: String, _ path: @autoclosure () -> [PathPart]) -> IPPrefix? {
        if text.isEmpty || isForeignReference(text, path()) { return nil }
        switch IPText(text) {
        case .address(let address): return IPPrefix(host: address)
        case .prefix(let prefix): return prefix
        case .badLength(let address):
            malformed(path(), value: text, "is not an IP prefix (length 0–\(address.family.bitWidth))")
        case .nothing:
            malformed(
                path(), value: text, "is not an IP address with prefix length, such as 10.0.0.1/24 or fd00::1/64")
        }
        return nil
    }

    private mutating func isForeignReference(_ text: String, _ path: @autoclosure () -> [PathPart]) -> Bool {
        guard text.isReference else { return false }
        malformed(path(), value: text, "refers to an allocation, which is not possible here")
        return true
    }
}

/// A text as an address, with a prefix length or without one.
enum IPText {
    case address(IPAddress)
    case prefix(IPPrefix)
    /// The address is valid, but what follows the slash is not a valid prefix length for it.
    case badLength(IPAddress)
    case nothing

    /// Reads a text without an intermediate copy of its parts.
    init(_ text: String) {
        var text = text
        self = text.withUTF8 { bytes in
            let raw = UnsafeRawBufferPointer(bytes)
            guard let slash = raw.firstIndex(of: UInt8(ascii: "/")) else {
                return IPAddress(utf8: raw).map { .address($0) } ?? .nothing
            }
            guard let address = IPAddress(utf8: UnsafeRawBufferPointer(rebasing: raw[..<slash])) else {
                return .nothing
            }
            guard let length = Self.length(raw[(slash + 1)...]), let prefix = IPPrefix(address, length: length) else {
                return .badLength(address)
            }
            return .prefix(prefix)
        }
    }

    /// With a length, or as a single host.
    var prefix: IPPrefix? {
        switch self {
        case .address(let address): IPPrefix(host: address)
        case .prefix(let prefix): prefix
        case .badLength, .nothing: nil
        }
    }

    /// Reads a prefix length: decimal, without leading zeros.
    private static func length(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt8? {
        guard (1...3).contains(digits.count), digits.count == 1 || digits.first != UInt8(ascii: "0") else { return nil }
        var value = 0
        for byte in digits {
            guard byte &- 48 < 10 else { return nil }
            value = value * 10 + Int(byte - 48)
        }
        return UInt8(exactly: value)
    }
}

extension String {
    /// Whether the text refers to an IP allocation instead of being an address.
    var isReference: Bool { utf8.starts(with: "alloc:".utf8) }

    /// Whether a byte of it is a control character.
    var hasControlCharacter: Bool { utf8.contains { $0 < 32 || $0 == 127 } }

    /// nil when there is nothing in it, as fields that are not set are.
    var orNil: String? { isEmpty ? nil : self }
}

extension IPAddress.Family {
    /// The name in texts.
    var word: String { self == .v4 ? "IPv4" : "IPv6" }
}

extension Schema {
    /// The name of an enumeration's number; the number when it has none.
    func enumName(_ number: Int, of fullName: String) -> String {
        enums.first { $0.fullName == fullName }?.name(of: UInt64(bitPattern: Int64(number))) ?? String(number)
    }

    /// `is not one of A (0), B (1)`.
    func textOfNumbers(inEnum fullName: String) -> String {
        enums.first { $0.fullName == fullName }?.textOfNumbers ?? "is not known"
    }

    /// The range that a .proto file gives to a field, without 0 where that only stands for "not set".
    func range(of field: String, in message: String) -> ClosedRange<UInt32> {
        guard let index = self.index(ofMessage: message), let field = self.field(named: field, in: index) else {
            preconditionFailure("\(message).\(field) is not in the schema")
        }
        let shape = fields[field]
        return UInt32(truncatingIfNeeded: shape.minimum)...UInt32(truncatingIfNeeded: shape.maximum)
    }
}

extension EnumSchema {
    /// `is not one of A (0), B (1)`: of a number that is none of them.
    var textOfNumbers: String { "is not one of \(values.map { "\($0.name) (\($0.number))" }.joined(separator: ", "))" }
}
