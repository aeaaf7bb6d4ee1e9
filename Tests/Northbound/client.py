"""Calls the agent's gRPC API knowing nothing of it: every message comes from server reflection."""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

# What reflection itself is made of: the fields used here, by their numbers.
_REFLECTION = """
name: "reflection_%(package)s.proto" package: "%(package)s" syntax: "proto3"
message_type { name: "ServerReflectionRequest" oneof_decl { name: "message_request" }
  field { name: "host" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "file_by_filename" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "file_containing_symbol" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "all_extension_numbers_of_type" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "list_services" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 } }
message_type { name: "Files"
  field { name: "file_descriptor_proto" number: 1 type: TYPE_BYTES label: LABEL_REPEATED } }
message_type { name: "Numbers"
  field { name: "base_type_name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "extension_number" number: 2 type: TYPE_INT32 label: LABEL_REPEATED } }
message_type { name: "Service" field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Services"
  field { name: "service" number: 1 type: TYPE_MESSAGE type_name: ".%(package)s.Service" label: LABEL_REPEATED } }
message_type { name: "Failure"
  field { name: "error_code" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "error_message" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "ServerReflectionResponse"
  field { name: "files" number: 4 type: TYPE_MESSAGE type_name: ".%(package)s.Files" label: LABEL_OPTIONAL }
  field { name: "numbers" number: 5 type: TYPE_MESSAGE type_name: ".%(package)s.Numbers" label: LABEL_OPTIONAL }
  field { name: "services" number: 6 type: TYPE_MESSAGE type_name: ".%(package)s.Services" label: LABEL_OPTIONAL }
  field { name: "failure" number: 7 type: TYPE_MESSAGE type_name: ".%(package)s.Failure" label: LABEL_OPTIONAL } }
"""


class Reflection:
    """One version of the reflection service."""

    def __init__(self, channel, package="grpc.reflection.v1"):
        from google.protobuf import text_format

        file = text_format.Parse(_REFLECTION % {"package": package}, descriptor_pb2.FileDescriptorProto())
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        self._request = message_factory.GetMessageClass(pool.FindMessageTypeByName(package + ".ServerReflectionRequest"))
        response = message_factory.GetMessageClass(pool.FindMessageTypeByName(package + ".ServerReflectionResponse"))
        self._call = channel.stream_stream(
            f"/{package}.ServerReflection/ServerReflectionInfo",
            request_serializer=self._request.SerializeToString, response_deserializer=response.FromString)

    def ask(self, **what):
        return next(iter(self._call(iter([self._request(**what)]), timeout=10)))

    def services(self):
        return [service.name for service in self.ask(list_services="*").services.service]

    def files(self, symbol):
        return [
            descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in self.ask(file_containing_symbol=symbol).files.file_descriptor_proto]


class Agent:
    """Calls by name, with messages as dictionaries in protobuf's JSON form."""

    def __init__(self, target, package="grpc.reflection.v1"):
        self.channel = grpc.insecure_channel(target)
        self.reflection = Reflection(self.channel, package)
        self.pool = descriptor_pool.DescriptorPool()
        self._known = set()
        for service in self.reflection.services():
            self.learn(service)
        # Values travel in google.protobuf.Any: which messages they are is told by the agent, too.
        for model in self.call("ligato.generic.MetaService/KnownModels")[0]["known_models"]:
            self.learn(model["proto_name"])

    def learn(self, symbol):
        waiting = {file.name: file for file in self.reflection.files(symbol)}

        def add(name):
            if name in self._known or name not in waiting:
                return
            for dependency in waiting[name].dependency:
                add(dependency)
            self.pool.Add(waiting[name])
            self._known.add(name)

        for name in list(waiting):
            add(name)

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def stub(self, path):
        service, method = path.split("/")
        descriptor = self.pool.FindServiceByName(service).FindMethodByName(method)
        make = self.channel.unary_stream if descriptor.server_streaming else self.channel.unary_unary
        answer = message_factory.GetMessageClass(descriptor.output_type)
        request = message_factory.GetMessageClass(descriptor.input_type)
        return request, make(
            f"/{path}", request_serializer=request.SerializeToString, response_deserializer=answer.FromString)

    def parse(self, request, content):
        return json_format.ParseDict(content, request(), descriptor_pool=self.pool)

    def plain(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)

    def call(self, path, content=None, metadata=(), timeout=20):
        """The answer and the header of a call."""
        request, stub = self.stub(path)
        answer, call = stub.with_call(self.parse(request, content or {}), metadata=metadata, timeout=timeout)
        return self.plain(answer), dict(call.initial_metadata())

    def attempt(self, path, content=None, metadata=(), timeout=20):
        """The status, its text, the header and the answer of a call, whatever comes of it."""
        request, stub = self.stub(path)
        call = stub.future(self.parse(request, content or {}), metadata=metadata, timeout=timeout)
        header = dict(call.initial_metadata() or ())
        answer = self.plain(call.result()) if call.exception() is None else None
        return call.code().name, call.details(), header, answer

    def refusal(self, path, content=None, metadata=(), timeout=20):
        """The status, its text and the header of a call that fails; None when it does not."""
        code, text, header, _ = self.attempt(path, content, metadata, timeout)
        return None if code == "OK" else (code, text, header)

    def stream(self, path, content=None, timeout=20):
        request, stub = self.stub(path)
        return stub(self.parse(request, content or {}), timeout=timeout)
