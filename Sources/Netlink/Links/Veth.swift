/// A `veth`: one end of a pair. The other end is ``LinkAttributes/peer`` in a request.
public struct VethAttributes: LinkKindAttributes, LinkKindCodec {
    /// `veth`
    public static let kindName = "veth"

    var isEmpty: Bool { true }

    init() {}
    init(data: UnsafeRawBufferPointer) {}
    func write(_ writer: MessageWriter) {}

    /// None: `IFLA_LINK` is the other end.
    public func lower(_ link: Int32) -> Int32 { 0 }
}

extension LinkKind {
    /// `veth`.
    public static let veth = LinkKind(VethAttributes())
}
