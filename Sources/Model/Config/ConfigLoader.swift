/// Reads one text as a whole configuration.
public enum ConfigLoader {
    /// Reads one text; `name` stands for the file in positions.
    ///
    /// - Parameters:
    ///   - label: The microservice this agent is; resources take items for others.
    ///   - names: What names of this host stand for.
    public static func load(
        bytes: [UInt8], name: String, label: String = "default", names: NameResolver = .none
    ) -> LoadedConfig {
        var set = ConfigSet()
        set.set(bytes.withUnsafeBytes { ConfigText($0, name: name, label: label, names: names) })
        let difference = set.settle()
        // All is new.
        if difference.isValid { return LoadedConfig(items: difference.changed, findings: difference.findings) }
        return set.whole(difference)
    }
}
