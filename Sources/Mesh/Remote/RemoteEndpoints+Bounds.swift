internal import Concurrency
internal import NSM

/// How much registries may report, and what becomes of what is beyond.
extension RemoteEndpoints {
    /// Why something that a registry reports is left out.
    struct Omission: Error, CustomStringConvertible {
        enum Kind: Hashable {
            /// No registry of ours would take it.
            case unfit
            /// The registry reports too much.
            case tooMuch
        }
        let kind: Kind
        let description: String

        /// For people; nil: nothing was left out.
        static func text(_ omissions: Set<Omission.Kind>?) -> String? {
            guard let omissions, !omissions.isEmpty else { return nil }
            return omissions.contains(.tooMuch)
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
