internal import Concurrency
internal import NSM
internal import SPIFFE
internal import SwiftProtobuf

extension NSMNetworkService {
    /// Whether a service has what is set here.
    func matches(_ service: NSMNetworkService) -> Bool {
        (name.isEmpty || name == service.name) && (payload.isEmpty || payload == service.payload)
            && (matches.isEmpty || matches == service.matches)
    }

    /// The endpoints that serve a client with these labels.
    ///
    /// Without matches every endpoint does. Otherwise the first match whose selector the client fits decides, and with
    /// `fallthrough` the next one when it finds nobody.
    func choose(
        _ candidates: [RegistryStore.Entry], service: String, labels: [String: String]
    ) -> [RegistryStore.Entry] {
        guard !matches.isEmpty else { return candidates }
        for match in matches where match.sourceSelector.allSatisfy({ labels[$0.key] == $0.value }) {
            if match.routes.isEmpty, match.hasMetadata { return candidates }
            let chosen = candidates.filter { candidate in
                let own = candidate.endpoint.networkServiceLabels[service]?.labels ?? [:]
                return match.routes.contains { route in
                    route.destinationSelector.allSatisfy { own[$0.key] == Self.filled($0.value, labels) }
                }
            }
            if !chosen.isEmpty { return chosen }
            if !match.fallthrough { return [] }
        }
        return []
    }

    /// Replaces `{{.label}}` by the client's label.
    static func filled(_ template: String, _ labels: [String: String]) -> String {
        guard template.utf8.contains(UInt8(ascii: "{")) else { return template }
        var result = ""
        var rest = Substring(template)
        while let start = rest.firstRange(of: "{{") {
            let behind = rest[start.upperBound...]
            guard let end = behind.firstRange(of: "}}") else { break }
            result += rest[..<start.lowerBound]
            let word = behind[..<end.lowerBound].filter { $0 != " " }
            result += word.hasPrefix(".") ? labels[String(word.dropFirst())] ?? "" : "{{\(word)}}"
            rest = behind[end.upperBound...]
        }
        return result + rest
    }
}

extension NSMNetworkServiceEndpoint {
    /// Whether an endpoint has what is set here.
    func matches(_ endpoint: NSMNetworkServiceEndpoint) -> Bool {
        guard name.isEmpty || name == endpoint.name, url.isEmpty || endpoint.url.contains(url),
            !hasExpirationTime || expirationTime.seconds == endpoint.expirationTime.seconds
        else { return false }
        let services = Set(endpoint.networkServiceNames)
        guard networkServiceNames.allSatisfy(services.contains) else { return false }
        return networkServiceLabels.allSatisfy { service, wanted in
            let own = endpoint.networkServiceLabels[service]?.labels ?? [:]
            return wanted.labels.allSatisfy { own[$0.key] == $0.value }
        }
    }

    /// Under what a watcher with this query is found; nil: it may want any endpoint.
    var topic: RegistryStore.Topic? {
        name.isEmpty ? networkServiceNames.first.map { .service($0) } : .name(name)
    }

    /// What the watchers follow who may want it.
    var topics: Set<RegistryStore.Topic> { Set([.name(name)] + networkServiceNames.map { .service($0) }) }

    /// Whether it has another value than a client for one of its labels.
    func differs(service: String, from labels: [String: String]) -> Bool {
        networkServiceLabels[service]?.labels.contains { key, value in labels[key].map { $0 != value } ?? false }
            ?? false
    }

    /// When the registration ends; nil: never.
    var expiry: Timestamp? { hasExpirationTime ? expirationTime.timestamp : nil }

    var withoutTimes: NSMNetworkServiceEndpoint {
        var copy = self
        copy.clearExpirationTime()
        copy.clearInitialRegistrationTime()
        return copy
    }
}
