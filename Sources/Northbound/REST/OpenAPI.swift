internal import HTTPTypes
internal import Model

/// The description of the paths, for programs (OpenAPI 3.1).
enum OpenAPI {
    static func document(_ routes: [Route], version: String) -> JSON {
        var paths: [(String, [(String, JSON)])] = []
        for route in routes {
            let operation = (route.method.rawValue.lowercased(), operation(route))
            if let index = paths.firstIndex(where: { $0.0 == route.path }) {
                paths[index].1.append(operation)
            } else {
                paths.append((route.path, [operation]))
            }
        }
        return .object([
            ("openapi", "3.1.0"),
            (
                "info",
                .object([
                    ("title", "nsm-agent"), ("version", .string(version)),
                    ("description", "Values, their states and the history of an nsm-agent."),
                ])
            ), ("paths", .object(paths.map { ($0.0, .object($0.1)) })),
            (
                "components",
                .object([
                    (
                        "securitySchemes",
                        .object([("basic", .object([("type", "http"), ("scheme", "basic")]))])
                    ),
                    (
                        "schemas",
                        .object([
                            (
                                "Error",
                                .object([
                                    ("type", "object"),
                                    ("properties", .object([("Error", .object([("type", "string")]))])),
                                ])
                            )
                        ])
                    ),
                ])
            ),
        ])
    }

    private static func operation(_ route: Route) -> JSON {
        let inPath = route.path.split(separator: "/").filter { $0.hasPrefix("{") }.map {
            parameter(String($0.dropFirst().dropLast()), "path")
        }
        let parameters = inPath + route.query.map { parameter($0, "query") }
        let takesBody = route.path.hasPrefix("/configuration") && route.method != .get
        var responses: [(String, JSON)] = [("200", .object([("description", "The answer.")]))]
        if route.access == .change { responses.append(("403", failure("The caller may only look."))) }
        if route.access != .probe { responses.append(("401", failure("The caller has to say who it is."))) }
        responses.append(("500", failure("It can't be done as it is asked for.")))
        return .fields([
            ("summary", .string(route.summary)), ("parameters", parameters.isEmpty ? nil : .array(parameters)),
            (
                "requestBody",
                takesBody
                    ? .object([
                        (
                            "content",
                            .object([("application/yaml", .object([])), ("application/json", .object([]))])
                        )
                    ]) : nil
            ), ("responses", .object(responses)),
        ])
    }

    private static func parameter(_ name: String, _ place: String) -> JSON {
        .object([
            ("name", .string(name)), ("in", .string(place)), ("required", .bool(place == "path")),
            ("schema", .object([("type", "string")])),
        ])
    }

    private static func failure(_ text: String) -> JSON {
        .object([
            ("description", .string(text)),
            (
                "content",
                .object([
                    (
                        "application/json",
                        .object([("schema", .object([("$ref", "#/components/schemas/Error")]))])
                    )
                ])
            ),
        ])
    }
}
