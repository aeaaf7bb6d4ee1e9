/// An interface that something else makes.
public struct ExistingSpec: CheckedLinkSpec {
    /// `EXISTING`
    public static let word = "EXISTING"
    static let block: LinkBlock? = nil
    static let mtuRange: ClosedRange<UInt32>? = nil

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {}
}

/// The loopback interface of a namespace.
public struct LoopbackSpec: CheckedLinkSpec {
    /// `LOOPBACK`
    public static let word = "LOOPBACK"
    /// Source: `loopback_setup`, drivers/net/loopback.c.
    public static let defaultMTU: UInt32? = 65536
    static let block: LinkBlock? = nil
    static let mtuRange: ClosedRange<UInt32>? = 68...65575

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {}
}
