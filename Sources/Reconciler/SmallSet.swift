/// A set for thousands of places that mostly hold a few elements each: these are in a plain list, and many in a real set.
@frozen
public struct SmallSet<Element: Hashable & Sendable>: Sendable {
    @usableFromInline var few: [Element] = []
    @usableFromInline var many: Set<Element> = []

    @inlinable static var limit: Int { 24 }

    /// Makes an empty set.
    @inlinable
    public init() {}

    /// Whether there is no element.
    @inlinable public var isEmpty: Bool { few.isEmpty && many.isEmpty }

    /// Takes in an element that may be there.
    @inlinable
    public mutating func insert(_ element: Element) {
        if !many.isEmpty {
            many.insert(element)
        } else if !few.contains(element) {
            few.append(element)
            if few.count > Self.limit {
                many = Set(few)
                few = []
            }
        }
    }

    /// Takes out an element that may not be there.
    @inlinable
    public mutating func remove(_ element: Element) {
        if !many.isEmpty {
            many.remove(element)
        } else if let index = few.firstIndex(of: element) {
            few.swapAt(index, few.count - 1)
            few.removeLast()
        }
    }

    /// Calls `body` for each element, in no particular order.
    @inlinable
    public func forEach(_ body: (Element) -> Void) {
        few.forEach(body)
        many.forEach(body)
    }

    /// Adds all elements to a set.
    @inlinable
    public func add(to set: inout Set<Element>) {
        set.formUnion(few)
        if !many.isEmpty { set.formUnion(many) }
    }
}
