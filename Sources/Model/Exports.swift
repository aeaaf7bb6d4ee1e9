public import YAML

/// A value to write as YAML or JSON.
public typealias Tree = YAML.Tree
/// Writes a ``Tree`` as YAML.
public typealias YAMLWriter = YAML.YAMLWriter
/// Writes a ``Tree`` as JSON.
public typealias JSONWriter = YAML.JSONWriter
