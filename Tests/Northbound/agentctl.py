"""Asks what the `agentctl` of releases 3.1, 3.3, 3.4 and 3.5 asks, in its order, and decodes as each of them does.

    agentctl.py FORM HTTP GRPC ETCD INTERFACE

FORM is how the agent tells values by HTTP, `raw` or `text`; HTTP and GRPC are host:port, ETCD is an endpoint. INTERFACE is
declared, and has an address. How each command ends is compared with how it ended at the ancestor of this agent: what does
not read an answer shows nothing and says that all is well, in some releases, so what is shown counts and not the exit code.
"""

import gzip
import http.client
import json
import subprocess
import sys

import grpc
from client import Agent, Reflection
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from linked import Linked

VERSIONS = ("3.1", "3.3", "3.4", "3.5")
COMMANDS = (
    "status", "model ls", "model inspect", "dump", "dump SB", "values", "config get", "config history", "config update",
    "config delete", "config retrieve", "config resync", "log list", "metrics list", "service list", "generate",
    "kvdb list", "import --grpc",
)
CONFIG = [command for command in COMMANDS if command.startswith("config ")]

# How commands end if not well. No form of values suits all releases; everything else does.
EXPECTED = {
    ("raw", "3.1"): {"dump": "nothing", "dump SB": "nothing"},
    ("raw", "3.3"): {"dump": "nothing", "dump SB": "nothing"},
    ("raw", "3.4"): {"dump": "nothing", "dump SB": "nothing"},
    ("raw", "3.5"): {},
    ("text", "3.1"): {},
    ("text", "3.3"): {},
    ("text", "3.4"): {},
    ("text", "3.5"): {"dump": "failure", "dump SB": "failure"},
}

STATES = (
    "NONEXISTENT", "MISSING", "UNIMPLEMENTED", "REMOVED", "CONFIGURED", "OBTAINED", "DISCOVERED", "PENDING", "INVALID",
    "FAILED", "RETRYING",
)
OPERATIONS = ("UNDEFINED", "VALIDATE", "CREATE", "UPDATE", "DELETE")


class Failure(Exception):
    """What the client would print as its error."""


# MARK: JSON as Go reads it: types must fit, unknown fields are passed over, null is as good as nothing.


def decode(shape, value, at="answer"):
    if value is None:
        return [] if isinstance(shape, list) else None
    if callable(shape) and not isinstance(shape, type):
        return shape(value, at)
    if isinstance(shape, type):
        if isinstance(value, bool) != (shape is bool) or not isinstance(value, shape):
            raise Failure(f"{at}: {json.dumps(value)[:60]} is no {shape.__name__}")
        return value
    if isinstance(shape, list):
        return [decode(shape[0], element, f"{at}[{n}]") for n, element in enumerate(decode(list, value, at))]
    fields = {name.lower(): content for name, content in decode(dict, value, at).items()}
    if set(shape) == {"*"}:
        return {name: decode(shape["*"], content, f"{at}.{name}") for name, content in fields.items()}
    return {name: decode(inner, fields.get(name.lower()), f"{at}.{name}") for name, inner in shape.items()}


def one_of(*names):
    def read(value, at):
        if value not in names:
            raise Failure(f"{at}: {value!r} is not known")
        return value

    return read


def time(value, at):
    if not (isinstance(value, str) and len(value) >= 20 and value[10] == "T" and value.endswith("Z")):
        raise Failure(f"{at}: {value!r} is no time")
    return value


