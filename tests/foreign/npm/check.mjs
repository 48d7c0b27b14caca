// Calls a gateway with signatures of the npm package, over one connection kept alive.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import TLSSigAPIv2 from "tls-sig-api-v2";

const app = 1400000000;
const signer = new TLSSigAPIv2.Api(app, process.env.LIVEGATE_KEY);

async function call(path, body, identifier = "administrator") {
  const query = new URLSearchParams({
    sdkappid: String(app),
    identifier,
    usersig: signer.genSig(identifier, 3600),
    random: randomUUID(),
    contenttype: "json",
  });
  const url = `http://${process.env.LIVEGATE_INTERNAL}/v4/${path}?${query}`;
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(response.status, 200);
  return response.json();
}

async function ok(path, body) {
  const answer = await call(path, body);
  assert.equal(answer.ErrorCode, 0, `${path}: ${JSON.stringify(answer)}`);
  assert.equal(answer.ActionStatus, "OK");
  return answer;
}

const group = "group_open_http_svc";
// As the vendor's RoomService sends it.
const room = { Owner_Account: "administrator", Type: "AVChatRoom", GroupId: "npm", Name: "group_name" };
await ok(`${group}/create_group`, room);
assert.equal((await call(`${group}/create_group`, room)).ErrorCode, 10025);
const content = JSON.stringify({ cmd: "notifyPusherChange", data: "" });
await ok(`${group}/send_group_system_notification`, { GroupId: "npm", Content: content });
const body = [{ MsgType: "TIMTextElem", MsgContent: { Text: "你好 👋" } }];
const sent = await ok(`${group}/send_group_msg`, { GroupId: "npm", Random: 7, MsgBody: body });
const read = await ok(`${group}/group_msg_get_simple`, { GroupId: "npm", ReqMsgNumber: 20 });
assert.equal(read.RspMsgList[0].MsgSeq, sent.MsgSeq);
assert.deepEqual(read.RspMsgList[0].MsgBody, body);
assert.equal((await call(`${group}/get_group_info`, {}, "nobody")).ErrorCode, 60010);
await ok(`${group}/destroy_group`, { GroupId: "npm" });
assert.equal((await call(`${group}/destroy_group`, { GroupId: "npm" })).ErrorCode, 10010);
console.log("npm tls-sig-api-v2: ok");
