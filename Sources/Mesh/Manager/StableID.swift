internal import Crypto
internal import NSM

extension MeshRequests {
    /// Our id of a client's connection: the same for the same client, whatever process of ours computes it, and in the form
    /// of a UUID (RFC 9562, version 8).
    ///
    /// The namespace keeps clients apart that were given the same name.
    static func stableID(client: NSMPathSegment?, namespace: String, peer: String) -> String {
        let text = "\(client?.name ?? "")\u{0}\(client?.id ?? "")\u{0}\(namespace)\u{0}\(peer)"
        var bytes = Array(SHA256.hash(data: Array(text.utf8)).prefix(16))
        bytes[6] = bytes[6] & 0x0f | 0x80
        bytes[8] = bytes[8] & 0x3f | 0x80
        let digits = Array("0123456789abcdef")
        var result = ""
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { result.append("-") }
            result.append(digits[Int(byte >> 4)])
            result.append(digits[Int(byte & 15)])
        }
        return result
    }
}
