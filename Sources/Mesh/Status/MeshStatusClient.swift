internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
internal import Logging
internal import MeshTransport

/// Asks the mesh of this host what it has.
package struct MeshStatusClient: Sendable {
    /// The default address of the mesh's status.
    package static let defaultPath = "/run/nsm-agent/mesh.sock"

    /// Why there is no answer.
    package enum Failure: Error, Sendable, CustomStringConvertible {
        /// The socket has no listener.
        case noMesh(String)
        /// We may not ask.
        case forbidden(String)
        /// It did not answer as it should.
        case noAnswer(String, reason: String)

        /// What is wrong and what to do.
        package var description: String {
            switch self {
            case .noMesh(let path):
                "no mesh is listening on \(path); start it with 'nsm-agent mesh' or 'nsm-agent run --mesh', or give --socket"
            case .forbidden(let reason): reason
            case .noAnswer(let path, let reason): "the mesh on \(path) gave no answer: \(reason); see its log"
            }
        }
    }

    private let path: String
    /// How long the mesh may take to take the connection.
    private static let patience = Duration.seconds(10)

    /// A client of the mesh that listens at a path.
    ///
    /// - Throws: ``Failure`` when the socket has no listener, or we may not connect.
    package init(path: String) throws(Failure) {
        let result = -SocketAddress.unix(path).probe()
        switch result {
        // A full queue is one at which somebody may still arrive.
        case 0, EAGAIN: break
        case ENOENT, ECONNREFUSED, ENOTDIR: throw .noMesh(path)
        case EACCES, EPERM: throw .forbidden("permission denied for \(path); the socket is for root only")
        default: throw .noAnswer(path, reason: String(cString: strerror(result)))
        }
        self.path = path
    }

    /// Everything that the mesh has.
    ///
    /// - Throws: ``Failure``.
    package func status() async throws -> Nsmagent_Mesh_StatusResponse {
        do {
            let connection = try await ClientConnection.connect(
                to: .unix(path), security: .insecure, timeout: Self.patience, takesDescriptors: false,
                logger: Logger(label: "mesh-status") { _ in SwiftLogNoOpLogHandler() })
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { await connection.run() }
                defer { connection.closeNow() }
                return try await connection.whileOpen {
                    let client = Nsmagent_Mesh_MeshStatus.Client(wrapping: connection.client)
                    return try await client.status(Nsmagent_Mesh_StatusRequest()) { response in
                        var whole = Nsmagent_Mesh_StatusResponse()
                        var isFirst = true
                        for try await part in response.messages {
                            if isFirst { whole = part } else { whole.join(part) }
                            isFirst = false
                        }
                        return whole
                    }
                }
            }
        } catch let error as RPCError where error.code == .permissionDenied {
            throw Failure.forbidden("the mesh on \(path) refuses: \(error.message)")
        } catch let error as RPCError {
            throw Failure.noAnswer(path, reason: error.message)
        } catch let error as RuntimeError {
            throw Failure.noAnswer(path, reason: error.message)
        } catch let error as TransportError {
            throw Failure.noAnswer(path, reason: "\(error)")
        }
    }
}

extension Nsmagent_Mesh_StatusResponse {
    /// Adds what the lists of a later part hold.
    fileprivate mutating func join(_ part: Self) {
        services += part.services
        endpoints += part.endpoints
        connections += part.connections
        peers += part.peers
    }
}
