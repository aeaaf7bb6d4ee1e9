/// What files said, checked as far as that is possible without a kernel.
public struct LoadedConfig: Sendable {
    /// A value with its key and place.
    public struct Item: Sendable {
        /// The value's key. Routes that differ only in metric have the metric at the end.
        public var key: String
        /// The value.
        public var value: ModelValue
        /// The value as it is meant; nil when it has mistakes or can't be configured here.
        public var specification: Specification?
        /// Where it starts.
        public var position: SourcePosition

        /// Makes an item.
        public init(
            key: String, value: ModelValue, specification: Specification? = nil, position: SourcePosition
        ) {
            self.key = key
            self.value = value
            self.specification = specification
            self.position = position
        }
    }

    /// A value that is well written but can never be configured here. It is among ``LoadedConfig/items`` as well.
    public struct InvalidValue: Sendable, Hashable {
        /// The value's key.
        public var key: String
        /// Where the reason for it is.
        public var position: SourcePosition
        /// Why it can't be configured, and what could.
        public var text: String
        /// The fields to blame, by their names in the .proto file.
        public var fields: [String]
    }

    /// The values, in the order of files and lines.
    public var items: [Item] = []
    /// What is to be said of them.
    public var findings: ConfigFindings

    /// An empty configuration.
    public init() { findings = ConfigFindings() }

    /// Makes one from its parts.
    public init(items: [Item], findings: ConfigFindings) {
        self.items = items
        self.findings = findings
    }

    /// What is wrong, by file and line, the first 100. When there is any, nothing should be applied.
    public var mistakes: [Mistake] { findings.mistakes }
    /// How many more mistakes there are.
    public var omittedMistakes: Int { findings.omittedMistakes }
    /// What was left out, by file and line, the first 100.
    public var warnings: [Mistake] { findings.warnings }
    /// How many more warnings there are.
    public var omittedWarnings: Int { findings.omittedWarnings }
    /// Values that can't be configured while others can.
    public var invalidValues: [InvalidValue] { findings.invalidValues }
    /// The files that were read, in order.
    public var files: [String] { findings.files }

    /// How many mistakes there are, with those that are not listed.
    public var mistakeCount: Int { mistakes.count + omittedMistakes }

    /// Whether nothing is wrong with the files.
    public var isValid: Bool { mistakes.isEmpty }
}
