/// A device that swallows what it is sent.
public struct DummySpec: CheckedLinkSpec {
    /// `DUMMY`
    public static let word = "DUMMY"
    /// Source: `ETH_DATA_LEN`, linux/if_ether.h.
    public static let defaultMTU: UInt32? = 1500
    static let block: LinkBlock? = nil

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {}
}
