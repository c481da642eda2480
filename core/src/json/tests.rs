use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Texts that are JSON or almost JSON.
fn near_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("{".to_string()),
        Just("}".to_string()),
        Just("[".to_string()),
        Just("]".to_string()),
        Just(",".to_string()),
        Just(":".to_string()),
        Just("\"a\"".to_string()),
        Just("\"a\":".to_string()),
        Just("true".to_string()),
        Just("null".to_string()),
        Just("fals".to_string()),
        Just(" ".to_string()),
        "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
        "\"([ab\u{e9}]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fg]{4}){0,4}\"",
        "[\\x00-\\x7f]",
    ];
    proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat().into_bytes())
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("[ab]{0,2}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn accepts_what_serde_json_accepts(text: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<IgnoredAny>(text).is_ok() && core::str::from_utf8(text).is_ok();
    prop_assert_eq!(read_object(text, ["a"]).is_ok(), theirs, "{}", String::from_utf8_lossy(text));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn near_json_is_accepted_if_serde_json_accepts_it(text in near_json()) {
        accepts_what_serde_json_accepts(&text)?;
    }

    #[test]
    fn any_bytes_are_accepted_if_serde_json_accepts_them(text: Vec<u8>) {
        accepts_what_serde_json_accepts(&text)?;
    }

    #[test]
    fn a_written_string_parses_to_itself(text: String) {
        let mut out = String::from("{\"a\":");
        write_string(&mut out, &text);
        out.push('}');
        let members = read_object(out.as_bytes(), ["a"]).unwrap().unwrap();
        let [JsonMember::Once(JsonValue::String(found))] = members.named else { panic!("{out}") };
        prop_assert_eq!(found.decode(), text.as_str());
        let theirs: serde_json::Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(theirs["a"].as_str(), Some(text.as_str()));
    }
}

proptest! {
    #[test]
    fn a_document_is_parsed_like_serde_json_parses_it(document in document(), spaced: bool) {
        let text = if spaced { format!("{document:#}") } else { document.to_string() };
        accepts_what_serde_json_accepts(text.as_bytes())?;
        let Some(object) = document.as_object() else { return Ok(()) };
        let members = read_object(text.as_bytes(), ["a", "b"]).unwrap().unwrap();
        for (name, member) in ["a", "b"].into_iter().zip(members.named) {
            match (object.get(name), member) {
                (Some(serde_json::Value::String(theirs)), JsonMember::Once(JsonValue::String(ours))) => {
                    prop_assert_eq!(ours.decode(), theirs.as_str());
                }
                (None, JsonMember::Missing)
                | (Some(serde_json::Value::Number(_)), JsonMember::Once(JsonValue::Number(_))) => {}
                (Some(theirs), JsonMember::Once(JsonValue::Other)) => prop_assert!(!theirs.is_string() && !theirs.is_number()),
                (theirs, ours) => prop_assert!(false, "{theirs:?} {ours:?}"),
            }
        }
    }
}

#[test]
fn nesting_is_accepted_up_to_the_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read_object(nested(32).as_bytes(), ["a"]).is_ok());
    assert_eq!(read_object(nested(33).as_bytes(), ["a"]).err(), Some(JsonSyntaxError::TooDeep));
    assert_eq!(read_object("[".repeat(8192).as_bytes(), ["a"]).err(), Some(JsonSyntaxError::TooDeep));
    assert_eq!(read_object("{\"a\":".repeat(1600).as_bytes(), ["a"]).err(), Some(JsonSyntaxError::TooDeep));
}

#[test]
fn a_repeated_name_is_detected_even_if_it_is_escaped() {
    let members = read_object(br#"{"a":1,"\u0061":2,"b":3}"#, ["a", "c"]).unwrap().unwrap();
    assert_eq!(members.named, [JsonMember::Repeated, JsonMember::Missing]);
    assert!(members.others);
}

#[test]
fn surrogates_are_paired_or_replaced() {
    let decode = |text: &'static str| RawJsonString { raw: text, escaped: true }.decode().to_string();
    assert_eq!(decode(r"\ud83d\ude00!"), "\u{1f600}!");
    assert_eq!(decode(r"\ud83d!"), "\u{fffd}!");
    assert_eq!(decode(r"\ud83d\u0041"), "\u{fffd}A");
    assert_eq!(decode(r"\u0041\u0042"), "AB");
}
