/// The rules by which a connection's path grows and shrinks.
///
/// Nothing here knows of tokens or transports.

/// A path that breaks the rules.
package struct PathError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Which rule, and how.
    package let description: String
    init(_ text: String) { description = text }
}

/// What an answer must give back to the caller.
package struct Hop: Hashable, Sendable {
    /// Where the caller stands on the path.
    package let callerIndex: UInt32
    /// The caller's id of the connection.
    package let callerID: String
    /// Where this component stands.
    package let ownIndex: UInt32
    /// This component's id of the connection.
    package let ownID: String

    /// The same with another id here, which the connection takes as well.
    package func renamed(_ id: String, in connection: inout NSMConnection) -> Hop {
        connection.id = id
        connection.path.pathSegments[Int(ownIndex)].id = id
        return Hop(callerIndex: callerIndex, callerID: callerID, ownIndex: ownIndex, ownID: id)
    }

    /// Makes the answer the caller's again.
    package func leave(_ connection: inout NSMConnection) {
        connection.id = callerID
        connection.path.index = callerIndex
    }
}

extension NSMConnection {
    /// Segments of a path that are taken. The longest ways of today have 6, and each costs a look at its token.
    static let longestPath = 64

    /// Enters a component: makes `id` and `path.index` its own.
    ///
    /// - Parameters:
    ///   - name: The component's name.
    ///   - newID: Creates unique ids.
    /// - Throws: when index, segments and id don't fit together.
    @discardableResult
    package mutating func enter(
        _ name: String, newID: () -> String = { randomID() }
    ) throws(PathError) -> Hop {
        if path.pathSegments.isEmpty {
            if id.isEmpty { id = newID() }
            path.index = 0
            var segment = NSMPathSegment()
            segment.name = name
            segment.id = id
            path.pathSegments = [segment]
            return Hop(callerIndex: 0, callerID: id, ownIndex: 0, ownID: id)
        }
        guard path.pathSegments.count <= Self.longestPath else {
            throw PathError("it has \(path.pathSegments.count) segments; at most \(Self.longestPath) are taken")
        }
        let index = Int(path.index)
        guard index < path.pathSegments.count else {
            throw PathError("path index \(index) is beyond the \(path.pathSegments.count) segments")
        }
        let current = path.pathSegments[index]
        let caller = (index: path.index, id: id)
        if current.name == name {
            id = current.id
            return Hop(callerIndex: caller.index, callerID: caller.id, ownIndex: path.index, ownID: id)
        }
        guard current.id == id else {
            throw PathError("the connection's id \(id) is not that of the segment \(current.name), \(current.id)")
        }
        if index + 1 < path.pathSegments.count {
            if path.pathSegments[index + 1].name != name {
                path.pathSegments[index + 1].name = name
                path.pathSegments[index + 1].id = newID()
            }
        } else {
            var segment = NSMPathSegment()
            segment.name = name
            segment.id = newID()
            path.pathSegments.append(segment)
        }
        path.index += 1
        id = path.pathSegments[index + 1].id
        return Hop(callerIndex: caller.index, callerID: caller.id, ownIndex: path.index, ownID: id)
    }

    /// The segment of the component that speaks.
    package var currentSegment: NSMPathSegment? {
        let index = Int(path.index)
        return index < path.pathSegments.count ? path.pathSegments[index] : nil
    }

    /// The segment of the component before it.
    package var previousSegment: NSMPathSegment? {
        let index = Int(path.index) - 1
        return index >= 0 && index < path.pathSegments.count ? path.pathSegments[index] : nil
    }

    /// Drops the segments after the one that speaks, as a component does that called nobody.
    package mutating func trimPath() {
        let count = Int(path.index) + 1
        if path.pathSegments.count > count { path.pathSegments.removeSubrange(count...) }
    }
}

/// A random UUID (RFC 9562, version 4).
package func randomID() -> String {
    var high = UInt64.random(in: 0...UInt64.max)
    var low = UInt64.random(in: 0...UInt64.max)
    high = (high & 0xffff_ffff_ffff_0fff) | 0x4000
    low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
    func hex(_ value: UInt64, _ digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    return "\(hex(high >> 32, 8))-\(hex((high >> 16) & 0xffff, 4))-\(hex(high & 0xffff, 4))"
        + "-\(hex(low >> 48, 4))-\(hex(low & 0xffff_ffff_ffff, 12))"
}
