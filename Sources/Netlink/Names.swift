import CLinux
import CNetlink
import Glibc
import Synchronization

/// Names of the numbers that routes carry, as ip(8) knows them: from libnl's dictionary, filled from the files of iproute2.
///
/// The files are read when the first name is asked for, and again by ``reload()``. Safe on any thread.
public enum Names {
    /// Reads the files again when the next name is asked for.
    public static func reload() { lists.withLock { $0 = nil } }

    /// All names of routing tables, sorted. Source: rt_tables.
    public static var tables: [String] { withLists { $0.tables } }

    /// All names of scopes.
    public static var scopes: [String] { (0...255).map { scope($0) }.filter { UInt8($0) == nil } }

    /// All names of route types.
    public static var routeTypes: [String] { (0...255).map { routeType($0) }.filter { UInt8($0) == nil } }

    /// The name of a route protocol (`rtm_protocol`), such as `static`; the number when it has none.
    ///
    /// Source: rt_protos.
    public static func routeProtocol(_ number: UInt8) -> String {
        name(of: UInt32(number)) { rtnl_route_proto2str(Int32(number), $0, $1) }
    }

    /// The number of a route protocol from its name, or from decimal digits. Range: 0 to 255.
    public static func routeProtocol(named name: String) -> UInt8? {
        number(of: name, rtnl_route_str2proto).flatMap { UInt8(exactly: $0) }
    }

    /// The name of a routing table (`RTA_TABLE`), such as `main`; the number when it has none.
    ///
    /// Source: rt_tables.
    public static func table(_ number: UInt32) -> String {
        // libnl's numbers are `int`; no file names a table beyond that.
        guard let signed = Int32(exactly: number) else { return String(number) }
        return name(of: number) { rtnl_route_table2str(signed, $0, $1) }
    }

    /// The number of a routing table from its name, or from decimal digits. Range: 0 to 4294967295.
    public static func table(named name: String) -> UInt32? {
        number(of: name, rtnl_route_str2table)
    }

    /// The name of a scope (`rtm_scope`, `ifa_scope`): `global`, `site`, `link`, `host`, `nowhere`, or the number.
    public static func scope(_ number: UInt8) -> String {
        name(of: UInt32(number)) { rtnl_scope2str(Int32(number), $0, $1) }
    }

    /// The number of a scope from its name, or from decimal digits. Range: 0 to 255.
    public static func scope(named name: String) -> UInt8? {
        number(of: name, rtnl_str2scope).flatMap { UInt8(exactly: $0) }
    }

    /// The name of a route's type (`rtm_type`), such as `unicast` or `blackhole`, or the number.
    public static func routeType(_ number: UInt8) -> String {
        name(of: UInt32(number)) { nl_rtntype2str(Int32(number), $0, $1) }
    }

    /// The number of a route's type from its name, or from decimal digits. Range: 0 to 255.
    public static func routeType(named name: String) -> UInt8? {
        number(of: name, nl_str2rtntype).flatMap { UInt8(exactly: $0) }
    }

    /// What was read from files.
    private struct Lists {
        var tables: [String]
    }

    /// nil: nothing was read yet. libnl's lists have no lock of their own, so every use holds this one.
    private static let lists = Mutex<Lists?>(nil)

    private static func withLists<T: Sendable>(_ body: (Lists) -> sending T) -> T {
        lists.withLock { lists in
            let known = lists ?? load(NameFiles())
            lists = known
            return body(known)
        }
    }

    private static func withDictionary<T: Sendable>(_ body: () -> sending T) -> T { withLists { _ in body() } }

    /// What ip(8) knows without any file. Source: lib/rt_names.c of iproute2.
    private static let builtInTables: [NameFiles.Entry] = [
        .init(number: 253, name: "default"), .init(number: 254, name: "main"), .init(number: 255, name: "local"),
    ]
    private static let builtInProtocols: [NameFiles.Entry] = [
        .init(number: 0, name: "unspec"), .init(number: 1, name: "redirect"), .init(number: 2, name: "kernel"),
        .init(number: 3, name: "boot"), .init(number: 4, name: "static"),
    ]

    private static func load(_ files: NameFiles) -> Lists {
        let tables = builtInTables + files.entries(of: "rt_tables")
        feed(tables, rtnl_route_read_table_names)
        feed(builtInProtocols + files.entries(of: "rt_protos"), rtnl_route_read_protocol_names)
        return Lists(tables: Set(tables.map(\.name)).sorted())
    }

    /// Fills one of libnl's lists. Each time it reads a file it forgets what it knew, so all of them have to be one file;
    /// and the first entry for a number or name counts, where with ip(8) the last one does.
    private static func feed(_ entries: [NameFiles.Entry], _ read: (UnsafePointer<CChar>) -> Int32) {
        // A longer name does not fit into what names are printed to.
        let known = entries.reversed().filter { $0.number <= Int32.max && $0.name.utf8.count < nameLength }
        let text = known.map { "\($0.number)\t\($0.name)\n" }.joined()
        let descriptor = cl_memfd("names")
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
        _ = read("/proc/self/fd/\(descriptor)")
    }

    /// The most bytes of a name, with the NUL.
    private static let nameLength = 64

    private static func name(
        of number: UInt32, _ lookUp: (UnsafeMutablePointer<CChar>, Int) -> UnsafeMutablePointer<CChar>?
    ) -> String {
        let text = withDictionary {
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: nameLength) { buffer -> String? in
                guard let start = buffer.baseAddress, let text = lookUp(start, buffer.count) else { return nil }
                return String(cString: text)
            }
        }
        // libnl prints numbers without a name in hexadecimal.
        guard let text, !text.hasPrefix("0x"), !text.isEmpty else { return String(number) }
        return text
    }

    private static func number(of name: String, _ lookUp: (UnsafePointer<CChar>) -> Int32) -> UInt32? {
        if !name.hasPrefix("+"), let number = UInt32(name) { return number }
        // libnl would take any number in any base here; only names are left.
        guard let first = name.unicodeScalars.first, first.properties.isAlphabetic else { return nil }
        let result = withDictionary { name.withCString(lookUp) }
        return result >= 0 ? UInt32(result) : nil
    }
}
