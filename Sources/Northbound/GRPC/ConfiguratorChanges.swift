internal import GRPCCore
internal import GRPCProtobuf

/// Registers the changes of a ``ConfiguratorFace`` anew, after it, as calls of an unknown form.
///
/// Of calls that are known to have one answer the transport holds the header back until that answer is there. But a client
/// that waits for a value to be done wants to know the number of the transaction meanwhile.
struct ConfiguratorChanges: RegistrableRPCService {
    let face: ConfiguratorFace

    func registerMethods<Transport>(with router: inout RPCRouter<Transport>) where Transport: ServerTransport {
        typealias Method = Ligato_Configurator_ConfiguratorService.Method
        let update = Self.formless(Method.Update.descriptor)
        let delete = Self.formless(Method.Delete.descriptor)
        for method in [update, delete] { router.removeHandler(forMethod: method) }
        router.registerHandler(
            forMethod: update, deserializer: ProtobufDeserializer<Method.Update.Input>(),
            serializer: ProtobufSerializer<Method.Update.Output>()
        ) { request, context in try await face.update(request: request, context: context) }
        router.registerHandler(
            forMethod: delete, deserializer: ProtobufDeserializer<Method.Delete.Input>(),
            serializer: ProtobufSerializer<Method.Delete.Output>()
        ) { request, context in try await face.delete(request: request, context: context) }
    }

    private static func formless(_ method: MethodDescriptor) -> MethodDescriptor {
        MethodDescriptor(service: method.service, method: method.method)
    }
}
