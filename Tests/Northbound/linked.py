"""Messages as clients of the ancestor have them built in: from its own descriptors, not from what this agent tells."""

import json
import os

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded", "descriptors.txt")

# ligato.generic.MetaService, by the numbers of its fields.
_META = {
    "name": "ligato/generic/meta.proto",
    "package": "ligato.generic",
    "syntax": "proto3",
    "dependency": ["google/protobuf/descriptor.proto"],
    "message_type": [
        {"name": "ModelSpec", "field": [("module", 1), ("version", 2), ("type", 3), ("class", 4)]},
        {"name": "Option", "field": [("key", 1), ("values", 2, "*")]},
        {"name": "ModelDetail", "field": [
            ("spec", 1, ".ligato.generic.ModelSpec"), ("proto_name", 2), ("options", 3, "*.ligato.generic.Option")]},
        {"name": "KnownModelsRequest", "field": [("class", 1)]},
        {"name": "KnownModelsResponse", "field": [("known_models", 1, "*.ligato.generic.ModelDetail")]},
        {"name": "ProtoFileDescriptorRequest", "field": [("full_proto_file_name", 1)]},
        {"name": "ProtoFileDescriptorResponse", "field": [
            ("file_descriptor", 1, ".google.protobuf.FileDescriptorProto"),
            ("file_import_descriptors", 2, ".google.protobuf.FileDescriptorSet")]},
    ],
}


def _meta():
    def field(name, number, kind=""):
        message = kind.lstrip("*")
        return {"name": name, "number": number, "label": "LABEL_REPEATED" if kind[:1] == "*" else "LABEL_OPTIONAL",
                **({"type": "TYPE_MESSAGE", "type_name": message} if message else {"type": "TYPE_STRING"})}

    messages = [{**message, "field": [field(*f) for f in message["field"]]} for message in _META["message_type"]]
    return {**_META, "message_type": messages}


def recorded():
    """The ancestor's files by name."""
    with open(RECORDED) as lines:
        return {file["name"]: file for file in map(json.loads, lines)}


class Linked:
    """A pool with the ancestor's messages."""

    def __init__(self):
        self.pool = descriptor_pool.DescriptorPool()
        for part in (descriptor_pb2, any_pb2):
            self.pool.AddSerializedFile(part.DESCRIPTOR.serialized_pb)
        waiting = {**recorded(), "ligato/generic/meta.proto": _meta()}

        def add(name):
            file = waiting.pop(name, None)
            if file is None:
                return
            for dependency in file.get("dependency", []):
                add(dependency)
            # What the options of fields say is in extensions, which are of no use here.
            self.pool.Add(json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto(), ignore_unknown_fields=True))

        for name in list(waiting):
            add(name)

    def has(self, name):
        try:
            self.pool.FindMessageTypeByName(name)
        except KeyError:
            return False
        return True

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))
