internal import Concurrency

/// What another cluster does not have yet that answers in place of the one before. Pure.
///
/// Each thing is kept once, and all of them to one end: clusters that answer in turns don't make it more, or put it off.
struct MissingRecords {
    /// The most that is kept; what is beyond is lost at once.
    static let most = 131_072

    private var losses: Set<RegistryPicture.Change> = []
    /// When what has not come back by then is lost; nil: nothing is missing.
    private(set) var end: Timestamp?

    /// How many there are.
    var count: Int { losses.count }

    /// Puts off what a change of clusters takes back. Returns what changes at once.
    ///
    /// - Parameters:
    ///   - changes: From the picture of one cluster to that of another.
    ///   - picture: That of the other one.
    ///   - end: When what is missing is lost, unless something is missing already.
    mutating func take(
        _ changes: [RegistryPicture.Change], _ picture: RegistryPicture, until end: Timestamp
    ) -> [RegistryPicture.Change] {
        losses = losses.filter { !picture.has($0) }
        if losses.isEmpty { self.end = nil }
        let now = changes.filter { change in
            guard change.isLoss, losses.count < Self.most else { return true }
            losses.insert(change)
            return false
        }
        if !losses.isEmpty { self.end = self.end ?? end }
        return now
    }

    /// Ends the wait. Returns what did not come back.
    mutating func giveUp(_ picture: RegistryPicture) -> [RegistryPicture.Change] {
        defer { (losses, end) = ([], nil) }
        return losses.filter { !picture.has($0) }
    }
}
