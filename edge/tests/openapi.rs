//! The description of the API, compared with the fixture table.
#![cfg(test)]

use std::collections::BTreeSet;

use serde_json::Value;

const TABLE: [&str; 4] = [
    include_str!("../fixtures/accepted.json"),
    include_str!("../fixtures/refused.json"),
    include_str!("../fixtures/invalid.json"),
    include_str!("../fixtures/other.json"),
];

fn document() -> Value {
    serde_json::from_str(include_str!("../openapi.json")).unwrap()
}

fn rows() -> Vec<Value> {
    TABLE.iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap()).collect()
}

/// Returns the strings of a JSON array.
fn strings(array: &Value) -> BTreeSet<&str> {
    array.as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_description_is_openapi_3_1_of_this_version() {
    assert_eq!(document()["openapi"], "3.1.0");
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_resolves() {
    fn visit(document: &Value, value: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        value.as_array().into_iter().flatten().for_each(|value| visit(document, value));
        value
            .as_object()
            .into_iter()
            .flat_map(|object| object.values())
            .for_each(|value| visit(document, value));
    }
    visit(&document(), &document());
}

#[test]
fn every_problem_and_code_of_the_table_is_described() {
    let (document, rows) = (document(), rows());
    let schemas = &document["components"]["schemas"];
    let codes = strings(&schemas["FieldError"]["properties"]["code"]["enum"]);
    let kinds = strings(&schemas["Problem"]["properties"]["type"]["examples"]);
    let mut used = BTreeSet::new();
    for row in &rows {
        let expect = &row["expect"];
        if let Some(kind) = expect["problem"].as_str() {
            assert!(kinds.contains(format!("urn:chargegate:problem:{kind}").as_str()), "{kind}");
        }
        for error in expect["errors"].as_array().into_iter().flatten() {
            used.insert(error[1].as_str().unwrap());
        }
    }
    assert_eq!(used, codes);
}

#[test]
fn every_status_of_the_table_is_described() {
    let document = document();
    for row in rows() {
        let path = row["path"].as_str().unwrap_or("/v1/charging-sessions").split('?').next().unwrap();
        let status = row["expect"]["status"].to_string();
        let operations = document["paths"][path].as_object();
        let known = operations.into_iter().flat_map(|operations| operations.values());
        let known = known.filter(|operation| !operation["responses"][status.as_str()].is_null());
        assert!(row["each_path"].is_array() || known.count() == 1, "{status} at {path}");
    }
}

#[test]
fn the_described_acknowledgement_is_exactly_the_contract() {
    let document = document();
    let accepted = &document["components"]["schemas"]["Accepted"]["properties"];
    let body =
        format!(r#"{{"status":{},"message":{}}}"#, accepted["status"]["const"], accepted["message"]["const"]);
    let acknowledged = rows().iter().any(|row| row["expect"]["body"] == body.as_str());
    assert!(acknowledged, "{body}");
}
