internal import Concurrency

/// The tables of policies: numbers that follow from the client, so that they are the same after a restart.
package enum PolicyTables {
    /// Policies of one client.
    package static let limit = 64
    /// Rules of policies come before those of the kernel (32766) and after what an administrator numbers from 1.
    package static let firstPriority: UInt32 = 20_000
    /// `M` in the highest byte: tables with such numbers are made by nobody else.
    package static let numbers: ClosedRange<UInt32> = 0x4d00_0000...0x4dff_ffff

    /// The table of a client's policy.
    package static func table(of owner: String, _ index: Int) -> UInt32 {
        numbers.lowerBound | UInt32(FNV1a.hash64("\(index)/\(owner)".utf8) & 0xff_ffff)
    }
}
