"""Calls a gateway as grpcurl does: without the contract's files, by reflection alone.

What there is, what a method takes and gives, and how it is encoded come from the
gateway; PyPI grpcio-reflection asks for them.
"""

import os

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

APP = 1400000000
KEY = [("x-api-key", os.environ["LIVEGATE_API_KEY"])]
channel = grpc.insecure_channel(os.environ["LIVEGATE_INTERNAL"])
database = ProtoReflectionDescriptorDatabase(channel)
pool = DescriptorPool(database)


def call(service, method, body):
    """What `grpcurl -d BODY ADDRESS SERVICE/METHOD` does."""
    found = pool.FindServiceByName(service).FindMethodByName(method)
    takes, gives = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
    path = f"/{service}/{method}"
    stub = channel.unary_unary(path, takes.SerializeToString, gives.FromString)
    answer = stub(ParseDict(body, takes()), metadata=KEY, timeout=30)
    return MessageToDict(answer)


PACKAGE = "livegate.backend.v1"
services = set(database.get_services())
for name in ["BackendService", "GovernService", "StreamService"]:
    assert f"{PACKAGE}.{name}" in services, services
room = {"sdkAppId": APP, "roomId": "reflected"}
call(f"{PACKAGE}.GovernService", "CreateRoom", {**room, "ownerId": "anna"})
listed = call(f"{PACKAGE}.GovernService", "ListRooms", {"sdkAppId": APP})
assert any(it["roomId"] == "reflected" for it in listed["rooms"]), listed
pushed = call(f"{PACKAGE}.BackendService", "PushToRoom", {**room, "text": {"text": "hello"}})
assert int(pushed["seq"]) > 0, pushed
call(f"{PACKAGE}.GovernService", "DestroyRoom", room)
print("grpcio-reflection: ok")
