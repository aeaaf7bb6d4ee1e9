public import Model
internal import Netlink

/// Names of this host for what configuration files say, as ip(8) has them: `table: blue`, `scope: link`.
public enum HostNames {
    /// Looks names up as they are at that moment.
    public static let resolver = NameResolver(
        number: { HostNames.number(of: $0, in: $1) }, name: { HostNames.name(of: $0, in: $1) },
        names: { HostNames.names(in: $0) })

    /// Reads the files with names again.
    public static func reload() { Names.reload() }

    private static func number(of name: String, in vocabulary: NameResolver.Vocabulary) -> Int64? {
        switch vocabulary {
        case .table: Names.table(named: name).map { Int64($0) }
        case .scope:
            Names.scope(named: name).flatMap { Numbers.scope.word($0) }
                .map { Int64(Ligato_Linux_L3_Route.Scope($0).rawValue) }
        case .routeType:
            // An action of a rule has the number of the route type that does the same.
            Names.routeType(named: name).flatMap { Numbers.routeType.word($0) }
                .map { Int64(Ligato_Linux_L3_Route.TypeEnum($0).rawValue) }
        }
    }

    private static func name(of number: Int64, in vocabulary: NameResolver.Vocabulary) -> String? {
        switch vocabulary {
        case .table:
            guard let number = UInt32(exactly: number) else { return nil }
            let name = Names.table(number)
            // Only what is read as the same number again can stand for it.
            return UInt32(name) == nil && Names.table(named: name) == number ? name : nil
        // Messages have words of their own for these.
        case .scope, .routeType: return nil
        }
    }

    private static func names(in vocabulary: NameResolver.Vocabulary) -> [String] {
        switch vocabulary {
        case .table: Names.tables
        case .scope: Names.scopes
        case .routeType: Names.routeTypes
        }
    }
}
