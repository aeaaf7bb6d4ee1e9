extension ModelValue {
    /// The value with what people write in files put as the models have it: a destination `default` is `0.0.0.0/0` or, with
    /// a gateway of that family, `::/0`.
    var inFull: ModelValue {
        guard case .route(var route) = self, route.dstNetwork == "default" else { return self }
        let gateways = [route.gwAddr] + route.nextHops.map(\.gwAddr)
        route.dstNetwork = gateways.contains { $0.utf8.contains(UInt8(ascii: ":")) } ? "::/0" : "0.0.0.0/0"
        return .route(route)
    }
}
