//! Calls a gateway with `tencent_im_rs` as it is published: its signature, its
//! requests, its transport; the answers are decoded by its types.

use anyhow::{Context as _, Result, ensure};
use tencent_im_rs::api::v4::common::{
    ActionStatus, ConnectState, Group, GroupType, KeyValueLower, MsgBody, MsgContent, MsgPriority,
};
use tencent_im_rs::api::v4::group_open_attr_http_svc::get_group_attr as attr;
use tencent_im_rs::api::v4::group_open_http_svc as group;
use tencent_im_rs::api::v4::im_open_login_svc as login;
use tencent_im_rs::api::v4::open_im::send_msg as direct;
use tencent_im_rs::api::v4::{TencentHelper, make_url, send};
use tencent_im_rs::user_sig::hmac_sha256::TencentSig;

const APP: u32 = 1_400_000_000;
/// The room that a watcher, `viewer`, is in.
const ROOM: &str = "foreign";

/// Holds an answer to what every done command answers.
macro_rules! done {
    ($answer:expr) => {{
        let answer = $answer.context(stringify!($answer))?;
        ensure!(answer.action_status == Some(ActionStatus::Ok), "{answer:?}");
        ensure!(answer.error_code == Some(0), "{answer:?}");
        answer
    }};
}

fn helper(sig: String) -> Result<TencentHelper> {
    let internal = std::env::var("LIVEGATE_INTERNAL")?;
    let mut helper = TencentHelper::new(internal, APP, "administrator".into(), sig);
    let ca = std::fs::read(std::env::var("LIVEGATE_CA")?)?;
    *helper.get_client() = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&ca)?)
        .build()?;
    Ok(helper)
}

fn text(text: &str) -> Vec<MsgBody> {
    vec![MsgBody::new(
        MsgContent::str_text(),
        MsgContent::content_text(text),
    )]
}

async fn rooms(im: &mut TencentHelper) -> Result<()> {
    let mut made = Group::new();
    made.set_group_type(Some(GroupType::AVChatRoom))
        .set_name(Some("Evening show"))
        .set_group_id(Some(ROOM))
        .set_owner_account(Some("anchor"));
    let answer = done!(group::create_group::api_create_group(im, made).await);
    ensure!(answer.group_id.as_deref() == Some(ROOM));
    ensure!(answer.group_type == Some(GroupType::AVChatRoom));
    let mut all = group::get_appid_group_list::GetAppIdGroupListRequest::new();
    all.set_limit(Some(100));
    let answer = done!(group::get_appid_group_list::api_get_appid_group_list(im, all).await);
    ensure!(answer.total_count == Some(1) && answer.next == Some(0));
    ensure!(answer.group_id_list.unwrap_or_default()[0].group_id == ROOM);
    let info = group::get_group_info::GetGroupInfoRequest::new(vec![ROOM]);
    let answer = done!(group::get_group_info::api_get_group_info(im, info).await);
    let shown = serde_json::to_value(&answer.group_info.unwrap_or_default()[0])?;
    ensure!(
        shown["Owner_Account"] == "anchor" && shown["MemberNum"] == 1,
        "{shown}"
    );
    let count = group::get_online_member_num::GetOnlineMemberNumRequest::new(ROOM);
    let answer = done!(group::get_online_member_num::api_get_online_member_num(im, count).await);
    ensure!(answer.online_member_num == Some(1));
    let members = group::get_group_member_info::GetGroupMemberInfoRequest::new(ROOM);
    let answer = done!(group::get_group_member_info::api_get_group_member(im, members).await);
    let listed = serde_json::to_value(answer.member_list)?;
    ensure!(listed[0]["Member_Account"] == "viewer", "{listed}");
    println!("create, list, info, online number, members: ok");
    Ok(())
}

