// swift-tools-version: 6.1
import PackageDescription

let plain: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let strict: [SwiftSetting] =
    plain + [
        // Generic code of the reconciler is specialised for the kernel's world: a fifth less CPU time for an apply.
        // Overlapping accesses are looked for in debug builds, with which the tests run: another twentieth.
        .unsafeFlags(
            ["-cross-module-optimization", "-enforce-exclusivity=unchecked"], .when(configuration: .release))
    ]

// Which commit is built: `scripts/lib.sh` says it, and `--version` tells it. One small file is compiled anew for another one.
let commit = Context.environment["NSM_AGENT_COMMIT"].flatMap { text in
    text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") } && text.count <= 60 ? text : nil
}

let grpc: [Target.Dependency] = [
    .product(name: "GRPCCore", package: "grpc-swift-2"),
    .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
    .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
    .product(name: "SwiftProtobuf", package: "swift-protobuf"),
]

let package = Package(
    name: "nsm-agent",
    products: [
        .executable(name: "nsm-agent", targets: ["nsm-agent"]),
        .executable(name: "cnf-crd", targets: ["cnf-crd"]),
        // What it is made of carries no flags that a package which depends on it would be refused for.
        .library(name: "NSM", targets: ["NSM", "SPIFFE"]),
        .library(name: "EtcdClient", targets: ["EtcdClient"]),
        .library(name: "KubernetesClient", targets: ["KubernetesClient"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", from: "2.4.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        // Without traits, as with them it would bring all of Foundation.
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.30.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
    ],
    targets: [
        // What Swift can't see: system calls and macros.
        .target(name: "CLinux"),
        .systemLibrary(name: "CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(
            name: "CNetlink", pkgConfig: "libnl-route-3.0", providers: [.apt(["libnl-3-dev", "libnl-route-3-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        .target(
            name: "CBuild", cSettings: commit.map { [.define("NSM_AGENT_COMMIT", to: "\"\($0)\"")] } ?? []),
        .target(name: "NetworkTypes", swiftSettings: plain),
        .target(name: "Concurrency", swiftSettings: plain),
        .target(name: "Netlink", dependencies: ["CLinux", "CMnl", "CNetlink", "NetworkTypes"], swiftSettings: strict),
        .target(name: "YAML", dependencies: ["CYAML", "Concurrency"], swiftSettings: plain),
        .target(
            name: "Model",
            dependencies: ["NetworkTypes", "YAML", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["Protos"], swiftSettings: strict),
        .target(
            name: "Reconciler",
            dependencies: ["Concurrency", .product(name: "HeapModule", package: "swift-collections")],
            swiftSettings: strict),

        // The mesh. None of these rooms knows the agent.
        .target(
            name: "SPIFFE",
            dependencies: [
                "Concurrency",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ], exclude: ["Protos"], swiftSettings: plain),
        .target(
            name: "MeshTransport",
            dependencies: [
                "CLinux", "Concurrency", "SPIFFE",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOHPACK", package: "swift-nio-http2"),
                .product(name: "NIOHTTP2", package: "swift-nio-http2"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: plain),
        .target(
            name: "NSM",
            dependencies: grpc + [
                "CLinux", "Concurrency", "NetworkTypes", "SPIFFE", "MeshTransport",
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ], exclude: ["Protos"], swiftSettings: plain),
        .target(
            name: "Mesh",
            dependencies: grpc + [
                "CLinux", "Concurrency", "NetworkTypes", "Netlink", "SPIFFE", "MeshTransport", "NSM", "Model",
                "LinuxKinds", "Reconciler", "EtcdClient", .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ], exclude: ["Status/Protos", "Etcd/Protos"], swiftSettings: strict),
        .target(
            name: "LinuxKinds",
            dependencies: ["CLinux", "Concurrency", "Netlink", "Model", "Reconciler", "NetworkTypes"],
            swiftSettings: strict),
        .target(
            name: "EtcdClient",
            dependencies: grpc + [
                "Concurrency", "MeshTransport", .product(name: "Logging", package: "swift-log"),
            ],
            exclude: ["Protos"], swiftSettings: plain),
        .target(
            name: "KubernetesClient",
            dependencies: [
                "Concurrency", "YAML",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: plain),
        // Engines of containers. It knows nothing of values.
        .target(
            name: "Containers",
            dependencies: grpc + [
                "Concurrency", "KubernetesClient", .product(name: "Logging", package: "swift-log"),
            ], exclude: ["CRI/Protos"], swiftSettings: plain),
        .target(
            name: "Northbound",
            dependencies: [
                "Model", "Reconciler", "CLinux", "Concurrency", "MeshTransport", "EtcdClient", "KubernetesClient",
                "YAML",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            exclude: ["Control/Protos", "GRPC/Protos", "Journal/Protos", "Page/Files", "Page/README.md", "README.md"],
            swiftSettings: strict),
        .target(
            name: "NSMKinds", dependencies: ["Concurrency", "Model", "Reconciler", "NSM", "NetworkTypes"],
            swiftSettings: strict),
        .target(
            name: "NSMServices",
            dependencies: [
                "CLinux", "Concurrency", "Model", "Reconciler", "NSM", "NSMKinds", "SPIFFE", "MeshTransport",
                "NetworkTypes", "YAML",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "Agent",
            dependencies: [
                "NSMKinds", "NSMServices", "Northbound", "LinuxKinds", "Model", "Reconciler", "Netlink", "CLinux",
                "CBuild", "Concurrency", "Containers",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "nsm-agent",
            dependencies: [
                "Agent", "Containers", "Northbound", "LinuxKinds", "Model", "Reconciler", "Netlink", "CLinux", "Mesh",
                "NSM", "NSMServices", "MeshTransport", "NetworkTypes", "Concurrency", "EtcdClient", "KubernetesClient",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        // The controller that writes resources of Kubernetes into etcd.
        .target(
            name: "CNFController",
            dependencies: [
                "Concurrency", "EtcdClient", "KubernetesClient", "Model",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "cnf-crd",
            dependencies: [
                "CNFController", "Agent", "EtcdClient", "KubernetesClient", "Northbound",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        // Programs that use nothing but the library, as its users would: what is the package's is not theirs.
        .executableTarget(
            name: "nsm-client-example", dependencies: ["NSM", .product(name: "Logging", package: "swift-log")],
            path: "examples/nsm-client", exclude: ["README.md", "programs.sh", "run"], packageAccess: false,
            swiftSettings: plain),
        .executableTarget(
            name: "nsm-endpoint-example", dependencies: ["NSM", .product(name: "Logging", package: "swift-log")],
            path: "examples/nsm-endpoint", exclude: ["README.md", "run"], packageAccess: false, swiftSettings: plain),

        // Many agents in one process, for examples/scale.
        .executableTarget(
            name: "scale-agents",
            dependencies: [
                "EtcdClient", "KubernetesClient", "Model", "Northbound",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], path: "examples/scale", exclude: ["README.md", "kubernetes.py", "measure.py", "run"],
            swiftSettings: strict),

        // Parts of scripts/bench.
        .executableTarget(
            name: "change-bench",
            dependencies: ["Agent", "LinuxKinds", "Model", "Netlink", "Northbound", "Reconciler"],
            path: "scripts/bench.d/change", swiftSettings: strict),
        .executableTarget(
            name: "registry-bench",
            dependencies: ["Concurrency", "MeshTransport", "NSM", .product(name: "Logging", package: "swift-log")],
            path: "scripts/bench.d/registry", swiftSettings: plain),

        .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
        .testTarget(
            name: "ConcurrencyTests", dependencies: ["Concurrency", "CLinux", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "NetworkTypesTests", dependencies: ["NetworkTypes", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "ModelTests", dependencies: ["Model", "NetworkTypes", "TestSupport"], exclude: ["Corpus"],
            swiftSettings: strict),
        .testTarget(
            name: "EtcdClientTests",
            dependencies: ["EtcdClient", "TestSupport", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(
            name: "KubernetesClientTests",
            dependencies: [
                "KubernetesClient", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: plain),
        .testTarget(
            name: "ContainersTests",
            dependencies: grpc + [
                "Containers", "CLinux", "TestSupport", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CNFControllerTests",
            dependencies: ["CNFController", "Concurrency", "EtcdClient", "KubernetesClient", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "NorthboundTests",
            dependencies: [
                "Northbound", "Model", "Reconciler", "Concurrency", "MeshTransport", "TestSupport", "EtcdClient",
                "KubernetesClient",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ReconcilerTests", dependencies: ["Concurrency", "Reconciler", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "SPIFFETests",
            dependencies: [
                "Concurrency", "SPIFFE", "TestSupport",
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "Crypto", package: "swift-crypto"),
            ], swiftSettings: plain),
        .testTarget(
            name: "MeshTransportTests",
            dependencies: [
                "Concurrency", "MeshTransport", "SPIFFE", "CLinux", "TestSupport",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: plain),
        .testTarget(
            name: "NSMTests",
            dependencies: [
                "Concurrency", "NSM", "NetworkTypes", "MeshTransport", "SPIFFE", "CLinux", "TestSupport",
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ], swiftSettings: plain),
        .testTarget(
            name: "NSMKindsTests",
            dependencies: [
                "NSMKinds", "NSM", "NetworkTypes", "Model", "TestSupport",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ], swiftSettings: strict),
        .testTarget(
            name: "NSMServicesTests",
            dependencies: [
                "Concurrency", "NSMServices", "NSM", "SPIFFE", "NetworkTypes", "Model", "Reconciler", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ], swiftSettings: strict),
        .testTarget(
            name: "MeshTests",
            dependencies: [
                "Mesh", "NSM", "SPIFFE", "MeshTransport", "NetworkTypes", "Netlink", "CLinux", "Concurrency",
                "EtcdClient", "Northbound", "TestSupport",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            swiftSettings: strict),
        .testTarget(name: "NetlinkTests", dependencies: ["Netlink", "CLinux", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "LinuxKindsTests",
            dependencies: [
                "TestSupport", "Concurrency", "LinuxKinds", "Model", "Reconciler", "Netlink", "NetworkTypes", "CLinux",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "Concurrency", "Northbound", "LinuxKinds", "NSMKinds", "NSMServices", "NSM", "SPIFFE", "Model",
                "TestSupport",
                "Reconciler", "CLinux", "nsm-agent", .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
    ]
)
