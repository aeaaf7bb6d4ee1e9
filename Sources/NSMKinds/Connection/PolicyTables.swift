internal import Concurrency
internal import NetworkTypes

/// The tables of policies: numbers that follow from the client, so that they are the same after a restart.
package enum PolicyTables {
    /// Policies of one client.
    package static let limit = 64

    /// The table of a client's policy.
    package static func table(of owner: String, _ index: Int) -> UInt32 {
        Marks.clientTables.lowerBound | UInt32(FNV1a.hash64("\(index)/\(owner)".utf8) & 0xff_ffff)
    }
}
