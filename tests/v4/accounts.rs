//! Accounts, profiles, logins that end, mutes that hold everywhere.

use std::time::Duration;

use livegate_client::{Client, Config, Event, SigProvider};
use serde_json::{Value, json};

use crate::api::{OVER, Site};
use crate::people::Login;
use crate::running::APP;

const IMPORT: &str = "im_open_login_svc/account_import";
const IMPORTS: &str = "im_open_login_svc/multiaccount_import";
const CHECK: &str = "im_open_login_svc/account_check";
const DELETE: &str = "im_open_login_svc/account_delete";
const KICK: &str = "im_open_login_svc/kick";
const SET: &str = "profile/portrait_set";
const GET: &str = "profile/portrait_get";
const MUTE: &str = "openconfigsvr/setnospeaking";
const MUTED: &str = "openconfigsvr/getnospeaking";

#[tokio::test]
async fn a_kick_ends_sessions_and_the_signatures_until_now() {
    let site = Site::start().await;
    let login = Login {
        renews: false,
        ..Login::new("anna", OVER)
    };
    let mut anna = login.connect(&site.running).await;
    let sig = login.sig();
    site.api.ok(KICK, &json!({"Identifier": "anna"})).await;
    let gone = anna
        .until(|event| match event {
            Event::Disconnected(gone) => Some(gone.clone()),
            _ => None,
        })
        .await;
    assert!(gone.retry_in.is_none(), "a kick is final: {gone:?}");
    let addr = site.running.public.to_string();
    let roots = site.running.roots.clone();
    let mut config = Config::new(addr, APP, "anna", SigProvider::fixed(sig), roots);
    config.dial.transport = OVER;
    config.backoff.base = Duration::from_millis(20);
    let refused = Client::connect(config).await.unwrap_err();
    assert!(refused.to_string().contains("70052"), "{refused}");
    // One that is issued in a later second holds.
    let newer = tokio::time::timeout(Duration::from_secs(30), async {
        while login
            .try_connect(&site.running, site.running.roots.clone())
            .await
            .is_err()
        {}
    });
    newer.await.expect("a new signature holds");
    site.stop().await;
}

#[tokio::test]
async fn an_admin_whose_signatures_ended_is_no_longer_heard() {
    let site = Site::start().await;
    site.api.ok(KICK, &json!({"UserID": "administrator"})).await;
    let kick = json!({"UserID": "anna"});
    assert_eq!(site.api.refused(KICK, &kick).await, 70052);
    site.stop().await;
}

