use super::*;

#[track_caller]
fn check(body: &str, metadata: &str, expected: &[u8]) {
    let message = format!(r#"{{"id":"k","lease_id":"l","body":{body},"metadata":{metadata}}}"#);
    let (received, unidentified) = read(&message);
    assert_eq!((received.len(), unidentified), (1, 0), "{message}");
    assert_eq!(received[0].body, expected, "{message}");
}

fn read(messages: &str) -> (Vec<ReceivedMessage>, usize) {
    let pulled: Pulled = serde_json::from_str(&format!(r#"{{"messages":[{messages}]}}"#)).unwrap();
    pulled.into_received()
}

#[test]
fn every_form_of_a_body_decodes_to_the_sent_bytes() {
    let (text, json, bytes) =
        (r#"{"CF-Content-Type":"text"}"#, r#"{"CF-Content-Type":"json"}"#, r#"{"CF-Content-Type":"bytes"}"#);
    let ours = br#"{"v":1}"#;
    check(r#""{\"v\":1}""#, text, ours);
    check(r#""eyJ2IjoxfQ==""#, json, ours);
    check(r#""eyJ2IjoxfQ==""#, bytes, ours);
    check(r#""{\"v\":1}""#, json, ours);
    check(r#"{"v":1}"#, json, ours);
    for metadata in ["null", "{}", "7", r#"{"CF-Content-Type":7}"#] {
        check(r#""{\"v\":1}""#, metadata, ours);
        check(r#""eyJ2IjoxfQ==""#, metadata, ours);
        check(r#"{"v":1}"#, metadata, ours);
    }
    check(r#""eyJ2IjoxfQ==""#, text, b"eyJ2IjoxfQ==");
    check(r#""//4=""#, bytes, b"\xff\xfe");
    check(r#""not base64""#, bytes, b"not base64");
    check(r#""abcd""#, "null", b"abcd");
    check("null", "null", b"");
    check("[1,2]", "null", b"[1,2]");
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    check(&deep, json, deep.as_bytes());
}

#[test]
fn an_answer_without_messages_is_empty() {
    for result in ["null", "{}", r#"{"messages":null}"#, r#"{"messages":[]}"#] {
        let pulled: Option<Pulled> = serde_json::from_str(result).unwrap();
        let (received, unidentified) = pulled.unwrap_or_default().into_received();
        assert_eq!((received.len(), unidentified), (0, 0), "{result}");
    }
}

#[test]
fn a_malformed_message_affects_no_other() {
    let good = r#"{"id":"k","lease_id":"l","body":"b","attempts":3,"timestamp_ms":1710950954154}"#;
    let bad = [r#"{"id":"k"}"#, r#"{"lease_id":"l"}"#, "7", "null", r#"{"id":7,"lease_id":"l"}"#];
    let (received, unidentified) = read(&format!("{},{good}", bad.join(",")));
    assert_eq!((received.len(), unidentified), (1, bad.len()));
    assert_eq!(received[0].deliveries, 3);
    assert_eq!(received[0].enqueued_at, Some(UnixMillis(1_710_950_954_154)));
    for odd in ["-1", "1e99", r#""x""#, "{}"] {
        let message = format!(r#"{{"id":"k","lease_id":"l","attempts":{odd},"timestamp_ms":{odd}}}"#);
        let (received, _) = read(&message);
        assert_eq!((received[0].deliveries, received[0].enqueued_at), (1, None), "{odd}");
    }
    let (received, _) = read(r#"{"id":"k","lease_id":"l","attempts":99999999999}"#);
    assert_eq!(received[0].deliveries, u32::MAX);
}
