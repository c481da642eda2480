use uuid::Uuid;

use super::*;
use chargegate_core::DecisionStatus;

const ROW: &str = "[[token]]\ntoken = \"a-secret-token\"\n";

#[test]
fn the_sample_has_a_token_for_each_status() {
    let table = AclTable::sample();
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let garage = Uuid::try_parse("6FA3C9BE-6d1f-4a3e-9d5b-2f0c8a7e1b42").unwrap();
    let check = |station, token, expected| {
        assert_eq!(table.authorize(AclStationId(station), token, now), expected, "{token}");
    };
    check(Uuid::nil(), "driver-allowed-0000000001", DecisionStatus::Allowed);
    check(Uuid::nil(), "driver-blocked-0000000001", DecisionStatus::NotAllowed);
    check(Uuid::nil(), "driver-revoked-0000000001", DecisionStatus::Invalid);
    check(Uuid::nil(), "driver-garage-00000000001", DecisionStatus::NotAllowed);
    check(garage, "driver-garage-00000000001", DecisionStatus::Allowed);
    check(Uuid::nil(), "driver-unlisted-000000001", DecisionStatus::Unknown);
}

#[test]
fn an_error_names_its_line_and_no_token() {
    let check = |text: &str, line, part: &str| match parse(text) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => {
            assert_eq!(error.line, line, "{text}: {}", error.message);
            assert!(error.message.contains(part), "{}", error.message);
            assert!(!error.message.contains("secret") && !error.message.contains('\n'), "{}", error.message);
        }
    };
    check("tokens = []", 1, "unknown field `tokens`");
    check(&format!("{ROW}access = \"all\"\nstation = 1\n"), 4, "unknown field `station`");
    check(&format!("{ROW}access = \"some\"\n"), 3, "\"all\", \"blocked\", \"revoked\" or a list");
    check(&format!("{ROW}access = 7\n"), 3, "\"all\", \"blocked\", \"revoked\" or a list");
    check(&format!("{ROW}access = [\n\"nowhere\"]\n"), 4, "a station id is a UUID");
    check(ROW, 1, "missing field `access`");
    check("[[token]]\naccess = \"all\"\n", 1, "missing field `token`");
    check("[[token]]\ntoken = \"\"\naccess = \"all\"\n", 2, "empty");
    check(&format!("{ROW}access = \"all\"\n{ROW}access = \"blocked\"\n"), 5, "already listed");
    check(&format!("{ROW}access = \"all\"\nexpires = 2030-01-01\n"), 4, "2030-01-31T12:00:00Z");
    check(&format!("{ROW}access = \"all\"\nexpires = \"soon\"\n"), 4, "");
    check(&format!("{ROW}access = \"all\n"), 3, "");
    check(&format!("{ROW}{ROW}"), 1, "missing field");
}

#[test]
fn times_are_parsed_with_their_offset() {
    let check = |text: &str, expected: u64| {
        let time: Datetime = text.parse().unwrap();
        assert_eq!(instant(&time), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(expected)), "{text}");
    };
    check("1970-01-01T00:00:00Z", 0);
    check("2000-02-29T12:30:45Z", 951_827_445);
    check("2026-11-30T23:59:59Z", 1_796_083_199);
    check("2026-12-01T01:59:59+02:00", 1_796_083_199);
    check("2100-03-01T00:00:00Z", 4_107_542_400);
    check("1969-12-31T23:59:59Z", 0);
    check("1970-01-01T00:30:00+01:00", 0);
    check("1970-01-01T00:30:00-01:00", 5_400);
}

#[tokio::test]
async fn a_missing_file_is_named_with_the_remedy() {
    let error = AclTable::load(Path::new("no-such-file.toml")).await.err().unwrap();
    let text = error.to_string();
    assert!(text.contains("no-such-file.toml") && text.contains("CHARGEGATE_ACL_FILE"), "{text}");
}
