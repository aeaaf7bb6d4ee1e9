/// What is taken of Kubernetes objects, and how the places in them are named.
struct ResourceReading: Sendable {
    /// The microservice whose items are taken; nil: those of all are.
    var label: String?
    /// Whether the text is an object as an API server hands it out. Places are fields then: the object has no lines that its author
    /// wrote, except in its texts.
    var isObject = false
    /// Whether items of unknown models are taken as they are. Else they are a mistake.
    var keepsUnknownModels = false
}
