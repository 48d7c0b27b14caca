//! A room's attributes, as its members and late joiners have them.

use livegate_client::RoomEventKind;
use livegate_client::wire::Attributes;
use serde_json::{Value, json};

use crate::api::Site;
use crate::people::Person;

const GET: &str = "group_open_attr_http_svc/get_group_attr";
const SET: &str = "group_open_http_svc/set_group_attr";
const MODIFY: &str = "group_open_http_svc/modify_group_attr";
const CLEAR: &str = "group_open_http_svc/clear_group_attr";
const DELETE: &str = "group_open_http_svc/delete_group_attr";

/// Keys and values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn attributes(pairs: Pairs<'_>) -> Value {
    let pairs = pairs
        .iter()
        .map(|(key, value)| json!({"key": key, "value": value}));
    json!({"GroupId": "show", "GroupAttr": pairs.collect::<Value>()})
}

async fn seen(person: &mut Person) -> Attributes {
    person
        .room(|kind| match kind {
            RoomEventKind::Attributes(attributes) => Some(attributes.clone()),
            _ => None,
        })
        .await
}

fn pairs(attributes: &Attributes) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pairs = attributes.attributes.iter();
    pairs.map(|it| (it.key.clone(), text(&it.value))).collect()
}

#[tokio::test]
async fn members_see_each_version_and_late_joiners_the_last() {
    let site = Site::start().await;
    site.room("show").await;
    let mut anna = site.person("anna").await;
    anna.client.enter("show").await.unwrap();
    let of = |list: Pairs<'_>| -> Vec<(String, String)> {
        let own = |it: &(&str, &str)| (it.0.to_owned(), it.1.to_owned());
        list.iter().map(own).collect()
    };
    let steps: [(&str, Value, Pairs<'_>); 4] = [
        (
            SET,
            attributes(&[("a", "1"), ("b", "2")]),
            &[("a", "1"), ("b", "2")],
        ),
        (
            MODIFY,
            attributes(&[("b", "3"), ("c", "4")]),
            &[("a", "1"), ("b", "3"), ("c", "4")],
        ),
        (DELETE, attributes(&[("a", "")]), &[("b", "3"), ("c", "4")]),
        (SET, attributes(&[("d", "5")]), &[("d", "5")]),
    ];
    for (version, (path, body, after)) in (1..).zip(steps) {
        site.api.ok(path, &body).await;
        let told = seen(&mut anna).await;
        assert_eq!((told.version, pairs(&told)), (version, of(after)), "{path}");
    }
    let answer = site.api.ok(GET, &json!({"GroupId": "show"})).await;
    assert_eq!(answer["GroupAttrAry"], json!([{"key": "d", "value": "5"}]));
    let bert = site.person("bert").await;
    let late = bert.client.enter("show").await.unwrap();
    let snapshot = late.entered().unwrap().room.clone().unwrap();
    assert_eq!(pairs(&snapshot.attributes.unwrap()), of(&[("d", "5")]));
    site.api.ok(CLEAR, &json!({"GroupId": "show"})).await;
    assert!(seen(&mut anna).await.attributes.is_empty());
    site.stop().await;
}

#[tokio::test]
async fn attributes_are_refused_with_the_code_for_what_is_wrong() {
    let site = Site::start().await;
    site.room("show").await;
    let keys: Vec<String> = (0..17).map(|n| format!("k{n}")).collect();
    let seventeen: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let long = "v".repeat(4_097);
    for body in [
        json!({"GroupId": "show"}),
        attributes(&[]),
        attributes(&seventeen),
        attributes(&[("k", &long)]),
        attributes(&[("", "v")]),
        json!({"GroupId": "show", "GroupAttr": [{"key": "k", "value": 7}]}),
        json!({"GroupId": "show", "GroupAttr": ["k"]}),
    ] {
        for path in [SET, MODIFY] {
            assert_eq!(site.api.refused(path, &body).await, 10004, "{path} {body}");
        }
    }
    let mut nowhere = attributes(&[("k", "v")]);
    nowhere["GroupId"] = "nowhere".into();
    for path in [GET, SET, MODIFY, CLEAR, DELETE] {
        assert_eq!(site.api.refused(path, &nowhere).await, 10010, "{path}");
    }
    site.stop().await;
}
