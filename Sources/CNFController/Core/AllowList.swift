/// Whose resources may write for which microservices.
public struct AllowList: Sendable, Hashable {
    private var rules: [String: Set<String>] = [:]

    /// Everybody may write everything.
    public init() {}

    /// Whether everybody may write everything.
    public var isOpen: Bool { rules.isEmpty }

    /// Adds `NAMESPACE=LABEL`, either of which may be `*`.
    ///
    /// - Returns: Whether it is such a rule.
    public mutating func add(_ rule: String) -> Bool {
        let parts = rule.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        rules[String(parts[0]), default: []].insert(String(parts[1]))
        return true
    }

    /// Whether a namespace's resources may write for a microservice.
    public func allows(_ namespace: String, _ microservice: String) -> Bool {
        if rules.isEmpty { return true }
        return [namespace, "*"].contains { rules[$0]?.isDisjoint(with: [microservice, "*"]) == false }
    }
}
