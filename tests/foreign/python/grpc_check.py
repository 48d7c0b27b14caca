"""Generates a client from the contract, pushes with it, and watches.

Nothing of livegate's own is used: the contract's files, grpcio and its tools.
"""

import os
import pathlib
import sys
import tempfile
import threading

import grpc
import grpc_tools
from grpc_tools import protoc

APP = 1400000000
ROOT = pathlib.Path(__file__).resolve().parents[3]


def generate(into):
    """Compiles the contract as a stranger would."""
    protos = ["livegate/client/v1/client.proto", "livegate/backend/v1/backend.proto"]
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}"]
    arguments += [f"--python_out={into}", f"--grpc_python_out={into}", *protos]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, str(into))


into = tempfile.mkdtemp()
generate(into)
from livegate.backend.v1 import backend_pb2 as pb  # noqa: E402
from livegate.backend.v1 import backend_pb2_grpc as rpc  # noqa: E402
from livegate.client.v1 import client_pb2 as client  # noqa: E402

KEY = [("x-api-key", os.environ["LIVEGATE_API_KEY"])]
channel = grpc.insecure_channel(os.environ["LIVEGATE_INTERNAL"])
backend = rpc.BackendServiceStub(channel)
govern = rpc.GovernServiceStub(channel)
streams = rpc.StreamServiceStub(channel)


def refused(call, request, key=KEY):
    try:
        call(request, metadata=key, timeout=30)
    except grpc.RpcError as error:
        codes = [value for name, value in error.trailing_metadata() if name == "livegate-code"]
        return error.code(), codes[0] if codes else None
    raise AssertionError("was not refused")


# What happens is told as it happens, and again to who asks with the cursor.
told = []
caught_up = threading.Event()
gone = threading.Event()


def watch(cursor):
    request = pb.WatchRequest(sdk_app_id=APP, cursor=cursor)
    for event in streams.Watch(request, metadata=KEY):
        kind = event.WhichOneof("event")
        if kind == "caught_up":
            caught_up.set()
            continue
        told.append((event.cursor, kind))
        if kind == "room_gone":
            gone.set()
            return


watcher = threading.Thread(target=watch, args=("",), daemon=True)
watcher.start()
assert caught_up.wait(30)

room = pb.CreateRoomRequest(
    sdk_app_id=APP,
    room_id="python",
    owner_id="anna",
    profile=client.RoomProfile(name="晚间直播"),
)
govern.CreateRoom(room, metadata=KEY, timeout=30)
assert refused(govern.CreateRoom, room) == (grpc.StatusCode.FAILED_PRECONDITION, "10025")
assert refused(govern.CreateRoom, room, [])[0] == grpc.StatusCode.UNAUTHENTICATED

push = pb.PushToRoomRequest(
    sdk_app_id=APP,
    room_id="python",
    text=client.Text(text="hello"),
    idempotency_key="order-1",
)
first = backend.PushToRoom(push, metadata=KEY, timeout=30)
again = backend.PushToRoom(push, metadata=KEY, timeout=30)
assert first.seq == again.seq > 0, (first, again)

count = 2000
pushes = (
    pb.PushStreamRequest(
        to_room=pb.PushToRoomRequest(
            sdk_app_id=APP,
            room_id="python",
            priority=client.PRIORITY_NORMAL,
            text=client.Text(text=str(n)),
        )
    )
    for n in range(count)
)
answer = streams.PushStream(pushes, metadata=KEY, timeout=60)
assert answer.accepted + answer.discarded + answer.refused == count, answer
assert answer.accepted > 0, answer

history = pb.GetHistoryRequest(sdk_app_id=APP, room_id="python", limit=1)
newest = govern.GetHistory(history, metadata=KEY, timeout=30).messages[0]
assert newest.push.room_message.WhichOneof("content") == "text"

govern.DestroyRoom(
    pb.DestroyRoomRequest(sdk_app_id=APP, room_id="python"), metadata=KEY, timeout=30
)
assert gone.wait(30)
kinds = [kind for _, kind in told]
assert kinds[0] == "room_recorded" and kinds[-1] == "room_gone", kinds
live, told, cursor = told, [], told[0][0]
gone.clear()
watch(cursor)
assert told == live[1:], (told, live)
print("grpcio: ok")
