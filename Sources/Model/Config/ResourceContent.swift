/// What one CNFConfiguration says, for whichever microservices: values under their keys, or what is wrong with it.
public struct ResourceContent: Sendable {
    /// A value of a known model, or one that only its reader knows.
    public struct Item: Sendable {
        /// For whom it is.
        public let microservice: String
        /// The value's key, such as `config/linux/interfaces/v2/interface/veth1`.
        public let key: String
        /// The value as it is stored for agents: JSON with the names of the .proto file.
        public let json: [UInt8]
        /// Where in the object it stands.
        public let position: SourcePosition
    }

    /// The items, in their order. Of those that share a key the last one counts.
    public let items: [Item]
    /// What is wrong, the first 100. When there is anything, no item is to be used.
    public let mistakes: [Mistake]
    /// How many more mistakes there are.
    public let omittedMistakes: Int

    /// Reads an object as an API server hands it out.
    ///
    /// - Parameters:
    ///   - bytes: JSON, UTF-8.
    ///   - name: stands for the object in positions.
    ///   - keepsUnknownModels: whether items of unknown models, and of known ones in another version, are taken unchecked.
    public init(object bytes: UnsafeRawBufferPointer, name: String, keepsUnknownModels: Bool = false) {
        let reading = ResourceReading(label: nil, isObject: true, keepsUnknownModels: keepsUnknownModels)
        let text = ConfigText(bytes, name: name, reading, .none)
        mistakes = text.mistakes.list
        omittedMistakes = text.mistakes.omitted
        var items: [Item] = []
        items.reserveCapacity(text.items.count + text.unknownItems.count)
        for (item, microservice) in zip(text.items, text.microservices) {
            let json = Array(JSONWriter.compact(ConfigDocument.storedTree(of: item.value)).utf8)
            items.append(Item(microservice: microservice, key: item.key, json: json, position: item.position))
        }
        for item in text.unknownItems {
            let json = Array(JSONWriter.compact(item.content).utf8)
            items.append(Item(microservice: item.microservice, key: item.key, json: json, position: item.position))
        }
        self.items = items
    }
}
