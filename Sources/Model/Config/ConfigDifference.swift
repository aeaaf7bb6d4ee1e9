/// What is to be said of a configuration as a whole.
public struct ConfigFindings: Sendable, Hashable {
    /// What is wrong, by file and line, the first 100. When there is any, nothing should be applied.
    public var mistakes: [Mistake] = []
    /// How many more mistakes there are.
    public var omittedMistakes = 0
    /// What was left out, by file and line, the first 100.
    public var warnings: [Mistake] = []
    /// How many more warnings there are.
    public var omittedWarnings = 0
    /// Values that can't be configured while others can.
    public var invalidValues: [LoadedConfig.InvalidValue] = []
    /// The files that were read, in order.
    public var files: [String] = []
    /// Whether none of them says what is wanted, not even that it is nothing.
    public var isSilent = false

    /// Nothing.
    public init() {}
}

/// How a configuration differs from the last one that was free of mistakes.
public struct ConfigDifference: Sendable {
    /// Values that are new or other than before, in the order of files and lines. None when there are mistakes.
    public var changed: [LoadedConfig.Item] = []
    /// Keys that are not declared any more. None when there are mistakes.
    public var removed: [String] = []
    /// Values that are as before and stand elsewhere. None when there are mistakes.
    public var moved: [Move] = []
    /// What is to be said of the configuration as it is now.
    public var findings = ConfigFindings()

    /// Whether nothing is wrong with the files.
    public var isValid: Bool { findings.mistakes.isEmpty }

    /// A value that stands elsewhere than before.
    public struct Move: Sendable {
        /// Its key.
        public var key: String
        /// Where it stands now.
        public var position: SourcePosition
    }

    /// No difference.
    public init() {}
}
