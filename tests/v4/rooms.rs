//! Rooms: made, listed, read, changed, destroyed.

use std::collections::HashSet;

use livegate_client::RoomEventKind;
use serde_json::{Value, json};

use crate::api::Site;

const CREATE: &str = "group_open_http_svc/create_group";
const DESTROY: &str = "group_open_http_svc/destroy_group";
const LIST: &str = "group_open_http_svc/get_appid_group_list";
const INFO: &str = "group_open_http_svc/get_group_info";
const MODIFY: &str = "group_open_http_svc/modify_group_base_info";
const JOINED: &str = "group_open_http_svc/get_joined_group_list";
const OWNER: &str = "group_open_http_svc/change_group_owner";

fn made(id: &str) -> Value {
    json!({
        "Owner_Account": "anchor_9527", "Type": "AVChatRoom", "GroupId": id,
        "Name": "Evening show", "MaxMemberCount": 500, "Introduction": "",
        "AppDefinedData": [{"Key": "live_state", "Value": "on"}],
    })
}

#[tokio::test]
async fn a_room_is_made_once_and_a_repeat_says_whose_it_is() {
    let site = Site::start().await;
    let answer = site.api.ok(CREATE, &made("room_1001")).await;
    assert_eq!(answer["GroupId"], "room_1001");
    assert_eq!(answer["Type"], "AVChatRoom");
    assert_eq!(site.api.refused(CREATE, &made("room_1001")).await, 10025);
    let mut others = made("room_1001");
    others["Owner_Account"] = "somebody".into();
    assert_eq!(site.api.refused(CREATE, &others).await, 10021);
    let mut unnamed = made("x");
    unnamed.as_object_mut().unwrap().remove("GroupId");
    let answer = site.api.ok(CREATE, &unnamed).await;
    assert!(answer["GroupId"].as_str().unwrap().starts_with("@TGS#"));
    site.stop().await;
}

#[tokio::test]
async fn a_room_is_refused_with_the_code_for_what_is_wrong() {
    let site = Site::start().await;
    let with = |name: &str, value: Value| {
        let mut body = made("r");
        body[name] = value;
        body
    };
    let member = json!([{"Member_Account": "a"}]);
    let defined = |key: &str, value: &str| json!([{"Key": key, "Value": value}]);
    for (body, code) in [
        (with("MemberList", member), 10007),
        (with("GroupId", "@TGS#mine".into()), 10015),
        (with("GroupId", "x".repeat(49).into()), 10015),
        (with("GroupId", "a\nb".into()), 10015),
        (with("Type", "Nothing".into()), 10004),
        (with("Type", "".into()), 10004),
        (with("Name", "".into()), 10004),
        (with("Name", "n".repeat(31).into()), 10004),
        (with("Introduction", "n".repeat(241).into()), 10004),
        (with("Notification", "n".repeat(301).into()), 10004),
        (with("FaceUrl", "n".repeat(101).into()), 10004),
        (with("Owner_Account", 7.into()), 60015),
        (with("AppDefinedData", defined("1key", "v")), 10004),
        (
            with("AppDefinedData", defined("k", &"v".repeat(513))),
            10004,
        ),
    ] {
        assert_eq!(site.api.refused(CREATE, &body).await, code, "{body}");
    }
    assert_eq!(site.api.ok(LIST, &json!({})).await["TotalCount"], 0);
    site.stop().await;
}

#[tokio::test]
async fn pages_of_rooms_hold_each_room_once() {
    let site = Site::start().await;
    for n in 0..7 {
        site.room(&format!("r{n}")).await;
    }
    let public = json!({"Type": "Public", "Name": "p", "GroupId": "p"});
    site.api.ok(CREATE, &public).await;
    let (mut next, mut found) = (Value::from(0), Vec::new());
    loop {
        let page = json!({"Limit": "3", "Next": next, "GroupType": "AVChatRoom"});
        let answer = site.api.ok(LIST, &page).await;
        assert_eq!(answer["TotalCount"], 7);
        let ids = answer["GroupIdList"].as_array().unwrap();
        found.extend(
            ids.iter()
                .map(|it| it["GroupId"].as_str().unwrap().to_owned()),
        );
        next = answer["Next"].clone();
        if next == 0 {
            break;
        }
    }
    let distinct: HashSet<&String> = found.iter().collect();
    assert_eq!((found.len(), distinct.len()), (7, 7));
    let all = site.api.ok(LIST, &json!({"GroupType": ""})).await;
    assert_eq!(all["TotalCount"], 8);
    assert_eq!(
        site.api.refused(LIST, &json!({"Limit": 10_001})).await,
        10004
    );
    site.stop().await;
}

