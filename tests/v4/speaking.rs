//! Who may speak in a room, enter it, govern it; and who is in it.

use livegate_client::RoomEventKind;
use livegate_client::wire::Role;
use serde_json::{Value, json};

use crate::api::{Site, text};
use crate::people::Person;
use crate::running::Setup;

const SEND: &str = "group_open_http_svc/send_group_msg";
const MUTE: &str = "group_open_http_svc/forbid_send_msg";
const MUTED: &str = "group_open_http_svc/get_group_muted_account";
const SHUTTED: &str = "group_open_http_svc/get_group_shutted_uin";
const BAN: &str = "group_open_http_svc/ban_group_member";
const UNBAN: &str = "group_open_http_svc/unban_group_member";
const BANNED: &str = "group_open_http_svc/get_group_ban_member";
const REMOVE: &str = "group_open_http_svc/delete_group_member";
const ADD: &str = "group_open_http_svc/add_group_member";
const MODIFY: &str = "group_open_http_svc/modify_group_member_info";
const MEMBERS: &str = "group_open_http_svc/get_group_member_info";
const ROLES: &str = "group_open_http_svc/get_role_in_group";
const ONLINE: &str = "group_open_http_svc/get_online_member_num";
const LIVE_MEMBERS: &str = "group_open_avchatroom_http_svc/get_members";
const CHECK: &str = "group_open_avchatroom_http_svc/check_members";
const ADMIN: &str = "group_open_avchatroom_http_svc/modify_admin";
const ADMINS: &str = "group_open_avchatroom_http_svc/get_admin_list";
const CREATE: &str = "group_open_http_svc/create_group";

async fn here(site: &Site) -> Person {
    site.room("show").await;
    let anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    anna
}

async fn muted_until(person: &mut Person) -> i64 {
    person
        .room(|kind| match kind {
            RoomEventKind::Muted(muted) => Some(muted.until_ms),
            _ => None,
        })
        .await
}

