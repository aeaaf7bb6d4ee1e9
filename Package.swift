// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // Generic code of the reconciler is specialised for the kernel's world: a fifth less CPU time for an apply.
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

let package = Package(
    name: "nsm-agent",
    products: [
        .executable(name: "nsm-agent", targets: ["nsm-agent"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.2"),
        .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", from: "2.4.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // What Swift can't see: system calls and macros.
        .target(name: "CLinux"),
        .systemLibrary(name: "CMnl", pkgConfig: "libmnl", providers: [.apt(["libmnl-dev"])]),
        .systemLibrary(
            name: "CNetlink", pkgConfig: "libnl-route-3.0", providers: [.apt(["libnl-3-dev", "libnl-route-3-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        .target(name: "NetworkTypes", swiftSettings: strict),
        .target(name: "Netlink", dependencies: ["CLinux", "CMnl", "CNetlink", "NetworkTypes"], swiftSettings: strict),
        .target(name: "YAML", dependencies: ["CYAML"], swiftSettings: strict),
        .target(
            name: "Model",
            dependencies: ["NetworkTypes", "YAML", .product(name: "SwiftProtobuf", package: "swift-protobuf")],
            exclude: ["Protos"], swiftSettings: strict),
        .target(name: "Reconciler", swiftSettings: strict),
        .target(
            name: "LinuxKinds", dependencies: ["CLinux", "Netlink", "Model", "Reconciler", "NetworkTypes"],
            swiftSettings: strict),
        .target(
            name: "Northbound",
            dependencies: [
                "Model", "Reconciler", "CLinux",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
                .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
            ],
            exclude: ["Control/Protos"], swiftSettings: strict),
        .target(
            name: "Agent",
            dependencies: [
                "Northbound", "LinuxKinds", "Model", "Reconciler", "Netlink", "CLinux",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "nsm-agent",
            dependencies: [
                "Agent", "Northbound", "LinuxKinds", "Model", "Reconciler", "Netlink", "CLinux",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
        .testTarget(name: "NetworkTypesTests", dependencies: ["NetworkTypes"], swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "ModelTests", dependencies: ["Model", "TestSupport"], exclude: ["Corpus"], swiftSettings: strict),
        .testTarget(name: "ReconcilerTests", dependencies: ["Reconciler", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "NetlinkTests", dependencies: ["Netlink", "CLinux", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "LinuxKindsTests",
            dependencies: ["TestSupport", "LinuxKinds", "Model", "Reconciler", "Netlink", "CLinux"],
            swiftSettings: strict),
        .testTarget(
            name: "AgentTests", dependencies: ["Agent", "Northbound", "CLinux", "nsm-agent"], swiftSettings: strict),
    ]
)
