internal import Hummingbird

/// Which calls of gRPC were made.
struct CallRoutes: Sendable {
    let statistics: CallStatistics?

    func configurator(_ call: RESTCall) async throws -> Response { .json(json) }

    var json: JSON {
        let calls = statistics?.calls(of: Ligato_Configurator_ConfiguratorService.descriptor) ?? []
        var all = CallStatistics.Times()
        for (_, times) in calls {
            all.count += times.count
            all.total += times.total
            all.least = min(all.least, times.least)
            all.most = max(all.most, times.most)
        }
        return .object([
            ("AllOperations", Self.json(nil, all)),
            ("Operations", .array(calls.map { Self.json($0.method, $0.times) })),
        ])
    }

    /// What is nothing is left out, as clients know it.
    private static func json(_ name: String?, _ times: CallStatistics.Times) -> JSON {
        let average = times.count > 0 ? times.total / Double(times.count) : 0
        return .fields([
            ("name", name.map { .string($0) }), ("count", .uint(times.count)), ("total", seconds(times.total)),
            ("avg", seconds(average)), ("min", seconds(times.count > 0 ? times.least : 0)),
            ("max", seconds(times.most)),
        ])
    }

    /// To the microsecond.
    private static func seconds(_ value: Double) -> JSON? {
        let rounded = (value * 1e6).rounded() / 1e6
        return rounded > 0 ? .double(rounded) : nil
    }
}
