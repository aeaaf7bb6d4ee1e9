internal import Concurrency
internal import NSM
internal import SwiftProtobuf
internal import Synchronization

/// How much registries may report, and what becomes of what is beyond.
extension RemoteEndpoints {
    /// A registry says that there is an endpoint.
    ///
    /// - Throws: ``Omission`` for one that no registry of ours would take, or when there are too many.
    func take(_ endpoint: NSMNetworkServiceEndpoint, from source: RegistrySource) throws(Omission) {
        let size = Self.size(endpoint)
        try Self.check(endpoint.name, "an endpoint", size, services: endpoint.networkServiceNames.count)
        let key = Key(endpoint)
        try checkRoom(.tooManyEndpoints) { state, limits in
            state.endpointUse[source, default: Use()]
                .hasRoom(for: size, insteadOf: state.found[key]?.sources[source], limits)
        }
        add(endpoint, from: source)
    }

    /// A registry says that there is a service.
    ///
    /// - Throws: As for an endpoint.
    func take(_ service: NSMNetworkService, from source: RegistrySource) throws(Omission) {
        let size = Self.size(service)
        try Self.check(service.name, "a service", size)
        try checkRoom(.tooManyServices) { state, limits in
            state.serviceUse[source, default: Use()]
                .hasRoom(for: size, insteadOf: state.services[service.name]?[source]?.report, limits)
        }
        add(service, from: source)
    }

    private static func check(_ name: String, _ what: String, _ size: Int, services: Int = 0) throws(Omission) {
        do throws(RegistryStore.Refused) {
            try RegistryStore.check(name, what, size)
            if services > RegistryStore.mostServices {
                throw RegistryStore.Refused(
                    description: "\(name) offers more than \(RegistryStore.mostServices) services")
            }
        } catch {
            throw Omission(kind: .unfit, description: error.description)
        }
    }

    private func checkRoom(_ kind: Omission.Kind, _ hasRoom: (State, Limits) -> Bool) throws(Omission) {
        let now = Timestamp.now
        let isRoom = state.withLock { state in
            if hasRoom(state, limits) { return true }
            // What has expired takes up none. To look for it is the work of all that there is, and a registry that reports too much
            // reports much.
            guard let firstEnd = state.firstEnd, firstEnd <= now else { return false }
            Self.prune(&state, now)
            return hasRoom(state, limits)
        }
        if isRoom { return }
        throw Omission(
            kind: kind,
            description: "a registry reports more than the \(limits.count) endpoints or services, or the"
                + " \(limits.bytes >> 20) MiB, that are kept")
    }

    /// Notes that something was left out. Returns whether that is news of its kind.
    func note(_ omission: Omission, of source: RegistrySource) -> Bool {
        state.withLock { state in
            let isNews = state.omissions[source, default: []].insert(omission.kind).inserted
            if state.followed[source] != nil { state.troubles[source] = Omission.text(state.omissions[source]) }
            return isNews
        }
    }

    /// A registry is followed anew: it will report all that there is.
    func begin(_ source: RegistrySource) { state.withLock { $0.omissions[source] = nil } }

    /// Whether a registry of whose reports some were left out is to be followed anew, as there is room again for such.
    func hasRoomAgain(_ source: RegistrySource) -> Bool {
        state.withLock { state in
            let omissions = state.omissions[source] ?? []
            return omissions.contains(.tooManyEndpoints)
                && state.endpointUse[source, default: Use()].isLoose(limits)
                || omissions.contains(.tooManyServices)
                    && state.serviceUse[source, default: Use()].isLoose(limits)
        }
    }

    /// How often all that is known was looked at for what has expired.
    var prunes: Int { state.withLock(\.prunes) }

    static func size(_ message: some SwiftProtobuf.Message) -> Int {
        (try? message.serializedData().count) ?? .max / 2
    }

    /// Why something that a registry reports is left out.
    struct Omission: Error, CustomStringConvertible {
        enum Kind: Hashable {
            /// No registry of ours would take it.
            case unfit
            /// The registry reports too many endpoints, or too large ones.
            case tooManyEndpoints
            /// Such services.
            case tooManyServices
        }
        let kind: Kind
        let description: String

        /// For people; nil: nothing was left out.
        static func text(_ omissions: Set<Omission.Kind>?) -> String? {
            guard let omissions, !omissions.isEmpty else { return nil }
            return omissions != [.unfit]
                ? "it reports more than is kept, so some of it is left out"
                : "it reports what no registry takes, which is left out"
        }
    }

    /// What a registry said of something.
    struct Report {
        /// When it expires; nil: it is still said.
        var end: Timestamp?
        /// Bytes.
        let size: Int

        func isLive(at now: Timestamp) -> Bool { end.map { $0 > now } ?? true }
    }

    /// How much there is of something.
    struct Use {
        var count = 0
        var bytes = 0

        /// Whether there is room for something in place of what was there.
        func hasRoom(for size: Int, insteadOf old: Report?, _ limits: Limits) -> Bool {
            (old != nil || count < limits.count) && bytes - (old?.size ?? 0) <= limits.bytes - size
        }

        /// Whether some room has come.
        func isLoose(_ limits: Limits) -> Bool {
            count <= limits.count - limits.count / 8 && bytes <= limits.bytes - limits.bytes / 8
        }
    }
    /// How much a registry may report. What etcd tells has such limits of its own.
    struct Limits {
        /// Endpoints, and reports of services.
        var count = 131_072
        /// Bytes of endpoints, and of services.
        var bytes = 64 << 20
    }
}
