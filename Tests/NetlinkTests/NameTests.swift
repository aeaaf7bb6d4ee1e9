import Glibc
import Testing

@testable import Netlink

@Suite("names and errors")
struct NameTests {
    @Test("numbers have names, or stay numbers")
    func names() {
        #expect(Names.scope(0) == "global" && Names.scope(253) == "link" && Names.scope(77) == "77")
        #expect(Names.scope(named: "host") == 254 && Names.scope(named: "77") == 77)
        #expect(Names.routeType(6) == "blackhole" && Names.routeType(named: "blackhole") == 6)
        #expect(Names.routeType(99) == "99")
        #expect(Names.routeProtocol(251) == "251" && Names.routeProtocol(named: "251") == 251)
        #expect(Names.table(4_294_967_295) == "4294967295" && Names.table(named: "4294967295") == 4_294_967_295)
        #expect(Names.table(123_456) == "123456")
        for wrong in ["", "-1", "+1", " 1", "0x10", "no such name", "256"] {
            #expect(Names.routeProtocol(named: wrong) == nil, "\(wrong)")
        }
    }

    @Test("the files of iproute2", .enabled(if: access("/etc/iproute2/rt_protos", R_OK) == 0, "no /etc/iproute2"))
    func files() {
        #expect(Names.routeProtocol(4) == "static" && Names.routeProtocol(named: "static") == 4)
        #expect(Names.table(254) == "main" && Names.table(named: "main") == 254)
    }

    @Test("errors in words")
    func errors() {
        #expect(KernelError(code: EEXIST).description == "File exists (EEXIST)")
        #expect(KernelError(errno: -EEXIST, message: "so it is").description == "File exists (EEXIST): so it is")
        #expect(KernelError(errno: EPERM).symbol == "EPERM")
        #expect(KernelError(code: 4000).description == "Unknown error (errno 4000)")
        #expect(KernelError(code: ENOBUFS).isTransient && !KernelError(code: EEXIST).isTransient)
        #expect(KernelError(errno: .min).code > 0)
    }
}