#[tokio::test]
async fn a_room_is_read_with_a_verdict_for_each() {
    let site = Site::start().await;
    site.api.ok(CREATE, &made("show")).await;
    let anna = site.person("anna").await;
    let _here = anna.client.enter("show").await.unwrap();
    let asked = json!({"GroupIdList": ["show", "nowhere", "a\nb"]});
    let answer = site.api.ok(INFO, &asked).await;
    let infos = answer["GroupInfo"].as_array().unwrap();
    let codes: Vec<&Value> = infos.iter().map(|it| &it["ErrorCode"]).collect();
    assert_eq!(codes, [0, 10010, 10015]);
    let show = &infos[0];
    assert_eq!(show["Name"], "Evening show");
    assert_eq!(show["Owner_Account"], "anchor_9527");
    assert_eq!(show["MemberNum"], 1);
    assert_eq!(show["MuteAllMember"], "Off");
    let defined = json!([{"Key": "live_state", "Value": "on"}]);
    assert_eq!(show["AppDefinedData"], defined);
    let filter = json!({"GroupBaseInfoFilter": ["Name"]});
    let asked = json!({"GroupIdList": ["show"], "ResponseFilter": filter});
    let answer = site.api.ok(INFO, &asked).await;
    assert!(answer["GroupInfo"][0]["Owner_Account"].is_null());
    assert_eq!(answer["GroupInfo"][0]["Name"], "Evening show");
    let many = json!({"GroupIdList": vec!["r"; 51]});
    assert_eq!(site.api.refused(INFO, &many).await, 10004);
    site.stop().await;
}

#[tokio::test]
async fn an_item_push_is_seen_at_once_and_by_who_comes_later() {
    let site = Site::start().await;
    site.api.ok(CREATE, &made("show")).await;
    let mut anna = site.person("anna").await;
    let _here = anna.client.enter("show").await.unwrap();
    let item = json!({
        "GroupId": "show",
        "AppDefinedData": [{"Key": "item", "Value": "{\"id\":7}"}],
    });
    site.api.ok(MODIFY, &item).await;
    let seen = anna
        .room(|kind| match kind {
            RoomEventKind::InfoChanged(changed) => changed.profile.clone(),
            _ => None,
        })
        .await;
    let values: Vec<_> = seen.app_defined.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(values, ["live_state", "item"], "merged by key");
    let bert = site.person("bert").await;
    let late = bert.client.enter("show").await.unwrap();
    let snapshot = late.entered().unwrap().room.clone().unwrap();
    let profile = snapshot.summary.unwrap().profile.unwrap();
    assert_eq!(*profile, *seen);
    let nowhere = json!({"GroupId": "nowhere", "Name": "x"});
    assert_eq!(site.api.refused(MODIFY, &nowhere).await, 10010);
    site.stop().await;
}

#[tokio::test]
async fn who_is_where_is_told_by_user_and_the_end_to_everybody() {
    let site = Site::start().await;
    site.api.ok(CREATE, &made("show")).await;
    let mut anna = site.person("anna").await;
    let _here = anna.client.enter("show").await.unwrap();
    let asked = json!({"Member_Account": "anna", "WithHugeGroups": 1});
    let answer = site.api.ok(JOINED, &asked).await;
    assert_eq!(answer["TotalCount"], 1);
    assert_eq!(answer["GroupIdList"][0]["GroupId"], "show");
    let without = json!({"Member_Account": "anna"});
    assert_eq!(site.api.ok(JOINED, &without).await["TotalCount"], 0);
    let owner = json!({"GroupId": "show", "NewOwner_Account": "anna"});
    site.api.ok(OWNER, &owner).await;
    let answer = site.api.ok(JOINED, &asked).await;
    assert_eq!(answer["GroupIdList"][0]["SelfInfo"]["Role"], "Owner");
    site.api.ok(DESTROY, &json!({"GroupId": "show"})).await;
    anna.room(|kind| matches!(kind, RoomEventKind::Destroyed(_)).then_some(()))
        .await;
    let gone = json!({"GroupId": "show"});
    assert_eq!(site.api.refused(DESTROY, &gone).await, 10010);
    site.stop().await;
}
