internal import ArgumentParser

/// The settings of `run`: its settings file and the command line together.
struct RunSettings {
    /// The options, those of the command line before those of the file.
    let run: Run
    /// How the mesh is hosted; nil: it is not.
    let mesh: MeshOptions?

    /// Settings that have settings of their own, and the options that those are.
    private static let groups: [String: any ParsableArguments.Type] = [
        "grpc": GRPCOptions.self, "etcd": EtcdOptions.self, "http": HTTPOptions.self,
        "kubernetes": KubernetesOptions.self, "containers": ContainerOptions.self,
    ]

    /// Merges both. Each setting is checked by itself, so that an error names its place.
    ///
    /// - Parameters:
    ///   - arguments: The words behind `run` on the command line.
    ///   - upstream: The options of the agent before this one; the file and the command line take precedence.
    /// - Throws: `Failure` for an error in the file, and the parser's error for the command line.
    init(_ file: SettingsFile, arguments: [String], upstream: Upstream? = nil) throws {
        var meshWords: [String] = []
        var words: [String] = []
        for setting in file.settings {
            if let nested = setting.nested, let options = Self.groups[setting.name] {
                for inner in nested {
                    let inner = setting.name == "http" ? Self.http(inner) : Self.prefixed(inner, setting.name)
                    try Self.check(inner, as: options)
                    words += inner.words
                }
                // Who names any of it wants it.
                if setting.name == "kubernetes" { words.append("--kubernetes") }
            } else if let nested = setting.nested {
                guard setting.name == "mesh" else {
                    throw Self.wrong(setting, "a plain value is needed here")
                }
                for inner in try nested.flatMap(Self.meshSettings) {
                    try Self.check(inner, as: MeshOptions.self)
                    meshWords += inner.words
                }
                words.append("--mesh")
            } else {
                guard setting.name != "settings" else {
                    throw Self.wrong(setting, "settings can't name another file of settings")
                }
                let setting = Self.switchedOff(setting)
                try Self.check(setting, as: Run.self)
                words += setting.words
            }
        }
        words += arguments
        run = try Run.parse((upstream?.words(beside: words) ?? []) + words)
        mesh = run.mesh ? try MeshOptions.parse(meshWords) : nil
    }

    /// `persist: false` is `--no-persist`.
    private static func switchedOff(_ setting: SettingsFile.Setting) -> SettingsFile.Setting {
        guard let words = setting.opposite, (try? Run.parse(words)) != nil else { return setting }
        return SettingsFile.Setting(
            place: setting.place, name: setting.name, words: words, values: [], nested: nil)
    }

    /// `grpc: {listen: …}` is `--grpc-listen=…`.
    private static func prefixed(_ setting: SettingsFile.Setting, _ prefix: String) -> SettingsFile.Setting {
        SettingsFile.Setting(
            place: setting.place, name: setting.name, words: setting.words.map { "--\(prefix)-\($0.dropFirst(2))" },
            values: setting.values, nested: setting.nested)
    }

    /// `http: {endpoint: …}` is the same as `http: {listen: …}`, as agents before this one call it.
    private static func http(_ setting: SettingsFile.Setting) -> SettingsFile.Setting {
        let option = "--http-endpoint="
        var setting = prefixed(setting, "http")
        setting.words = setting.words.map { word in
            word.hasPrefix(option) ? "--http-listen=\(word.dropFirst(option.count))" : word
        }
        return setting
    }

    /// A setting of `mesh:`, or the settings that it holds: `etcd: {endpoints: …}` is `--etcd-endpoints=…`.
    private static func meshSettings(
        _ setting: SettingsFile.Setting
    ) throws(Failure) -> [SettingsFile.Setting] {
        if setting.name == "offers" { return [try offers(setting)] }
        guard setting.name == "etcd", let nested = setting.nested else { return [setting] }
        return nested.map { prefixed($0, "etcd") }
    }

    /// `offers: {db: [uid:1000, root]}` is `--offer db=uid:1000 --offer db=root`.
    private static func offers(_ setting: SettingsFile.Setting) throws(Failure) -> SettingsFile.Setting {
        guard let services = setting.nested else {
            throw wrong(setting, "services and who may offer them are needed, such as {db: [uid:1000]}")
        }
        var words: [String] = []
        for service in services {
            if service.nested != nil { throw wrong(service, "a list is needed here, such as [uid:1000, root]") }
            words += service.values.map { "--offer=\(service.name)=\($0)" }
        }
        return SettingsFile.Setting(
            place: setting.place, name: setting.name, words: words, values: [], nested: nil)
    }

    private static func check(
        _ setting: SettingsFile.Setting, as options: any ParsableArguments.Type
    ) throws(Failure) {
        if setting.nested != nil { throw wrong(setting, "a plain value is needed here") }
        do {
            _ = try options.parse(setting.words)
        } catch {
            throw wrong(setting, options.message(for: error))
        }
    }

    private static func wrong(_ setting: SettingsFile.Setting, _ text: String) -> Failure {
        Failure("\(setting.place): \(setting.name): \(text)", status: ExitStatus.invalid)
    }
}
