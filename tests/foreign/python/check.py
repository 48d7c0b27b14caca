"""Calls a gateway with signatures of the PyPI package, with no content type."""

import json
import os
from http.client import HTTPConnection

import TLSSigAPIv2

APP = 1400000000
SIGNER = TLSSigAPIv2.TLSSigAPIv2(APP, os.environ["LIVEGATE_KEY"])
CONNECTION = HTTPConnection(os.environ["LIVEGATE_INTERNAL"], timeout=30)


def call(path, body, identifier="administrator"):
    sig = SIGNER.genUserSig(identifier) if hasattr(SIGNER, "genUserSig") else SIGNER.gen_sig(identifier)
    query = f"usersig={sig}&identifier={identifier}&sdkappid={APP}&random=99999999&contenttype=json"
    CONNECTION.request("POST", f"/v4/{path}?{query}", json.dumps(body).encode())
    response = CONNECTION.getresponse()
    assert response.status == 200, response.status
    return json.loads(response.read())


def ok(path, body):
    answer = call(path, body)
    assert answer["ErrorCode"] == 0 and answer["ActionStatus"] == "OK", (path, answer)
    return answer


GROUP = "group_open_http_svc"
# Integers as texts and empty texts, as a stock client sends them.
ok(f"{GROUP}/create_group", {"Type": "AVChatRoom", "Name": "n", "GroupId": "py", "MaxMemberCount": 500})
listed = ok(f"{GROUP}/get_appid_group_list", {"Limit": "10", "Next": "0", "GroupType": ""})
assert {"GroupId": "py", "Type": "AVChatRoom"} in listed["GroupIdList"], listed
text = [{"MsgType": "TIMTextElem", "MsgContent": {"Text": "\u4f60\u597d \U0001f44b"}}]
ok(f"{GROUP}/send_group_msg", {"GroupId": "py", "Random": "1", "MsgBody": text})
recall = {"GroupId": "py", "MsgSeqList": [{"MsgSeq": "1"}]}
assert ok(f"{GROUP}/group_msg_recall", recall)["RecallRetList"][0]["RetCode"] == 0
ok(f"{GROUP}/forbid_send_msg", {"GroupId": "py", "Members_Account": ["a"], "ShutUpTime": 60})
muted = ok(f"{GROUP}/get_group_shutted_uin", {"GroupId": "py"})
assert muted["ShuttedUinList"][0]["Member_Account"] == "a", muted
assert call(f"{GROUP}/get_group_info", {}, "nobody")["ErrorCode"] == 60010
ok(f"{GROUP}/destroy_group", {"GroupId": "py"})
print("PyPI tls-sig-api-v2: ok")
