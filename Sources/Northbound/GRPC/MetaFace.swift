internal import GRPCCore
internal import Model
internal import SwiftProtobuf

/// `ligato.generic.MetaService`: the models, and their descriptors.
struct MetaFace: Ligato_Generic_MetaService.SimpleServiceProtocol {
    func knownModels(
        request: Ligato_Generic_KnownModelsRequest, context: ServerContext
    ) async throws -> Ligato_Generic_KnownModelsResponse {
        var response = Ligato_Generic_KnownModelsResponse()
        guard request.class.isEmpty || request.class == "config" else { return response }
        response.knownModels = ModelRegistry.all.map { Ligato_Generic_ModelDetail($0) }
        return response
    }

    func protoFileDescriptor(
        request: Ligato_Generic_ProtoFileDescriptorRequest, context: ServerContext
    ) async throws -> Ligato_Generic_ProtoFileDescriptorResponse {
        let name = request.fullProtoFileName
        let files = ModelRegistry.all.contains { $0.protoFile == name } ? Descriptors.shared.closure(of: name) : []
        guard let file = files.first else {
            throw RPCError(code: .notFound, message: "Can't find proto file \(name) using registered models.")
        }
        var response = Ligato_Generic_ProtoFileDescriptorResponse()
        response.fileDescriptor = file.descriptor
        response.fileImportDescriptors.file = files.dropFirst().map(\.descriptor)
        return response
    }
}

extension Ligato_Generic_ModelDetail {
    fileprivate init(_ model: ModelDescription) {
        self.init()
        spec.module = model.module
        spec.version = model.version
        spec.type = model.type
        spec.class = "config"
        protoName = model.protoMessage
        let (type, package) = model.goNames
        options = [
            ("nameTemplate", model.nameTemplate), ("goType", type), ("pkgPath", package),
            ("protoFile", model.protoFile),
        ].map { key, value in
            var option = Option()
            option.key = key
            option.values = [value]
            return option
        }
    }
}

extension ModelDescription {
    /// What programs in Go call the message, and the package it is in.
    fileprivate var goNames: (type: String, package: String) {
        let upstream = "go.ligato.io/vpp-agent/v3/proto/ligato/"
        return switch kind {
        case .interface: ("*linux_interfaces.Interface", upstream + "linux/interfaces")
        case .arp: ("*linux_l3.ARPEntry", upstream + "linux/l3")
        case .route: ("*linux_l3.Route", upstream + "linux/l3")
        case .ruleChain: ("*linux_iptables.RuleChain", upstream + "linux/iptables")
        case .allocation: ("*netalloc.IPAllocation", upstream + "netalloc")
        case .client: ("*nsm.NetworkServiceClient", "cnf-nsm/proto/nsm")
        case .endpoint: ("*nsm.NetworkServiceEndpoint", "cnf-nsm/proto/nsm")
        case .namespace: ("*linux.Namespace", "nsmagent/linux")
        case .rule: ("*linux.Rule", "nsmagent/linux")
        case .filterTable: ("*linux.FilterTable", "nsmagent/linux")
        case .forwarding: ("*linux.ForwardingEntry", "nsmagent/linux")
        case .qdisc: ("*linux.Qdisc", "nsmagent/linux")
        case .nextHop: ("*linux.Nexthop", "nsmagent/linux")
        case .service: ("*nsm.NetworkService", "nsmagent/nsm")
        }
    }
}
