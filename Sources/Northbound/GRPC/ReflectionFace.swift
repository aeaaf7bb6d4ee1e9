internal import GRPCCore
internal import GRPCProtobuf
internal import SwiftProtobuf

/// Server reflection, v1 and as v1alpha: what a client needs to list and call everything without any .proto file.
struct ReflectionFace: RegistrableRPCService {
    static let alphaPackage = "grpc.reflection.v1alpha"

    private typealias Request = Grpc_Reflection_V1_ServerReflectionRequest
    private typealias Response = Grpc_Reflection_V1_ServerReflectionResponse

    /// Full names of the services.
    let services: [String]

    func registerMethods<Transport>(with router: inout RPCRouter<Transport>) where Transport: ServerTransport {
        let alpha = MethodDescriptor(
            service: ServiceDescriptor(fullyQualifiedService: Self.alphaPackage + ".ServerReflection"),
            method: "ServerReflectionInfo")
        for method in [Grpc_Reflection_V1_ServerReflection.Method.ServerReflectionInfo.descriptor, alpha] {
            router.registerHandler(
                forMethod: method, deserializer: ProtobufDeserializer<Request>(),
                serializer: ProtobufSerializer<Response>()
            ) { request, _ in
                StreamingServerResponse { writer in
                    for try await message in request.messages { try await writer.write(answer(message)) }
                    return [:]
                }
            }
        }
    }

    private func answer(_ request: Request) -> Response {
        var response = Response()
        response.validHost = request.host
        response.originalRequest = request
        let descriptors = Descriptors.shared
        func files(_ name: String?, _ what: String) {
            guard let name, descriptors.files[name] != nil else {
                response.errorResponse.errorCode = Int32(RPCError.Code.notFound.rawValue)
                response.errorResponse.errorMessage = "\(what) is not known here"
                return
            }
            response.fileDescriptorResponse.fileDescriptorProto = descriptors.closure(of: name).map { .init($0.bytes) }
        }
        switch request.messageRequest {
        case .fileByFilename(let name): files(name, name)
        case .fileContainingSymbol(let symbol): files(descriptors.file(containing: symbol), symbol)
        case .fileContainingExtension(let wanted):
            let name = descriptors.file(extending: wanted.containingType, number: wanted.extensionNumber)
            files(name, "extension \(wanted.extensionNumber) of \(wanted.containingType)")
        case .allExtensionNumbersOfType(let type):
            if let numbers = descriptors.extensionNumbers(of: type) {
                response.allExtensionNumbersResponse.baseTypeName = type
                response.allExtensionNumbersResponse.extensionNumber = numbers
            } else {
                files(nil, type)
            }
        case .listServices:
            response.listServicesResponse.service = services.sorted().map { name in
                var service = Grpc_Reflection_V1_ServiceResponse()
                service.name = name
                return service
            }
        case nil:
            response.errorResponse.errorCode = Int32(RPCError.Code.invalidArgument.rawValue)
            response.errorResponse.errorMessage = "the request asks for nothing"
        }
        return response
    }
}