class Ctl:
    """One release of the client at work."""

    def __init__(self, version, form, http, rpc, etcd, interface):
        self.version, self.form = version, form
        self.http, self.rpc, self.etcd, self.interface = http, rpc, etcd, interface
        self.since33 = version != "3.1"
        self.linked = Linked()
        self.files = {}

    # MARK: Transport

    def ask(self, method, target, expected=(200,)):
        connection = http.client.HTTPConnection(self.http, timeout=20)
        headers = {"User-Agent": "Ligato-Client/ (linux)", "Accept-Encoding": "gzip"}
        if method == "POST":
            headers["Content-Type"] = "text/plain"
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        connection.close()
        if answer.status not in expected:
            raise Failure(f"Error response from daemon: [{answer.status}] {data.decode().strip()}")
        return data

    def read(self, method, target, shape):
        data = self.ask(method, target)
        try:
            value = json.loads(data)
        except ValueError as error:
            raise Failure(f"decoding reply failed: {error}") from None
        return decode(shape, value)

    def call(self, method, request, answer, **fields):
        """A call with the messages that are built in."""
        kind = self.linked.message(request)
        message = json_format.ParseDict(fields, kind(), descriptor_pool=self.linked.pool)
        stub = self.channel.unary_unary(
            "/ligato.generic." + method, request_serializer=kind.SerializeToString,
            response_deserializer=self.linked.message(answer).FromString)
        return stub(message, timeout=20)

    # MARK: What commands begin with

    def greet(self):
        """Release 3.1 does not care for the answer."""
        if not self.since33:
            self.ask("GET", "/ping", (200, 404))
            return None
        return self.read("GET", "/info/version", {
            "App": str, "Version": str, "GitCommit": str, "GitBranch": str, "BuildUser": str, "BuildHost": str,
            "BuildTime": int, "GoVersion": str, "OS": str, "Arch": str, "APIVersion": str, "OSType": str})

    def known(self, of):
        answer = self.call("MetaService/KnownModels", "ligato.generic.KnownModelsRequest",
                           "ligato.generic.KnownModelsResponse", **({"class": of} if of else {}))
        return answer.known_models

    def models(self, *classes):
        """The models by name, and their messages, from the file that each of them names."""
        found = {}
        for of in classes:
            models = self.known(of)
            for model in models:
                found[f"{model.spec.module}.{model.spec.type}"] = model
            if self.since33:
                self.learn(models)
        return found

    def learn(self, models):
        files = {}
        for model in models:
            options = {option.key: list(option.values) for option in model.options}
            if len(options.get("protoFile", [])) != 1:
                raise Failure(f"cannot get protoFile from model options of known model {model.proto_name}")
            files.setdefault(options["protoFile"][0], []).append(model.proto_name)
        for name, messages in files.items():
            answer = self.call(
                "MetaService/ProtoFileDescriptor", "ligato.generic.ProtoFileDescriptorRequest",
                "ligato.generic.ProtoFileDescriptorResponse", full_proto_file_name=name)
            pool = descriptor_pool.DescriptorPool()
            pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
            waiting = {file.name: file for file in answer.file_import_descriptors.file}
            waiting.pop("google/protobuf/descriptor.proto", None)
            self.add(pool, waiting, answer.file_descriptor)
            for message in messages:
                self.files[message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(message))

    def add(self, pool, waiting, file):
        for dependency in file.dependency:
            if dependency in waiting:
                self.add(pool, waiting, waiting.pop(dependency))
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            raise Failure(f"{file.name} can't be used: {error}") from None

    def start(self, *classes):
        self.greet()
        return self.models(*(classes if self.since33 else classes[:1]))

    # MARK: Values

    def message(self, name, at):
        if self.linked.has(name) and not name.startswith("upnp."):
            return self.linked.message(name)
        if name in ("google.protobuf.Empty",):
            return None
        if name in self.files and self.version == "3.5":
            return self.files[name]
        raise Failure(f"{at}: proto: not found")

    def value(self, value, at):
        """A recorded message, in the one form that this release reads."""
        value = decode({"ProtoMsgName": str, "ProtoMsgData": lambda data, _: data}, value, at)
        data = value["ProtoMsgData"]
        if self.version == "3.5":
            if not isinstance(data, dict):
                raise Failure(f"{at}: proto: syntax error (line 1:1): unexpected token {json.dumps(data)[:60]}")
        elif not isinstance(data, str):
            raise Failure(f"{at}: json: cannot unmarshal object into a value of type string")
        else:
            data = json.loads(data)
        kind = self.message(value["ProtoMsgName"], at)
        try:
            return json_format.ParseDict(data, kind()) if kind else {}
        except json_format.ParseError as error:
            raise Failure(f"{at}: {error}") from None

    def transactions(self, value, at="answer"):
        return decode([{
            "Start": time, "Stop": time, "SeqNum": int, "Description": str, "RetryForTxn": int, "RetryAttempt": int,
            "TxnType": one_of("SBNotification", "NBTransaction", "RetryFailedOps"),
            "ResyncType": one_of("NotResync", "FullResync", "UpstreamResync", "DownstreamResync"),
            "WithSimulation": bool,
            "Values": [{"Key": str, "Value": self.value, "Origin": int}],
            "Executed": [{
                "Operation": one_of(*OPERATIONS), "Key": str, "PrevValue": self.value, "NewValue": self.value,
                "PrevState": one_of(*STATES), "NewState": one_of(*STATES), "PrevErrMsg": str, "NewErrMsg": str,
                "NOOP": bool, "IsDerived": bool, "IsProperty": bool, "IsRevert": bool, "IsRetry": bool,
                "IsRecreate": bool}],
        }], value, at)

    # MARK: Commands: each returns what it shows, row by row

    def status(self):
        version = self.greet()
        shape = {"state": int, "last_change": int, "last_update": int, "error": str}
        status = decode({
            "build_version": str, "build_date": str, "state": int, "start_time": int, "last_change": int,
            "last_update": int, "interface_stats": dict, "commit_hash": str, "plugins": [{"name": str, "state": int}],
            "PluginStatus": {"*": shape}, "NonFatalPlugins": {"*": shape},
        }, json.loads(self.ask("GET", "/readiness")))
        if self.since33:
            version = self.greet()
            if not version["App"] or not version["Version"]:
                raise Failure("no version")
        return [status["state"]] if status["state"] == 1 else []

    def model_ls(self):
        return list(self.start("config", "config"))

    def model_inspect(self):
        model = self.start("config", "")["linux.l3.arp"]
        options = {option.key: option.values[0] for option in model.options}
        wanted = ["nameTemplate", "goType"] + (["protoFile"] if self.since33 else [])
        return [model.proto_name] if all(name in options for name in wanted) else []

    def dump(self, model="linux.l3.arp", view="cached"):
        found = self.start("config", "config")[model]
        prefix = f"{found.spec.module.replace('.', '/')}/{found.spec.version}/{found.spec.type}/"
        target = f"/scheduler/dump?key-prefix=config%2F{prefix.replace('/', '%2F')}&view={view}"
        try:
            rows = self.read("GET", target, [{"Key": str, "Value": self.value, "Origin": int, "Metadata": dict}])
        except Failure:
            # Releases before 3.5 only log what they can't read.
            if self.version == "3.5":
                raise
            return []
        return [row for row in rows if row["Value"] is not None]

    def dump_sb(self):
        return self.dump("linux.l3.route", "SB")

    def values(self):
        self.start("config", "config")
        status = {
            "key": str, "state": one_of(*STATES), "error": str, "last_operation": one_of(*OPERATIONS), "details": [str]}
        rows = self.read("GET", "/scheduler/status?key=&key-prefix=", [{"value": status, "derived_values": [status]}])
        return [row for row in rows if row["value"]["state"] == "CONFIGURED"]

    def config_get(self):
        self.start("config", "config")
        answer = self.call("ManagerService/GetConfig", "ligato.generic.GetConfigRequest", "ligato.generic.GetConfigResponse")
        rows = []
        for entry in answer.items:
            name = entry.item.data.any.type_url.rpartition("/")[2]
            kind = self.message(name, entry.item.id.name) if self.version == "3.5" else self.files.get(name)
            rows.append(kind.FromString(entry.item.data.any.value))
        return rows

    def config_history(self):
        self.start("config", "config")
        rows = self.transactions(json.loads(self.ask("GET", "/scheduler/txn-history")))
        # Its table has the numbers of values and of operations.
        return [row for row in rows if row["Values"] and row["Executed"]]

    def set(self, address, mac, **labels):
        arp = self.linked.message("ligato.linux.l3.ARPEntry")(interface=self.interface, ip_address=address, hw_address=mac)
        update = self.linked.message("ligato.generic.UpdateItem")()
        update.item.id.model = "linux.l3.arp"
        update.item.id.name = f"{self.interface}/{address}"
        update.item.data.any.type_url = "models.ligato.io/ligato.linux.l3.ARPEntry"
        update.item.data.any.value = arp.SerializeToString()
        for label, text in labels.items():
            update.labels[label] = text
        request = self.linked.message("ligato.generic.SetConfigRequest")
        stub = self.channel.unary_unary(
            "/ligato.generic.ManagerService/SetConfig", request_serializer=request.SerializeToString,
            response_deserializer=self.linked.message("ligato.generic.SetConfigResponse").FromString)
        message = request()
        message.updates.append(update)
        results = stub(message, timeout=20).results
        if results[0].key != "seqnum" or results[0].status.status != "NONEXISTENT":
            raise Failure(f"the number of the transaction comes first: {results}")
        return [result for result in results[1:] if result.status.status == "CONFIGURED"]

    def config_update(self):
        self.start("config", "config")
        labels = {"io.ligato.from-client": "agentctl"} if self.version == "3.5" else {}
        return self.set("10.211.0.9", "02:00:00:00:01:09", **labels)

    def config_delete(self):
        self.greet()
        entry = {"interface": self.interface, "ip_address": "10.211.0.9", "hw_address": "02:00:00:00:01:09"}
        # It ends well even if the call fails: the header has to be looked at.
        header = self.agent.call(
            "ligato.configurator.ConfiguratorService/Delete", {"delete": {"linux_config": {"arp_entries": [entry]}}})[1]
        rows = self.transactions([self.read("GET", f"/scheduler/txn-history?seq-num={header['seqnum']}", dict)])
        return [row for row in rows if row["Executed"]]

    def config_retrieve(self):
        self.greet()
        answer = self.agent.call("ligato.configurator.ConfiguratorService/Dump")[0]
        return answer["dump"]["linux_config"]["interfaces"]

    def config_resync(self):
        self.greet()
        return self.transactions([self.read("POST", "/scheduler/downstream-resync", dict)])

    def log_list(self):
        if self.since33:
            self.greet()
        return self.read("GET", "/log/list", [{"logger": str, "level": one_of(
            "panic", "fatal", "error", "warn", "warning", "info", "debug", "trace")}])

    def metrics_list(self):
        self.start("config")
        # There are none, at the ancestor as well: that it ends is all.
        self.models("metrics")
        return ["none"]

    def service_list(self):
        self.greet()
        reflection = Reflection(self.channel, "grpc.reflection.v1alpha")
        rows = []
        for service in reflection.services():
            if service != "grpc.reflection.v1alpha.ServerReflection":
                # The first file has the service.
                file = reflection.files(service)[0]
                names = [f"{file.package}.{entry.name}" for entry in file.service]
                if service not in names:
                    raise Failure(f"{service} is not in {file.name}")
                rows.append(service)
        return [row for row in rows if row.startswith("ligato.")]

    def generate(self):
        model = self.start("config", "config")["linux.l3.arp"]
        return [field.name for field in self.message(model.proto_name, "model").DESCRIPTOR.fields]

    def kvdb_list(self):
        self.greet()
        text = subprocess.run(
            ["etcdctl", "--endpoints", self.etcd, "get", "--prefix", "/vnf-agent"], capture_output=True, text=True,
            check=True, timeout=20).stdout.splitlines()
        for value in text[1::2]:
            json.loads(value)
        return text[::2]

    def import_grpc(self):
        self.start("config")
        return self.set("10.211.0.8", "02:00:00:00:01:08")

    def run(self, command):
        """well, nothing, failure, and the error's text."""
        name = command.replace(" --", "_").replace(" ", "_").lower()
        with grpc.insecure_channel(self.rpc) as self.channel:
            self.agent = Agent(self.rpc) if command in ("config delete", "config retrieve") else None
            self.files = {}
            try:
                return ("well" if getattr(self, name)() else "nothing"), ""
            except Failure as error:
                return "failure", str(error)
            except grpc.RpcError as error:
                return "failure", f"{error.code().name}: {error.details()}"


def main():
    form, *where = sys.argv[1:]
    wrong = 0
    first = Ctl("3.5", form, *where)
    with grpc.insecure_channel(first.rpc) as first.channel:
        # There is a past to be told of.
        first.set("10.211.0.7", f"02:00:00:00:01:{len(form):02x}")
    for version in VERSIONS:
        ctl = Ctl(version, form, *where)
        ended = {}
        for command in COMMANDS:
            if command in CONFIG and version == "3.1":
                # There is no such command.
                continue
            end, error = ctl.run(command)
            ended[command] = end
            expected = EXPECTED[form, version].get(command, "well")
            if end != expected:
                wrong += 1
                print(f"agentctl {version}, {form}: {command}: {end} instead of {expected} {error}"[:500])
        well = sum(end == "well" for end in ended.values())
        print(f"agentctl {version}, {form}: {well} of {len(ended)} commands show what there is")
    sys.exit(wrong > 0)


main()