async fn role(person: &mut Person) -> Role {
    person
        .room(|kind| match kind {
            RoomEventKind::RoleChanged(changed) => Some(changed.role()),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_mute_has_an_end_and_is_known_by_both_spellings() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let mute = json!({"GroupId": "show", "Members_Account": ["anna"], "ShutUpTime": "600"});
    site.api.ok(MUTE, &mute).await;
    let until = muted_until(&mut anna).await;
    assert!(until > 0);
    let refused = anna.client.room("show").send_text("x").await.unwrap_err();
    assert_eq!(refused.code().unwrap().0, 10017);
    let say = json!({
        "GroupId": "show", "Random": 1, "MsgBody": text("x"), "From_Account": "anna",
    });
    assert_eq!(site.api.refused(SEND, &say).await, 10017);
    for path in [MUTED, SHUTTED] {
        let answer = site.api.ok(path, &json!({"GroupId": "show"})).await;
        let muted = &answer["MutedAccountList"][0];
        assert_eq!(muted["Member_Account"], "anna");
        assert_eq!(muted["MutedUntil"], until / 1_000);
        assert_eq!(answer["ShuttedUinList"][0]["ShuttedUntil"], until / 1_000);
    }
    let free = json!({"GroupId": "show", "Members_Account": ["anna"], "MuteTime": 0});
    site.api.ok(MUTE, &free).await;
    assert_eq!(muted_until(&mut anna).await, 0);
    anna.client.room("show").send_text("x").await.unwrap();
    let ever = json!({
        "GroupId": "show", "Members_Account": ["gone"], "MuteTime": 4_294_967_295_u32,
    });
    site.api.ok(MUTE, &ever).await;
    let answer = site.api.ok(MUTED, &json!({"GroupId": "show"})).await;
    let list = json!([{"Member_Account": "gone", "MutedUntil": 4_294_967_295_u32}]);
    assert_eq!(answer["MutedAccountList"], list);
    site.stop().await;
}

#[tokio::test]
async fn while_all_are_muted_only_those_with_a_role_speak() {
    let site = Site::start().await;
    let anna = here(&site).await;
    let info = "group_open_http_svc/modify_group_base_info";
    let all = json!({"GroupId": "show", "ShutUpAllMember": "On"});
    site.api.ok(info, &all).await;
    let room = anna.client.room("show");
    let refused = room.send_text("x").await.unwrap_err();
    assert_eq!(refused.code().unwrap().0, 10017);
    let modify = json!({"GroupId": "show", "Member_Account": "anna", "Role": "Admin"});
    site.api.ok(MODIFY, &modify).await;
    room.send_text("x").await.unwrap();
    let none = json!({"GroupId": "show", "MuteAllMember": "Off"});
    site.api.ok(info, &none).await;
    let wrong = json!({"GroupId": "show", "MuteAllMember": "Maybe"});
    assert_eq!(site.api.refused(info, &wrong).await, 10004);
    site.stop().await;
}

#[tokio::test]
async fn who_is_banned_is_told_why_goes_at_once_and_stays_out() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let ban = json!({
        "GroupId": "show", "Members_Account": ["anna"], "Duration": 600,
        "Description": "spam",
    });
    site.api.ok(BAN, &ban).await;
    let reason = anna
        .room(|kind| match kind {
            RoomEventKind::Kicked(kicked) => Some(kicked.reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reason, "spam");
    assert!(anna.client.enter("show").await.is_err());
    let list = json!({"GroupId": "show", "Limit": 10, "Offset": 0});
    let answer = site.api.ok(BANNED, &list).await;
    assert_eq!(answer["BannedAccountList"][0]["Member_Account"], "anna");
    assert_eq!(answer["NextOffset"], 0);
    let unban = json!({"GroupId": "show", "Members_Account": ["anna"]});
    site.api.ok(UNBAN, &unban).await;
    anna.client.enter("show").await.unwrap();
    let answer = site.api.ok(BANNED, &list).await;
    assert_eq!(answer["BannedAccountList"], json!([]));
    site.stop().await;
}

#[tokio::test]
async fn a_member_is_removed_only_where_the_api_allows_it() {
    let site = Site::start().await;
    let anna = here(&site).await;
    let remove = json!({"GroupId": "show", "MemberToDel_Account": ["anna"], "Silence": 1});
    assert_eq!(site.api.refused(REMOVE, &remove).await, 10004);
    let add = json!({"GroupId": "show", "MemberList": [{"Member_Account": "bert"}]});
    assert_eq!(site.api.refused(ADD, &add).await, 10007);
    let public = json!({"Type": "Public", "Name": "p", "GroupId": "public"});
    site.api.ok(CREATE, &public).await;
    anna.client.enter("public").await.unwrap();
    let remove = json!({"GroupId": "public", "MemberToDel_Account": ["anna", "nobody"]});
    site.api.ok(REMOVE, &remove).await;
    let count = site.api.ok(ONLINE, &json!({"GroupId": "public"})).await;
    assert_eq!(count["OnlineMemberNum"], 0);
    site.stop().await;
}

#[tokio::test]
async fn a_setting_lets_members_of_live_rooms_be_removed() {
    let site = Site::start_with(&Setup {
        sections: "[internal.v4]\nremove_members = true\n",
        ..Setup::default()
    })
    .await;
    let mut anna = here(&site).await;
    let remove = json!({
        "GroupId": "show", "MemberToDel_Account": ["anna"], "Reason": "rude",
    });
    site.api.ok(REMOVE, &remove).await;
    let reason = anna
        .room(|kind| match kind {
            RoomEventKind::Kicked(kicked) => Some(kicked.reason.clone()),
            _ => None,
        })
        .await;
    assert_eq!(reason, "rude");
    site.stop().await;
}

#[tokio::test]
async fn roles_are_given_taken_and_listed() {
    let site = Site::start().await;
    let mut anna = here(&site).await;
    let modify = json!({"GroupId": "show", "Member_Account": "anna", "Role": "Admin"});
    site.api.ok(MODIFY, &modify).await;
    assert_eq!(role(&mut anna).await, Role::Admin);
    let answer = site.api.ok(ADMINS, &json!({"GroupId": "show"})).await;
    assert_eq!(answer["Admin_List"][0]["Admin_Account"], "anna");
    let asked = json!({"GroupId": "show", "User_Account": ["anna", "bert"]});
    let answer = site.api.ok(ROLES, &asked).await;
    assert_eq!(answer["UserIdList"][0]["Role"], "Admin");
    assert_eq!(answer["UserIdList"][1]["Role"], "NotMember");
    let less = json!({"GroupId": "show", "CommandType": 2, "Admin_Account": ["anna"]});
    site.api.ok(ADMIN, &less).await;
    assert_eq!(role(&mut anna).await, Role::Viewer);
    let bad = json!({"GroupId": "show", "Member_Account": "anna", "Role": "King"});
    assert_eq!(site.api.refused(MODIFY, &bad).await, 10004);
    site.stop().await;
}

#[tokio::test]
async fn members_are_counted_listed_and_found() {
    let site = Site::start().await;
    let _anna = here(&site).await;
    let bert = site.person("bert").await;
    bert.client.enter("show").await.unwrap();
    let show = json!({"GroupId": "show"});
    let answer = site.api.ok(ONLINE, &show).await;
    assert_eq!(answer["OnlineMemberNum"], 2);
    let answer = site.api.ok(MEMBERS, &show).await;
    assert_eq!(answer["MemberNum"], 2);
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| it["Member_Account"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(names(&answer["MemberList"]), ["anna", "bert"]);
    assert_eq!(answer["MemberList"][0]["Role"], "Member");
    assert_eq!(answer["MemberList"][0]["NickName"], "ANNA");
    let page = json!({
        "GroupId": "show", "Limit": 1, "Offset": 1, "MemberInfoFilter": ["Role"],
    });
    let answer = site.api.ok(MEMBERS, &page).await;
    let bert = json!([{"Member_Account": "bert", "Role": "Member"}]);
    assert_eq!(answer["MemberList"], bert);
    let answer = site.api.ok(LIVE_MEMBERS, &show).await;
    assert_eq!(names(&answer["MemberList"]), ["anna", "bert"]);
    assert_eq!(answer["NextTimestamp"], 0);
    let asked = json!({"GroupId": "show", "Member_Account": ["carl", "bert"]});
    let answer = site.api.ok(CHECK, &asked).await;
    assert_eq!(answer["Member_Account"], json!(["bert"]));
    site.stop().await;
}

#[tokio::test]
async fn too_many_accounts_and_malformed_fields_have_their_codes() {
    let site = Site::start().await;
    site.room("show").await;
    let many = |n: usize| vec!["a"; n];
    for (path, field, most) in [
        (MUTE, "Members_Account", 500),
        (BAN, "Members_Account", 20),
        (UNBAN, "Members_Account", 20),
        (REMOVE, "MemberToDel_Account", 100),
        (ROLES, "User_Account", 500),
        (CHECK, "Member_Account", 500),
        (ADMIN, "Admin_Account", 5),
    ] {
        let body = json!({
            "GroupId": "show", field: many(most + 1), "Duration": 1, "MuteTime": 1,
            "CommandType": 1,
        });
        assert_eq!(site.api.refused(path, &body).await, 10005, "{path}");
        let numbers = json!({"GroupId": "show", field: [7]});
        assert_eq!(site.api.refused(path, &numbers).await, 60015, "{path}");
        let missing = json!({"GroupId": "show"});
        assert_eq!(site.api.refused(path, &missing).await, 10004, "{path}");
    }
    let one = json!({"GroupId": "show", "Members_Account": ["a"]});
    assert_eq!(site.api.refused(MUTE, &one).await, 10004);
    assert_eq!(site.api.refused(BAN, &one).await, 10004);
    let nowhere = json!({"GroupId": "nowhere"});
    for path in [MUTED, BANNED, MEMBERS, ONLINE, LIVE_MEMBERS, ADMINS, ADD] {
        assert_eq!(site.api.refused(path, &nowhere).await, 10010, "{path}");
    }
    let pages = json!({"GroupId": "show", "Limit": 101});
    assert_eq!(site.api.refused(BANNED, &pages).await, 10004);
    site.stop().await;
}
