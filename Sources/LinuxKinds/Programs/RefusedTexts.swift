internal import Netlink

/// Values whose texts were refused: what is in force of them stays until they are right, or gone.
///
/// A mistake in a rule must not open what the rules before it closed.
struct RefusedTexts {
    /// A table of a namespace, and the mark of the value there.
    private struct Place: Hashable {
        var namespace: Int
        var table: FilterTable.ID
        var mark: String
    }

    private var places: Set<Place> = []

    /// Notes whether the text of a value was refused.
    mutating func note(_ mark: String, in table: FilterTable.ID, _ state: NamespaceState?, isRefused: Bool) {
        guard let state, isRefused || !places.isEmpty else { return }
        let place = Place(namespace: state.id, table: table, mark: mark)
        if isRefused { places.insert(place) } else { places.remove(place) }
    }

    /// Whether what carries a mark in a table stays.
    func keep(_ mark: String, in table: FilterTable.ID, _ state: NamespaceState) -> Bool {
        !places.isEmpty && places.contains(Place(namespace: state.id, table: table, mark: mark))
    }
}

extension LinuxWorld {
    /// A value whose text was refused is declared no more, or in another way. What was kept of it has no claim that could be
    /// given up, so only a look at all finds it.
    func forgetRefusal(_ mark: String, in table: FilterTable.ID, _ namespace: NamespaceReference) {
        guard let state = byReference[namespace], refusedTexts.keep(mark, in: table, state) else { return }
        refusedTexts.note(mark, in: table, state, isRefused: false)
        told.needsFullPass = true
        hasMissedEvents = true
        watcher?.scheduleRecheck(after: 1)
    }
}
