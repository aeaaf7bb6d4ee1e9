internal import NSM

/// What a key in the etcd that meshes share stands for.
///
/// | key behind the root | what |
/// |---|---|
/// | `meshes/MESH` | where a mesh is |
/// | `endpoints/MESH/ENDPOINT` | an endpoint on its host |
/// | `services/MESH/SERVICE` | a service that was registered there |
///
/// In names all bytes but letters, digits, `-`, `.` and `_` stand as `%XX`.
enum RegistryKey: Hashable, Sendable {
    case mesh(String)
    case endpoint(String, mesh: String)
    case service(String, mesh: String)

    /// Reads a key; nil when it is none of these, or not as ``text(root:)`` writes it: each thing has one key.
    init?(_ key: [UInt8], root: String) {
        let root = Array(root.utf8)
        guard key.count <= Self.longest + root.count, key.starts(with: root) else { return nil }
        let words = key.dropFirst(root.count).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard let kind = words.first else { return nil }
        let names = words.dropFirst().compactMap(Self.name)
        guard names.count == words.count - 1 else { return nil }
        switch (String(decoding: kind, as: UTF8.self), names.count) {
        case ("meshes", 1): self = .mesh(names[0])
        case ("endpoints", 2): self = .endpoint(names[1], mesh: names[0])
        case ("services", 2): self = .service(names[1], mesh: names[0])
        case (_, _): return nil
        }
    }

    /// The mesh that writes it.
    var mesh: String {
        switch self {
        case .mesh(let mesh), .endpoint(_, let mesh), .service(_, let mesh): mesh
        }
    }

    /// The key.
    func text(root: String) -> String {
        switch self {
        case .mesh(let mesh): "\(root)meshes/\(Self.word(mesh))"
        case .endpoint(let name, let mesh): "\(root)endpoints/\(Self.word(mesh))/\(Self.word(name))"
        case .service(let name, let mesh): "\(root)services/\(Self.word(mesh))/\(Self.word(name))"
        }
    }

    // MARK: - Names

    /// Bytes behind the root: two names of which each byte is written as three.
    static let longest = 2 * 3 * ConnectionLimits.name + 16

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func word(_ name: String) -> String {
        var bytes: [UInt8] = []
        for byte in name.utf8 {
            if isPlain(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func name(_ word: ArraySlice<UInt8>) -> String? {
        var bytes: [UInt8] = []
        var rest = word
        while let byte = rest.popFirst() {
            if isPlain(byte) {
                bytes.append(byte)
                continue
            }
            guard byte == UInt8(ascii: "%"), let high = rest.popFirst().flatMap(digits.firstIndex),
                let low = rest.popFirst().flatMap(digits.firstIndex)
            else { return nil }
            let value = UInt8(high << 4 | low)
            guard !isPlain(value) else { return nil }
            bytes.append(value)
        }
        guard (1...ConnectionLimits.name).contains(bytes.count) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
