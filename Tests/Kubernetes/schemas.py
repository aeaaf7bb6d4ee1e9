"""Structural schemas of custom resources: what a value breaks of one, and what it drops."""

import re


def prune(value, schema):
    """Takes out what the schema does not know."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name in list(value):
            if name in known:
                prune(value[name], known[name])
            elif isinstance(schema.get("additionalProperties"), dict):
                prune(value[name], schema["additionalProperties"])
            elif name not in ("apiVersion", "kind", "metadata") and not schema.get("x-kubernetes-preserve-unknown-fields"):
                del value[name]
    elif isinstance(value, list):
        for element in value:
            prune(element, schema.get("items", {}))


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def mistakes(value, schema, path=""):
    kind = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            return [f"{path}: Invalid value: must be an integer or a string"]
    elif kind:
        fits = isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
        if not fits:
            return [f"{path}: Invalid value: \"{NAMES[type(value)]}\": {path} in body must be of type {kind}: "
                    f"\"{NAMES[type(value)]}\""]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        words = ", ".join(f'"{word}"' for word in schema["enum"])
        found.append(f"{path}: Unsupported value: \"{value}\": supported values: {words}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        found.append(f"{path}: Invalid value: \"{value}\": {path} in body should match '{schema['pattern']}'")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            found.append(f"{path}: Invalid value: {value}: {path} in body should be greater than or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            found.append(f"{path}: Invalid value: {value}: {path} in body should be less than or equal to {schema['maximum']}")
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                found.append(f"{path}.{name}".lstrip(".") + ": Required value")
        for name, inner in value.items():
            if name in schema.get("properties", {}):
                found += mistakes(inner, schema["properties"][name], f"{path}.{name}".lstrip("."))
            elif isinstance(schema.get("additionalProperties"), dict):
                found += mistakes(inner, schema["additionalProperties"], f"{path}.{name}".lstrip("."))
    if isinstance(value, list):
        for index, element in enumerate(value):
            found += mistakes(element, schema.get("items", {}), f"{path}[{index}]")
    for rule in schema.get("allOf", []):
        if "not" in rule and not mistakes(value, rule["not"], path):
            found.append(f"{path}: Invalid value: must not validate the schema (not)")
    return found
