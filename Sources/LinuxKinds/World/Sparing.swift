/// Leftovers in the agent's own namespace that stay although no value claims them: what they belong to may be declared
/// again as soon as somebody else says how it stands. After a restart of the agent traffic goes on meanwhile.
public struct Sparing {
    /// Whether addresses, routes and neighbours on the link with this name stay.
    public var link: (String) -> Bool
    /// Whether routes and rules of the table with this number stay.
    public var table: (UInt32) -> Bool

    /// Spares nothing, unless told.
    public init(
        link: @escaping (String) -> Bool = { _ in false }, table: @escaping (UInt32) -> Bool = { _ in false }
    ) {
        self.link = link
        self.table = table
    }
}