#[tokio::test]
async fn accounts_come_and_go() {
    let site = Site::start().await;
    let _online = site.person("online").await;
    let import = json!({"UserID": "anna", "Nick": "Anna", "FaceUrl": "http://x/a.png"});
    site.api.ok(IMPORT, &import).await;
    site.api.ok(IMPORT, &json!({"Identifier": "old"})).await;
    let more = json!({"Accounts": ["bert", "carl"]});
    let answer = site.api.ok(IMPORTS, &more).await;
    assert_eq!(answer["FailAccounts"], json!([]));
    let users = ["anna", "old", "bert", "online", "stranger"];
    let items: Vec<Value> = users.iter().map(|it| json!({"UserID": it})).collect();
    let check = json!({"CheckItem": items});
    let statuses = |answer: &Value| -> Vec<String> {
        let items = answer["ResultItem"].as_array().unwrap().iter();
        items
            .map(|it| it["AccountStatus"].as_str().unwrap().to_owned())
            .collect()
    };
    let (yes, no) = ("Imported", "NotImported");
    let answer = site.api.ok(CHECK, &check).await;
    assert_eq!(statuses(&answer), [yes, yes, yes, yes, no]);
    let delete = json!({"DeleteItem": [{"UserID": "anna"}]});
    let answer = site.api.ok(DELETE, &delete).await;
    assert_eq!(answer["ResultItem"][0]["ResultCode"], 0);
    let answer = site.api.ok(CHECK, &check).await;
    assert_eq!(statuses(&answer), [no, yes, yes, yes, no]);
    let many: Vec<Value> = (0..101).map(|n| json!({"UserID": n.to_string()})).collect();
    let many = json!({"CheckItem": many, "DeleteItem": many, "Accounts": vec!["a"; 101]});
    for path in [CHECK, DELETE, IMPORTS] {
        assert_eq!(site.api.refused(path, &many).await, 70402, "{path}");
        assert_eq!(site.api.refused(path, &json!({})).await, 70402, "{path}");
    }
    for path in [IMPORT, KICK] {
        assert_eq!(site.api.refused(path, &json!({})).await, 70402, "{path}");
        let number = json!({"UserID": 7});
        assert_eq!(site.api.refused(path, &number).await, 60015, "{path}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_profile_is_fixed_and_shown() {
    let site = Site::start().await;
    site.room("show").await;
    let items = json!([
        {"Tag": "Tag_Profile_IM_Nick", "Value": "Anna of the backend"},
        {"Tag": "Tag_Profile_IM_Image", "Value": "http://x/a.png"},
        {"Tag": "Tag_Profile_IM_Gender", "Value": "Gender_Type_Female"},
    ]);
    let set = json!({"From_Account": "anna", "ProfileItem": items});
    site.api.ok(SET, &set).await;
    let tags = ["Tag_Profile_IM_Nick", "Tag_Profile_IM_Image"];
    let get = json!({"To_Account": ["anna", "bert"], "TagList": tags});
    let answer = site.api.ok(GET, &get).await;
    let anna = &answer["UserProfileItem"][0];
    assert_eq!(anna["ProfileItem"], json!([items[0], items[1]]));
    assert_eq!(answer["UserProfileItem"][1]["ProfileItem"], json!([]));
    let mut bert = site.person("bert").await;
    bert.client.enter("show").await.unwrap();
    let anna = site.person("anna").await;
    let room = anna.client.enter("show").await.unwrap();
    room.send_text("hi").await.unwrap();
    let (_, message) = bert.message().await;
    let profile = message.from.unwrap().profile.unwrap();
    assert_eq!(profile.nick, "Anna of the backend");
    assert_eq!(profile.avatar_url, "http://x/a.png");
    // Another name is shown at once.
    let items = json!([{"Tag": "Tag_Profile_IM_Nick", "Value": "Anna again"}]);
    let set = json!({"From_Account": "anna", "ProfileItem": items});
    site.api.ok(SET, &set).await;
    room.send_text("hi again").await.unwrap();
    let (_, message) = bert.message().await;
    let profile = message.from.unwrap().profile.unwrap();
    assert_eq!(profile.nick, "Anna again");
    assert_eq!(profile.avatar_url, "http://x/a.png");
    let wrong = json!([{"Tag": "Nick", "Value": "x"}]);
    let long = json!([{"Tag": "Tag_Profile_IM_Nick", "Value": "x".repeat(97)}]);
    for items in [json!([]), json!({}), wrong, long] {
        let set = json!({"From_Account": "anna", "ProfileItem": items});
        assert_eq!(site.api.refused(SET, &set).await, 40001, "{set}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_mute_everywhere_holds_in_rooms() {
    let site = Site::start().await;
    site.room("show").await;
    let anna = site.person("anna").await;
    let room = anna.client.enter("show").await.unwrap();
    let ever = 4_294_967_295_u32;
    let mute = json!({"Set_Account": "anna", "GroupmsgNospeakingTime": ever});
    site.api.ok(MUTE, &mute).await;
    let refused = room.send_text("x").await.unwrap_err();
    assert_eq!(refused.code().unwrap().0, 10017);
    let answer = site.api.ok(MUTED, &json!({"Get_Account": "anna"})).await;
    assert_eq!(answer["GroupmsgNospeakingTime"], ever);
    assert_eq!(answer["C2CmsgNospeakingTime"], 0);
    let free = json!({"Set_Account": "anna", "GroupmsgNospeakingTime": 0});
    site.api.ok(MUTE, &free).await;
    room.send_text("x").await.unwrap();
    let nothing = json!({"Set_Account": "anna"});
    assert_eq!(site.api.refused(MUTE, &nothing).await, 10004);
    site.stop().await;
}
