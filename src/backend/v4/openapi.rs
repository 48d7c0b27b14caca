//! The description of the API, made from the table that dispatch uses.

use axum::response::Response;
use livegate_proto::code::Code;
use serde_json::{Map, Value, json};

use super::TABLE;
use super::answer;
use super::command::{Command, Field, Kind};

/// The description as a response.
pub(super) fn response() -> Response {
    answer::json(&describe())
}

/// The description: OpenAPI 3.1.
pub(super) fn describe() -> Value {
    let commands = TABLE.iter().copied().flatten();
    let paths: Map<String, Value> = commands
        .map(|command| {
            let path = format!("/v4/{}/{}", command.service, command.name);
            (path, json!({"post": operation(command)}))
        })
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "livegate v4",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The vendor's REST API as livegate answers it. \
                HTTP is 200 always; the verdict is ErrorCode.",
        },
        "paths": paths,
        "components": {"parameters": parameters()},
    })
}

/// The query, the same for all commands.
fn parameters() -> Value {
    let parameter = |name: &str, about: &str, required: bool| {
        json!({
            "name": name,
            "in": "query",
            "required": required,
            "description": about,
            "schema": {"type": "string"},
        })
    };
    json!({
        "sdkappid": parameter("sdkappid", "The app.", true),
        "identifier": parameter("identifier", "An admin of the app.", true),
        "usersig": parameter("usersig", "The admin's UserSig, v1 or v2.", true),
        "random": parameter("random", "Not looked at.", false),
        "contenttype": parameter("contenttype", "json; not looked at.", false),
    })
}

fn operation(command: &Command) -> Value {
    let names = ["sdkappid", "identifier", "usersig", "random", "contenttype"];
    let reference = |name| json!({"$ref": format!("#/components/parameters/{name}")});
    let parameters: Vec<Value> = names.iter().map(reference).collect();
    let also = command.also.iter();
    let also: Vec<String> = also
        .map(|(service, name)| format!("/v4/{service}/{name}"))
        .collect();
    json!({
        "operationId": format!("{}.{}", command.service, command.name),
        "tags": [command.service],
        "summary": command.about,
        "x-also": also,
        "parameters": parameters,
        "requestBody": {
            "required": true,
            "content": {"application/json": {"schema": object(command.takes, request)}},
        },
        "responses": {"200": {
            "description": "The verdict, and what was asked for.",
            "content": {"application/json": {"schema": verdict(command)}},
        }},
    })
}

/// An answer: three fields always, the command's own when it is done.
fn verdict(command: &Command) -> Value {
    let codes = Code::TABLE.iter().map(|(code, _)| code.0);
    let codes: Vec<i32> = codes
        .filter(|code| !(30_000..40_000).contains(code))
        .collect();
    let mut schema = object(command.gives, answer_kind);
    schema["properties"]["ActionStatus"] = json!({"type": "string", "enum": ["OK", "FAIL"]});
    schema["properties"]["ErrorCode"] = json!({"type": "integer", "enum": codes});
    schema["properties"]["ErrorInfo"] = json!({"type": "string"});
    schema["required"] = json!(["ActionStatus", "ErrorCode", "ErrorInfo"]);
    schema["additionalProperties"] = json!(false);
    schema
}

fn object(fields: &[Field], kind: fn(Kind) -> Value) -> Value {
    let properties = fields.iter().map(|it| (it.name.to_owned(), kind(it.kind)));
    let properties: Map<String, Value> = properties.collect();
    let needed = fields.iter().filter(|it| it.need).map(|it| it.name);
    let needed: Vec<&str> = needed.collect();
    json!({"type": "object", "properties": properties, "required": needed})
}

/// What may be sent: integers also as texts.
fn request(kind: Kind) -> Value {
    match kind {
        Kind::Integer => json!({"anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^[0-9]{0,20}$"},
        ]}),
        Kind::Accounts(most) => json!({
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": crate::id::MAX_USER_ID},
            "minItems": 1,
            "maxItems": most,
        }),
        Kind::Object(fields) => object(fields, request),
        Kind::List(fields) => json!({"type": "array", "items": object(fields, request)}),
        Kind::Text | Kind::Account | Kind::Texts | Kind::Any => answer_kind(kind),
    }
}

fn answer_kind(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Account => json!({"type": "string"}),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Texts | Kind::Accounts(_) => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Object(fields) => object(fields, answer_kind),
        Kind::List(fields) => json!({"type": "array", "items": object(fields, answer_kind)}),
        Kind::Any => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_command_is_described_once_and_every_path_leads_to_one() {
        let described = describe();
        let paths = described["paths"].as_object().unwrap();
        let commands: Vec<&Command> = TABLE.iter().copied().flatten().collect();
        assert_eq!(paths.len(), commands.len());
        let own = commands.iter().map(|it| (it.service, it.name));
        let also = commands.iter().flat_map(|it| it.also.iter().copied());
        let all: Vec<_> = own.chain(also).collect();
        let distinct: HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "a path leads to two commands");
    }

    #[test]
    fn an_answer_has_the_three_fields_and_no_own_codes() {
        let described = describe();
        for (path, item) in described["paths"].as_object().unwrap() {
            let response = &item["post"]["responses"]["200"];
            let schema = &response["content"]["application/json"]["schema"];
            let needed = schema["required"].as_array().unwrap();
            assert_eq!(needed.len(), 3, "{path}");
            let codes = schema["properties"]["ErrorCode"]["enum"]
                .as_array()
                .unwrap();
            assert!(codes.contains(&Value::from(0)), "{path}");
            assert!(!codes.contains(&Value::from(30_007)), "{path}");
        }
    }

    #[test]
    fn the_page_about_the_door_names_every_command_and_no_other() {
        let page = include_str!("../../../docs/v4.md");
        let named: HashSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|path| path.contains('/'))
            .collect();
        let commands = TABLE.iter().copied().flatten();
        let paths: Vec<String> = commands
            .flat_map(|it| {
                [(it.service, it.name)]
                    .into_iter()
                    .chain(it.also.iter().copied())
            })
            .map(|(service, name)| format!("{service}/{name}"))
            .collect();
        let paths: HashSet<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(named, paths);
    }
}
