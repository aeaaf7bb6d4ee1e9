internal import Glibc
internal import YAML

/// What a file of settings says, as words of a command line.
///
/// Every option of a command can be a setting: `nsmManager: unix:///run/nsm.sock` is `--nsm-manager=unix:///run/nsm.sock`,
/// `noRepair: true` is `--no-repair`, and a list repeats its option. So options and settings have one meaning, one check and
/// one documentation.
struct SettingsFile {
    /// One setting, where it is, and what it stands for.
    struct Setting {
        /// Where it starts, `FILE:LINE:COLUMN`.
        let place: String
        /// As it is written.
        let name: String
        /// The words that it stands for.
        var words: [String]
        /// Its values as they are written; none for a switch.
        let values: [String]
        /// The words of a switch that is off, where there are some; nil: it is none.
        var opposite: [String]?
        /// Settings of its own; nil: it has a plain value.
        let nested: [Setting]?
    }

    /// In the order of the file.
    let settings: [Setting]
    private let path: String

    /// The words of all plain settings.
    var words: [String] { settings.flatMap(\.words) }

    /// Looks at the file in `/etc` when no other is named.
    static let defaultPath = "/etc/nsm-agent/settings.yaml"

    /// Reads a file; without a name the one in `/etc`, which need not exist.
    ///
    /// - Throws: `Failure` with the place of the mistake.
    init(_ given: String?) throws(Failure) {
        path = given ?? Self.defaultPath
        guard given != nil || access(path, F_OK) == 0 else {
            settings = []
            return
        }
        let tree = YAMLTree(parsing: try Self.read(path))
        if let mistake = tree.mistakes.first {
            throw Failure(
                "\(path):\(mistake.line):\(mistake.column): \(mistake.text)", status: ExitStatus.invalid)
        }
        guard let root = tree.documents.first else {
            settings = []
            return
        }
        settings = try Self.settings(of: root, in: tree, path)
    }

    /// The text of a file.
    static func read(_ path: String, called what: String = "the settings ") throws(Failure) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            throw Failure("\(what)\(path): \(String(cString: strerror(errno)))", status: ExitStatus.invalid)
        }
        defer { close(file) }
        var content: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 << 10)
        while content.count <= 1 << 20 {
            let count = Glibc.read(file, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw Failure("\(what)\(path): \(String(cString: strerror(errno)))", status: ExitStatus.invalid)
            }
            if count == 0 { return String(decoding: content, as: UTF8.self) }
            content += part[..<count]
        }
        throw Failure("\(what)\(path) are larger than 1 MiB", status: ExitStatus.invalid)
    }

    private static func settings(
        of mapping: YAMLTree.Index, in tree: YAMLTree, _ path: String
    ) throws(Failure) -> [Setting] {
        guard tree.kind(of: mapping) == .mapping else {
            throw wrong(mapping, tree, path, "settings are needed, such as 'mesh: true'")
        }
        var settings: [Setting] = []
        for (key, value) in tree.pairs(of: mapping) {
            let name = tree.string(of: key)
            let option = "--" + optionName(of: name)
            var words: [String] = []
            var nested: [Setting]?
            switch tree.kind(of: value) {
            case .mapping: nested = try self.settings(of: value, in: tree, path)
            case .sequence:
                for element in tree.elements(of: value) {
                    words += try self.words(option, element, tree, path)
                }
            case .plain, .quoted, .literal, .folded, .alias, .merge:
                words = try self.words(option, value, tree, path)
            }
            let values = words.filter { $0.hasPrefix(option + "=") }.map { String($0.dropFirst(option.count + 1)) }
            var setting = Setting(
                place: place(key, tree, path), name: name, words: words, values: values, nested: nested)
            if tree.kind(of: value) == .plain, case .bool(false) = YAMLScalar(plain: tree.string(of: value)) {
                setting.opposite = ["--no-" + optionName(of: name)]
            }
            settings.append(setting)
        }
        return settings
    }

    private static func words(
        _ option: String, _ value: YAMLTree.Index, _ tree: YAMLTree, _ path: String
    ) throws(Failure) -> [String] {
        switch tree.kind(of: value) {
        case .mapping, .sequence:
            throw wrong(value, tree, path, "a plain value is needed here")
        case .plain:
            let text = tree.string(of: value)
            switch YAMLScalar(plain: text) {
            case .null: return []
            case .bool(let isSet): return isSet ? [option] : []
            case .integer, .float, .text: return ["\(option)=\(text)"]
            }
        case .quoted, .literal, .folded, .alias, .merge:
            return ["\(option)=\(tree.string(of: value))"]
        }
    }

    /// `nsmManager` and `nsm_manager` are `nsm-manager`; a list may be named in the plural, such as `managers`.
    private static func optionName(of name: String) -> String {
        if name == "managers" { return "manager" }
        var result = ""
        for character in name {
            if character.isASCII, character.isUppercase {
                result += "-" + character.lowercased()
            } else {
                result.append(character == "_" ? "-" : character)
            }
        }
        return result
    }

    private static func place(_ index: YAMLTree.Index, _ tree: YAMLTree, _ path: String) -> String {
        "\(path):\(tree[index].line):\(tree[index].column)"
    }

    private static func wrong(
        _ index: YAMLTree.Index, _ tree: YAMLTree, _ path: String, _ text: String
    ) -> Failure {
        Failure("\(place(index, tree, path)): \(text)", status: ExitStatus.invalid)
    }
}
