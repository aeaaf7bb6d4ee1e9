internal import Netlink

/// The namespaces that are known, by the numbers that operations name them by.
///
/// A number is given once and never again, so that an operation, an event or a snapshot from before a namespace went can't
/// mean another one.
struct NamespaceTable: Sequence {
    private var byID: [Int: NamespaceState] = [:]
    /// In the order in which they were found.
    private var ordered: [NamespaceState] = []
    /// The number of the next namespace.
    private(set) var nextID = 0
    /// Changes whenever a link may be found elsewhere than before.
    let version = PictureVersion()
    /// The links that were moved out of our own namespace.
    let loans = LoanBook()
    /// The alternative names that we gave links of others.
    let altNames = AltNameBook()

    /// How many there are, with those that went and were not forgotten yet.
    var count: Int { ordered.count }

    /// The namespace with a number; nil: it went.
    subscript(id: Int) -> NamespaceState? { byID[id] }

    func makeIterator() -> IndexingIterator<[NamespaceState]> { ordered.makeIterator() }

    /// Adds a namespace under the next number.
    mutating func add(_ reference: NamespaceReference, _ handle: NetworkNamespace?) -> NamespaceState {
        let state = NamespaceState(id: nextID, reference: reference, handle: handle, version: version, loans: loans)
        nextID += 1
        byID[state.id] = state
        ordered.append(state)
        return state
    }

    /// Forgets those that went.
    mutating func forgetLost() {
        guard ordered.contains(where: \.isLost) else { return }
        for state in ordered where state.isLost { byID[state.id] = nil }
        ordered.removeAll(where: \.isLost)
    }
}

/// The version of a picture of links, namespaces and their names: what was found in it is found again as long as it is the
/// same.
final class PictureVersion {
    var number = 0
}
