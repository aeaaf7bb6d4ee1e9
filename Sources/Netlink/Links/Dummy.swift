/// A `dummy` link: it swallows what it is sent.
public struct DummyAttributes: LinkKindAttributes, LinkKindCodec {
    /// `dummy`
    public static let kindName = "dummy"

    var isEmpty: Bool { true }

    init() {}
    init(data: UnsafeRawBufferPointer) {}
    func write(_ writer: MessageWriter) {}
}

extension LinkKind {
    /// `dummy`.
    public static let dummy = LinkKind(DummyAttributes())
}
