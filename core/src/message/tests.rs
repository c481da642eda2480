use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const VALID: &str = r#"{"v":1,"id":"019aa9a4-1c00-7000-8000-000000000001","station_id":"123e4567-e89b-12d3-a456-426614174000","driver_token":"driver-allowed-0000000001","callback_url":"https://a.example/cb","accepted_at":1763800000000,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

#[test]
fn a_message_is_encoded_as_the_contract_requires() {
    let message = SessionMessage::decode(VALID.as_bytes()).unwrap();
    assert_eq!(message.encode(), VALID);
    assert!(matches!(message.driver_token, MessageToken::Valid(_)));
}

#[track_caller]
fn check(from: &str, to: &str, expected: Result<(), MessageDecodeError>) {
    assert!(VALID.contains(from), "{from}");
    let text = VALID.replacen(from, to, 1);
    assert_eq!(SessionMessage::decode(text.as_bytes()).map(drop), expected, "{text}");
}

#[test]
fn any_deviation_from_the_contract_is_poison() {
    for version in ["0", "2", "1.0", "\"1\"", "1e0", "null"] {
        check("\"v\":1", &format!("\"v\":{version}"), Err(MessageDecodeError::Version));
    }
    check("\"v\":1,", "", Err(MessageDecodeError::Version));
    check("\"v\":1", "\"v\":1,\"v\":1", Err(MessageDecodeError::Version));
    check("\"v\":1", "\"v\":1,\"x\":1", Err(MessageDecodeError::UnknownField));
    check("019aa9a4", "x19aa9a4", Err(MessageDecodeError::Id));
    check("123e4567", "123e456", Err(MessageDecodeError::StationId));
    check("\"driver-allowed-0000000001\"", "1", Err(MessageDecodeError::DriverToken));
    check("https", "ftp", Err(MessageDecodeError::CallbackUrl));
    for time in ["-1", "1.5", "1e3", "9007199254740992", "18446744073709551616", "\"1\"", "null"] {
        check("1763800000000", time, Err(MessageDecodeError::AcceptedAt));
    }
    check("1763800000000", "9007199254740991", Ok(()));
    check(
        "\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"",
        "1",
        Err(MessageDecodeError::Traceparent),
    );
    check("00-4bf", "zz-4bf", Ok(()));
    assert_eq!(
        SessionMessage::decode(&alloc::vec![b' '; MAX_MESSAGE_BYTES + 1]),
        Err(MessageDecodeError::TooLarge)
    );
    assert_eq!(SessionMessage::decode(b"[]"), Err(MessageDecodeError::NotAnObject));
    assert_eq!(
        SessionMessage::decode(&VALID.as_bytes()[..VALID.len() - 1]),
        Err(MessageDecodeError::NotAnObject)
    );
}

proptest! {
    #[test]
    fn an_encoded_message_decodes_to_itself(
        id: [u8; 16], station: [u8; 16], token: String, path in "[a-z0-9/?=&]{0,30}", at in 0..1_u64 << 53,
        trace in proptest::option::of((any::<[u8; 16]>(), any::<[u8; 8]>())),
    ) {
        let message = SessionMessage {
            id: RequestId::from_bytes(id),
            station_id: RequestId::from_bytes(station).to_string().parse().unwrap(),
            driver_token: token.as_str().into(),
            callback_url: format!("https://a.example/{path}").parse().unwrap(),
            accepted_at: UnixMillis(at),
            traceparent: trace.map(|(trace, parent)| Traceparent::new(trace, parent)),
        };
        let text = message.encode();
        prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        prop_assert_eq!(SessionMessage::decode(text.as_bytes()), Ok(message));
    }

    #[test]
    fn no_bytes_panic(text: Vec<u8>, at: prop::sample::Index, byte: u8) {
        let _ = SessionMessage::decode(&text);
        let mut near = VALID.as_bytes().to_vec();
        let at = at.index(near.len());
        near[at] = byte;
        let _ = SessionMessage::decode(&near);
    }
}
