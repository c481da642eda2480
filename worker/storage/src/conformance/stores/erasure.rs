//! Poison messages, and the erasure of a person's token.

use std::time::Duration;

use chargegate_core::{MessageDecodeError, SessionMessage};

use super::operators::{alice, audit, operators};
use super::*;
use crate::operate::{BulkAction, CallbackChange, ForgetBatch, ForgetOutcome, ForgottenToken};
use crate::store::{AfterAttempt, AttemptResult, Outcome, PoisonMessage, RecordVerdict};

fn unreadable(key_text: &str, body: &str) -> Outcome {
    Outcome::Poison(PoisonMessage {
        key: key(key_text),
        body: body.as_bytes().to_vec(),
        reason: MessageDecodeError::NotAnObject,
        found_at: chargegate_core::UnixMillis(START),
    })
}

pub(super) async fn poison_is_shown_masked_and_discarded(fixture: StoreFixture) {
    let body = format!(r#"["{TOKEN}","https://a.example/?key=s3cret"]"#);
    fixture.record(vec![unreadable("s/1-0", &body), unreadable("s/2-0", "{")]).await;
    fixture.advance(Duration::from_secs(1)).await;
    fixture.record(vec![unreadable("s/3-0", "x")]).await;
    let first = fixture.view.poison(2, None).await.unwrap();
    assert_eq!(first.messages.len(), 2);
    assert_eq!(first.messages[0].message_key, "s/3-0");
    let second = fixture.view.poison(2, first.next.as_ref()).await.unwrap();
    assert_eq!((second.messages.len(), second.next), (1, None));
    let all: Vec<_> = first.messages.iter().chain(&second.messages).collect();
    let text = format!("{all:?}");
    assert!(!text.contains("driver-allowed") && !text.contains("s3cret"), "{text}");

    let entry = all.iter().find(|entry| entry.message_key == "s/1-0").unwrap();
    let shown = fixture.view.poison_message(&entry.id).await.unwrap().unwrap();
    assert_eq!((shown.bytes, shown.reason.as_str()), (u64::try_from(body.len()).unwrap(), "not_an_object"));
    assert_eq!(shown.body.as_str(), r#"["xxxxxx-xxxxxxx-0000000000","xxxxx://x.xxxxxxx/?xxx=x0xxxx"]"#);
    assert!(fixture.view.poison_message("none").await.unwrap().is_none());

    let before = fixture.totals().await;
    let ids = [entry.id.clone(), "none".to_owned()];
    assert_eq!(fixture.operate.discard_poison(&ids, &audit("poison discard")).await.unwrap(), 1);
    assert_eq!(fixture.operate.discard_poison(&ids, &audit("poison discard")).await.unwrap(), 0);
    assert_eq!(fixture.totals().await, before, "a discarded message stays counted");
    assert_eq!(fixture.view.poison(10, None).await.unwrap().messages.len(), 2);
}

async fn forget(fixture: &StoreFixture, station_id: Option<&str>) -> ForgetOutcome {
    let token = ForgottenToken { driver_token: TOKEN.into(), station_id: station_id.map(str::to_owned) };
    let batch = ForgetBatch { token, cursor: None, decisions_only: false, action_id: None };
    let progress = operators(fixture).forget(batch, &alice()).await.unwrap();
    assert_eq!(progress.next, None);
    progress.outcome
}

pub(super) async fn a_forgotten_token_is_erased_and_decisions_stay_countable(fixture: StoreFixture) {
    let delivered = fixture.decide(1, "a.example").await;
    fixture.deliver(&delivered).await;
    let waiting = fixture.decide(2, "a.example").await;
    let later = AfterAttempt::Retry { after: Duration::from_hours(1) };
    fixture.report(&waiting, AttemptResult::TimedOut, later).await;
    let in_flight = fixture.decide(3, "a.example").await;
    let other = SessionMessage { driver_token: "another-token-000000001".into(), ..message(4, "a.example") };
    fixture.record(vec![decided("s/4-0", other, fixture.now())]).await;
    let body = format!(r#"{{"driver_token":"{TOKEN}"}}"#);
    fixture.record(vec![unreadable("s/5-0", &body), unreadable("s/6-0", "{}")]).await;

    let expected = ForgetOutcome { decisions: 2, callbacks_discarded: 1, poison: 1, in_flight: 1 };
    assert_eq!(forget(&fixture, None).await, expected);
    fixture.deliver(&in_flight).await;
    assert_eq!(forget(&fixture, None).await, ForgetOutcome { decisions: 1, ..ForgetOutcome::default() });
    assert_eq!(forget(&fixture, None).await, ForgetOutcome::default());

    for request in 1..=3 {
        let shown = fixture.view.decision(&request_id(request)).await.unwrap().unwrap();
        assert_eq!(shown.decision.driver_token.as_str(), "… (0 characters)");
    }
    let kept = fixture.view.decision(&request_id(4)).await.unwrap().unwrap();
    assert_eq!(kept.decision.driver_token.as_str(), "ano…01 (23 characters)");
    let totals = fixture.totals().await;
    let counts = (totals.decided, totals.delivered, totals.dead, totals.in_flight, totals.poison);
    assert_eq!((counts, totals.torn), ((4, 2, 1, 1, 2), 0));
    let trail = format!("{:?}", fixture.view.audit(10, None).await.unwrap());
    assert!(!trail.contains(TOKEN), "{trail}");

    // Without its token a callback has no body, so neither an operator nor a repeat of the request sends it again.
    let ids = (1..=3).map(request_id).collect();
    let change = CallbackChange { action: BulkAction::Retry, state: None, ids };
    assert_eq!(fixture.operate.change_callbacks(&change, &audit("callbacks retry")).await.unwrap(), 0);
    fixture.advance(Duration::from_mins(5)).await;
    let repeat = decided("s/7-0", message(1, "a.example"), fixture.now());
    assert_eq!(fixture.record(vec![repeat]).await, [RecordVerdict::Duplicate { resent: false }]);
}

pub(super) async fn a_token_is_forgotten_at_one_station_only(fixture: StoreFixture) {
    const STATION: &str = "00000000-0000-4000-8000-000000000001";
    let here = SessionMessage { station_id: STATION.parse().unwrap(), ..message(1, "a.example") };
    let jobs = record_first(
        fixture.store.as_ref(),
        vec![decided("s/1-0", here, fixture.now()), decided("s/2-0", message(2, "a.example"), fixture.now())],
    )
    .await;
    for job in &jobs {
        fixture.deliver(job).await;
    }
    let body = format!(r#"{{"driver_token":"{TOKEN}","station_id":"{STATION}"}}"#);
    let quoted = format!("\"{TOKEN}\"");
    fixture.record(vec![unreadable("s/5-0", &body), unreadable("s/6-0", &quoted)]).await;
    let expected = ForgetOutcome { decisions: 1, poison: 1, ..ForgetOutcome::default() };
    assert_eq!(forget(&fixture, Some(STATION)).await, expected);
    assert_eq!(forget(&fixture, None).await, expected);
}

pub(super) async fn only_poison_with_the_whole_token_is_erased(fixture: StoreFixture) {
    let body = format!(r#"{{"driver_token":"{TOKEN}"}}"#);
    fixture.record(vec![unreadable("s/1-0", &body), unreadable("s/2-0", r#"["driver"]"#)]).await;
    let token = ForgottenToken { driver_token: "driver".into(), station_id: None };
    let batch = ForgetBatch { token, cursor: None, decisions_only: false, action_id: None };
    let progress = operators(&fixture).forget(batch, &alice()).await.unwrap();
    assert_eq!(progress.outcome, ForgetOutcome { poison: 1, ..ForgetOutcome::default() });
    let page = fixture.view.poison(10, None).await.unwrap();
    let kept: Vec<_> = page.messages.iter().filter(|entry| entry.bytes > 0).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].message_key, "s/1-0");
}

pub(super) async fn discarded_poison_is_counted_once(fixture: StoreFixture) {
    fixture.record(vec![unreadable("s/1-0", "x"), unreadable("s/2-0", "y")]).await;
    let page = fixture.view.poison(10, None).await.unwrap();
    let ids: Vec<String> = page.messages.into_iter().map(|entry| entry.id).collect();
    assert_eq!(fixture.operate.discard_poison(&ids, &audit("poison discard")).await.unwrap(), 2);
    for id in &ids {
        assert!(fixture.view.poison_message(id).await.unwrap().is_none());
    }
    assert_eq!(fixture.totals().await.poison, 2);
    // Their retention ends as that of other messages.
    fixture.advance(Duration::from_hours(1)).await;
    fixture.purge(Duration::from_mins(30)).await;
    assert_eq!(fixture.totals().await.poison, 2);
}

pub(super) async fn a_repeated_search_leaves_out_poison(fixture: StoreFixture) {
    let body = format!(r#"{{"driver_token":"{TOKEN}"}}"#);
    fixture.record(vec![unreadable("s/1-0", &body)]).await;
    let token = ForgottenToken { driver_token: TOKEN.into(), station_id: None };
    for (decisions_only, poison) in [(true, 0), (false, 1), (false, 0)] {
        let batch = ForgetBatch { token: token.clone(), cursor: None, decisions_only, action_id: None };
        let progress = operators(&fixture).forget(batch, &alice()).await.unwrap();
        assert_eq!(progress.outcome, ForgetOutcome { poison, ..ForgetOutcome::default() });
    }
}
