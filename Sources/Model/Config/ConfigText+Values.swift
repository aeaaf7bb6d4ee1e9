extension ConfigText {
    /// Its values, in their order.
    public var values: [ModelValue] { items.map(\.value) }

    /// What is wrong with them, each by itself; the first hundred of it.
    public var firstMistakes: [Mistake] { mistakes.list }
}