async fn messages(im: &mut TencentHelper) -> Result<()> {
    let said = text("hello from a library");
    let mut say = group::send_group_msg::SendGroupMsgRequest::new(ROOM, 7, said);
    say.set_msg_priority(Some(MsgPriority::High))
        .set_from_account(Some("jared"));
    let answer = done!(group::send_group_msg::api_send_group_msg(im, say).await);
    let seq = answer.msg_seq.context("a seq")?;
    let notice = group::send_group_system_notification::SendGroupSystemNotificationRequest::new(
        ROOM,
        r#"{"cmd":"notifyPusherChange","data":""}"#,
    );
    done!(
        group::send_group_system_notification::api_send_group_system_notification(im, notice).await
    );
    let read = group::group_msg_get_simple::GroupMsgGetSimpleRequest::new(ROOM, 20);
    let answer = done!(group::group_msg_get_simple::api_group_msg_get_simple(im, read).await);
    let messages = answer.rsp_msg_list.unwrap_or_default();
    ensure!(messages[0].msg_seq == seq && messages[0].from_account == "jared");
    ensure!(messages[0].msg_body == text("hello from a library"));
    ensure!(messages[0].msg_priority == 1);
    let to = direct::SendMsgRequest::new("viewer", 9, text("to you alone"));
    let answer = done!(direct::api_sendmsg(im, to).await);
    ensure!(answer.msg_key.is_some_and(|key| key.contains("_9_")));
    println!("send, system notification, messages, sendmsg: ok");
    Ok(())
}

async fn attributes(im: &mut TencentHelper) -> Result<()> {
    let pairs = vec![KeyValueLower::new("live_state", "on")];
    let set = group::set_group_attr::SetGroupAttrRequest::new(ROOM, pairs);
    done!(group::set_group_attr::api_set_group_attr(im, set).await);
    let get = attr::GetGroupAttRequest::new(ROOM);
    let answer = done!(attr::api_get_group_att(im, get).await);
    let kept = answer.group_attr_ary.unwrap_or_default();
    ensure!(kept == [KeyValueLower::new("live_state", "on")]);
    println!("attributes: ok");
    Ok(())
}

async fn people(im: &mut TencentHelper) -> Result<()> {
    let asked = vec!["viewer", "nobody"];
    let status = login::query_online_status::QueryOnlineStatusRequest::new(asked);
    let answer = done!(login::query_online_status::api_query_online_status(im, status).await);
    let states = answer.query_result.unwrap_or_default();
    ensure!(states[0].state == ConnectState::Online && states[1].state == ConnectState::Offline);
    // The library posts this type to another command's path: see README.md.
    let mute = group::forbid_send_msg::GetJoinedGroupListRequest::new(ROOM, vec!["viewer"], 600);
    let url = make_url(im, "v4/group_open_http_svc/forbid_send_msg");
    let answer = send::<_, group::forbid_send_msg::GetJoinedGroupListResponse>(im, url, &mute);
    done!(answer.await);
    let muted = group::get_group_muted_account::GetGroupMutedAccountRequest::new(ROOM);
    let answer =
        done!(group::get_group_muted_account::api_get_group_muted_account(im, muted).await);
    ensure!(answer.muted_account_list.unwrap_or_default()[0].member_account == "viewer");
    let ban = group::ban_group_member::BanGroupMemberRequest::new(ROOM, vec!["gone".into()], 60);
    done!(group::ban_group_member::api_ban_group_member(im, ban).await);
    println!("status, mute, ban: ok");
    Ok(())
}

async fn ends(im: &mut TencentHelper) -> Result<()> {
    done!(login::kick::api_kick(im, login::kick::KickRequest::new("viewer")).await);
    let gone = group::destroy_group::DestroyGroupRequest::new(ROOM);
    done!(group::destroy_group::api_destroy_group(im, gone).await);
    let again = group::destroy_group::DestroyGroupRequest::new(ROOM);
    let answer = group::destroy_group::api_destroy_group(im, again).await?;
    ensure!(answer.action_status == Some(ActionStatus::Fail));
    ensure!(answer.error_code == Some(10010), "{answer:?}");
    println!("kick, destroy, and what is refused: ok");
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let key = std::env::var("LIVEGATE_KEY")?;
    let own = TencentSig::new(APP, key.clone()).generate_user_sig("administrator".into(), 600);
    let im = &mut helper(own.context("a signature")?)?;
    rooms(im).await?;
    messages(im).await?;
    attributes(im).await?;
    people(im).await?;
    ends(im).await?;
    let other = tls_sig_api::TlsSigApiVer2::new(APP.into(), &key);
    let sig = other.gen_sign("administrator", chrono::Duration::hours(1), None);
    let im = &mut helper(sig)?;
    let all = group::get_appid_group_list::GetAppIdGroupListRequest::new();
    done!(group::get_appid_group_list::api_get_appid_group_list(im, all).await);
    println!("tls_sig_api: ok");
    Ok(())
}
