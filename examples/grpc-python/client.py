"""Sets a bridge by gRPC, waits until the kernel has it, and looks at it. Knows the agent's .proto files, and nothing else.

    client.py TARGET
"""

import sys

import grpc

from google.protobuf import any_pb2
from ligato.generic import manager_pb2, manager_pb2_grpc, model_pb2
from ligato.linux.interfaces import interface_pb2

manager = manager_pb2_grpc.ManagerServiceStub(grpc.insecure_channel(sys.argv[1]))


def update(value):
    """A value as the agent wants to have it: the model says what it is, the name follows from the value."""
    data = any_pb2.Any()
    data.Pack(value, "models.ligato.io/")
    item = model_pb2.Item(id=model_pb2.Item.ID(model="linux.interfaces.interface"), data=model_pb2.Data(any=data))
    return manager_pb2.UpdateItem(item=item, labels={"made-by": "grpc-python"})


bridge = interface_pb2.Interface(
    name="lan", type=interface_pb2.Interface.BRIDGE, enabled=True, ip_addresses=["10.20.0.1/24"])
answer = manager.SetConfig(manager_pb2.SetConfigRequest(updates=[update(bridge)]), timeout=10)
for result in answer.results:
    print("set:", result.key, result.status.status, result.status.message)

# One value that changes costs one value.
bridge.ip_addresses[:] = ["10.20.0.2/24"]
manager.SetConfig(manager_pb2.SetConfigRequest(updates=[update(bridge)]), timeout=10)

# What can't be is refused with a reason, and nothing else suffers.
try:
    wrong = interface_pb2.Interface(name="pair", type=interface_pb2.Interface.VETH)
    manager.SetConfig(manager_pb2.SetConfigRequest(updates=[update(wrong)]), timeout=10)
except grpc.RpcError as error:
    print("refused:", error.code().name, error.details())

mine = manager_pb2.GetConfigRequest(labels={"made-by": "grpc-python"})
for found in manager.GetConfig(mine, timeout=10).items:
    print("declared:", found.item.id.name, found.status.status)
