internal import HTTPTypes
internal import Hummingbird
internal import YAML

/// `/login`, `/authenticate` and `/logout`.
struct SessionRoutes: Sendable {
    let sessions: Sessions

    private static let wrong = RESTError(
        .plain("401 unauthorized: user name or password is incorrect\n"), .unauthorized)

    /// A page for people.
    func page(_ call: RESTCall) async throws -> Response {
        .text(
            """
            <!DOCTYPE html>
            <html lang="en">
            <head><title>Login</title></head>
            <body>
            <form method="post" action="/authenticate">
            <p><label>Name <input name="name" autocomplete="username"></label></p>
            <p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
            <p><button>Log in</button></p>
            </form>
            </body>
            </html>

            """, type: "text/html; charset=UTF-8")
    }

    /// For programs: `{"username": …, "password": …}` becomes a token.
    func logIn(_ call: RESTCall) async throws -> Response {
        // JSON is YAML.
        let tree = YAMLTree(parsing: String(decoding: call.body, as: UTF8.self))
        guard tree.mistakes.isEmpty, let root = tree.documents.first, tree.kind(of: root) == .mapping else {
            throw RESTError(.plain("400 bad request: {\"username\": …, \"password\": …} is needed\n"), .badRequest)
        }
        var (name, password) = ("", "")
        for (key, value) in tree.pairs(of: root) where tree.kind(of: value) == .quoted {
            switch tree.string(of: key) {
            case "username": name = tree.string(of: value)
            case "password": password = tree.string(of: value)
            default: break
            }
        }
        guard let token = try await sessions.logIn(name, password, from: call.peer.group) else { throw Self.wrong }
        return .text(token)
    }

    /// For browsers: the form becomes a cookie.
    func authenticate(_ call: RESTCall) async throws -> Response {
        let form = QueryArguments(String(decoding: call.body, as: UTF8.self))
        guard let token = try await sessions.logIn(form["name"] ?? "", form["password"] ?? "", from: call.peer.group)
        else { throw Self.wrong }
        var cookie = "\(SessionToken.cookie)=\(token); Path=/; Max-Age=\(sessions.lifetime.components.seconds)"
        cookie += "; HttpOnly; SameSite=Strict" + (call.peer.isEncrypted ? "; Secure" : "")
        return Response(status: .seeOther, headers: [.location: "/", .setCookie: cookie])
    }

    func logOut(_ call: RESTCall) async throws -> Response {
        guard let token = call.token else {
            throw RESTError(.plain("400 bad request: there is no token\n"), .badRequest)
        }
        sessions.logOut(token)
        return Response(status: .ok)
    }
}

/// What a request shows of a logged-in user.
enum SessionToken {
    static let cookie = "ligato-rest"

    /// `Authorization: Bearer …`, or the cookie.
    static func of(_ request: Request) -> String? {
        if let header = request.headers[.authorization] {
            return header.lowercased().hasPrefix("bearer ") ? String(header.dropFirst(7)) : nil
        }
        for pair in request.headers[values: .cookie].flatMap({ $0.split(separator: ";") }) {
            let parts = pair.split(separator: "=", maxSplits: 1)
            if parts.count == 2, parts[0].drop(while: { $0 == " " }) == cookie { return String(parts[1]) }
        }
        return nil
    }
}
