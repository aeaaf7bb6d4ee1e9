import Model
import Testing

@testable import LinuxKinds

@Suite struct NumberTests {
    @Test("every word has a number, and is the word for it")
    func tables() {
        for type in RouteType.allCases { #expect(Numbers.routeType.word(Numbers.routeType[type]) == type) }
        for scope in RouteScope.allCases { #expect(Numbers.scope.word(Numbers.scope[scope]) == scope) }
        for mode in MACVLANMode.allCases { #expect(MACVLANKind.modes.word(MACVLANKind.modes[mode]) == mode) }
        for mode in IPVLANMode.allCases { #expect(IPVLANKind.modes.word(IPVLANKind.modes[mode]) == mode) }
        for tag in VLANSpec.TagProtocol.allCases {
            #expect(VLANKind.ethertypes.word(VLANKind.ethertypes[tag]) == tag)
        }
        #expect(Numbers.routeType.word(2) == nil && Numbers.scope.word(255) == nil)
    }

    @Test("names of the host are those of ip(8), in the numbers of messages")
    func names() {
        let names = HostNames.resolver
        #expect(names.number(of: "main", in: .table) == 254 && names.name(of: 254, in: .table) == "main")
        #expect(names.number(of: "link", in: .scope) == Int64(Ligato_Linux_L3_Route.Scope.link.rawValue))
        #expect(names.number(of: "nowhere", in: .scope) == nil)
        #expect(names.number(of: "prohibit", in: .routeType) == Int64(Ligato_Linux_L3_Route.TypeEnum.prohibit.rawValue))
        #expect(names.number(of: "prohibit", in: .routeType) == Int64(Nsmagent_Linux_Rule.Action.prohibit.rawValue))
        #expect(names.number(of: "throw", in: .routeType) == nil)
        #expect(names.names(in: .table).contains("main") && names.names(in: .routeType).contains("blackhole"))
        #expect(names.number(of: "no such table", in: .table) == nil && names.name(of: 123_456, in: .table) == nil)
    }
}
