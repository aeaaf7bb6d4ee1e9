internal import GRPCCore
internal import MeshTransport

/// Who makes the call that is being served.
enum Caller {
    /// What a call may do, by the face that it came through.
    enum Right: Sendable {
        /// Look and change.
        case change
        /// Only look, for a reason to tell.
        case look(String)
    }

    @TaskLocal static var right = Right.look("it is not known who calls")

    /// - Throws: PERMISSION_DENIED when the caller may only look.
    static func requireRight() throws(RPCError) {
        switch right {
        case .change: return
        case .look(let reason): throw RPCError(code: .permissionDenied, message: reason)
        }
    }

    /// Where the call comes from, for people.
    static var origin: String {
        guard let connection = ConnectionInfo.current else { return "" }
        let user = connection.credentials?.uid ?? connection.user
        return [connection.address, user.map { "user \($0)" }].compactMap(\.self).joined(separator: " ")
    }

    /// The data source that the caller speaks for.
    ///
    /// - Throws: INVALID_ARGUMENT for a name that is taken.
    static func source(_ metadata: Metadata) throws(RPCError) -> String {
        guard let name = metadata[stringValues: "datasrc"].first(where: { _ in true }), !name.isEmpty else {
            return SourceName.grpc
        }
        // It stands in logs, in status and in the history.
        let isPlain = name.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        guard !SourceName.isTaken(name), name.utf8.count <= 100, isPlain else {
            throw RPCError(
                code: .invalidArgument,
                message: "this datasrc can't be used; choose another one of at most 100 letters, digits and marks")
        }
        return name
    }
}
