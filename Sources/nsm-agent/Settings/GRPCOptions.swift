internal import ArgumentParser
internal import MeshTransport
internal import Northbound

/// How programs talk to the agent by gRPC.
struct GRPCOptions: ParsableArguments, Sendable {
    @Option(
        name: .customLong("grpc-listen"), parsing: .singleValue,
        help: ArgumentHelp(
            "Where the gRPC API is: unix:///path for root alone, or tcp://127.0.0.1:9111, where only root's programs may change things. Can be given more than once. (default: nowhere)",
            valueName: "url"))
    var grpcListen: [String] = []
    @Flag(help: "Let everybody who reaches the gRPC API change things.")
    var grpcInsecure = false
    @Option(help: ArgumentHelp("The server's certificates for TLS, PEM.", valueName: "file"))
    var grpcCert: String?
    @Option(help: ArgumentHelp("The key of --grpc-cert, PEM.", valueName: "file"))
    var grpcKey: String?
    @Option(
        name: .customLong("grpc-client-ca"), parsing: .singleValue,
        help: ArgumentHelp(
            "Authorities of clients' certificates, PEM; without such a certificate nobody is served over TCP. Can be given more than once.",
            valueName: "file"))
    var grpcClientCA: [String] = []
    @Option(help: ArgumentHelp("The longest message that the gRPC API takes.", valueName: "bytes"))
    var grpcMaxMessageSize = 4 << 20
    @Option(help: ArgumentHelp("Calls at once on one connection to the gRPC API.", valueName: "count"))
    var grpcMaxStreams = 1024

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        _ = try addresses()
        guard (1024...(1 << 30)).contains(grpcMaxMessageSize) else {
            throw ValidationError("--grpc-max-message-size \(grpcMaxMessageSize): 1024 to \(1 << 30) are needed")
        }
        guard (1...65536).contains(grpcMaxStreams) else {
            throw ValidationError("--grpc-max-streams \(grpcMaxStreams): 1 to 65536 are needed")
        }
    }

    private func addresses() throws -> [SocketAddress] {
        try grpcListen.map { text in
            guard let address = SocketAddress(url: text) else {
                throw ValidationError("--grpc-listen '\(text)': unix:///path or tcp://address:port is needed")
            }
            return address
        }
    }

    /// Nil: the gRPC API is off.
    ///
    /// - Parameter isUpstream: Whether the agent before this one is meant, which serves everybody.
    func settings(isUpstream: Bool = false) throws -> GRPCSettings? {
        let addresses = try addresses()
        if addresses.isEmpty { return nil }
        let tls = try TLSFiles(options: "grpc", grpcCert, grpcKey, grpcClientCA)
        var settings = GRPCSettings(
            addresses: addresses, isInsecure: grpcInsecure, tls: tls, messageLimit: grpcMaxMessageSize,
            streamLimit: grpcMaxStreams)
        if !grpcInsecure, tls?.clientFiles.isEmpty ?? true, let open = addresses.first(where: { !$0.isLocal }) {
            if isUpstream {
                settings.lookReason =
                    "only root of this host may change things here: grpc.conf has no ca-files beside cert-file and key-file, and does not say insecure-transport: true"
                return settings
            }
            throw Failure(
                "--grpc-listen \(open.url): beyond this host everybody could change things; give --grpc-client-ca with --grpc-cert and --grpc-key, or say --grpc-insecure if that is meant, or listen on 127.0.0.1 or a Unix socket",
                status: ExitStatus.invalid)
        }
        return settings
    }
}
