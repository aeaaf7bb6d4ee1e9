internal import SwiftProtobuf

/// The `path` header of registrations: JSON with the names that peers use.
package struct RegistryPath: Hashable, Sendable {
    /// Where the sender stands.
    package var index: Int
    /// The tokens of those on the way, the first caller's first.
    package var tokens: [String]

    /// Makes a path.
    package init(index: Int = 0, tokens: [String] = []) {
        self.index = index
        self.tokens = tokens
    }

    /// The JSON text. Tokens are base64url and dots and need no escapes.
    package var json: String {
        let segments = tokens.map { "{\"token\":\"\($0)\"}" }.joined(separator: ",")
        return "{\"Index\":\(index),\"PathSegments\":[\(segments)]}"
    }

    /// Reads the JSON text; nil when it is none, or not a path. Unknown members are ignored.
    package init?(json: String) {
        guard json.utf8.count <= 1 << 20, let message = try? NSMRegistryPath(jsonString: json, options: Self.options)
        else { return nil }
        index = Int(message.index)
        tokens = message.pathSegments.map(\.token)
    }

    private static var options: JSONDecodingOptions {
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        return options
    }
}
