import CNetlink
import Synchronization

/// Names of the numbers that routes carry, from libnl's dictionary and the files in /etc/iproute2.
///
/// The files are read when the first name is asked for, and once. Safe on any thread.
public enum Names {
    /// The name of a route protocol (`rtm_protocol`), such as `static`; the number when it has none.
    ///
    /// Source: /etc/iproute2/rt_protos.
    public static func routeProtocol(_ number: UInt8) -> String {
        name(of: UInt32(number)) { rtnl_route_proto2str(Int32(number), $0, $1) }
    }

    /// The number of a route protocol from its name, or from decimal digits. Range: 0 to 255.
    public static func routeProtocol(named name: String) -> UInt8? {
        number(of: name, rtnl_route_str2proto).flatMap { UInt8(exactly: $0) }
    }

    /// The name of a routing table (`RTA_TABLE`), such as `main`; the number when it has none.
    ///
    /// Source: /etc/iproute2/rt_tables.
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

    /// Whether the files were read. libnl's lists have no lock of their own, so every use holds this one.
    private static let isLoaded = Mutex(false)

    private static func withDictionary<T: Sendable>(_ body: () -> sending T) -> T {
        isLoaded.withLock { isLoaded in
            if !isLoaded {
                // A missing file leaves libnl without names; numbers are shown then.
                _ = rtnl_route_read_protocol_names("/etc/iproute2/rt_protos")
                _ = rtnl_route_read_table_names("/etc/iproute2/rt_tables")
                isLoaded = true
            }
            return body()
        }
    }

    private static func name(
        of number: UInt32, _ lookUp: (UnsafeMutablePointer<CChar>, Int) -> UnsafeMutablePointer<CChar>?
    ) -> String {
        let text = withDictionary {
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer -> String? in
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
