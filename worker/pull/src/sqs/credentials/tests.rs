use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use tokio::time::{advance, sleep};

use super::*;
use chargegate_storage::Effects;
use chargegate_storage::testing::{effects, eventually};

const MOMENT: Duration = Duration::from_secs(30);

/// Result after a wait; `None` is a failure.
type FetchAnswer = (Duration, Option<Credentials>);

/// Source that returns scripted results, and then never completes.
#[derive(Clone, Default)]
struct ScriptedSource {
    answers: Arc<Mutex<VecDeque<FetchAnswer>>>,
    asked: Arc<AtomicUsize>,
}

impl ScriptedSource {
    fn then(self, wait: Duration, answer: impl Into<Option<Credentials>>) -> Self {
        self.answers.lock().push_back((wait, answer.into()));
        self
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FetchCredentials for ScriptedSource {
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let next = self.answers.lock().pop_front();
        let Some((wait, answer)) = next else { return std::future::pending().await };
        sleep(wait).await;
        answer.ok_or_else(|| CredentialsError::new("none"))
    }
}

fn key(id: &str) -> Credentials {
    Credentials::new(id, "secret", None, None, "test")
}

fn lasting(id: &str, effects: &Effects, time: Duration) -> Credentials {
    let expires = UNIX_EPOCH + Duration::from_millis(effects.clock.now().plus(time).0);
    Credentials::new(id, "secret", None, Some(expires), "test")
}

fn cache(script: &ScriptedSource, effects: &Effects) -> CredentialsCache {
    CredentialsCache::new(script.clone(), Arc::clone(&effects.clock))
}

async fn id(cache: &CredentialsCache) -> String {
    cache.credentials().await.map_or_else(|error| error.to_string(), |it| it.access_key_id().to_owned())
}

#[tokio::test(start_paused = true)]
async fn credentials_without_expiry_are_fetched_once() {
    let effects = effects();
    let script = ScriptedSource::default().then(Duration::ZERO, key("a"));
    let cache = cache(&script, &effects);
    for _ in 0..3 {
        assert_eq!(id(&cache).await, "a");
        advance(Duration::from_hours(100)).await;
    }
    assert_eq!(script.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn expiring_credentials_are_renewed_early_without_blocking_calls() {
    let effects = effects();
    let script = ScriptedSource::default()
        .then(Duration::ZERO, lasting("a", &effects, Duration::from_hours(1)))
        .then(Duration::from_secs(3), lasting("b", &effects, Duration::from_hours(100)));
    let cache = cache(&script, &effects);
    assert_eq!(id(&cache).await, "a");
    advance(Duration::from_mins(54) + MOMENT).await;
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("a", 1));
    advance(MOMENT).await;
    let began = Instant::now();
    assert_eq!((id(&cache).await.as_str(), began.elapsed()), ("a", Duration::ZERO));
    eventually(MOMENT, || script.asked() == 2).await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("b", 2));
}

#[tokio::test(start_paused = true)]
async fn short_lived_credentials_are_used_for_most_of_their_lifetime() {
    let effects = effects();
    let script = ScriptedSource::default()
        .then(Duration::ZERO, lasting("a", &effects, Duration::from_secs(4)))
        .then(Duration::ZERO, lasting("b", &effects, Duration::from_mins(1)));
    let cache = cache(&script, &effects);
    assert_eq!(id(&cache).await, "a");
    advance(Duration::from_secs(1)).await;
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("a", 1));
    advance(Duration::from_secs(2)).await;
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("b", 2), "with a second left it is spent");
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_one_fetch_and_its_failure() {
    let effects = effects();
    let script =
        ScriptedSource::default().then(Duration::from_secs(2), None).then(Duration::from_secs(2), key("a"));
    let cache = cache(&script, &effects);
    let began = Instant::now();
    let came = futures_util::future::join_all((0..5).map(|_| id(&cache))).await;
    assert_eq!((came, began.elapsed().as_secs(), script.asked()), (vec!["none".to_owned(); 5], 2, 1));
    for _ in 0..5 {
        assert_eq!((id(&cache).await.as_str(), script.asked()), ("none", 1), "it is not asked again at once");
    }
    advance(FETCH_PAUSE).await;
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("a", 2));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_fetch_times_out() {
    let effects = effects();
    let script = ScriptedSource::default();
    let cache = cache(&script, &effects);
    let began = Instant::now();
    assert!(id(&cache).await.contains("timed out"));
    assert_eq!(began.elapsed(), FETCH_TIMEOUT);
    assert!(id(&cache).await.contains("timed out"));
    assert_eq!((began.elapsed(), script.asked()), (FETCH_TIMEOUT, 1));
    advance(FETCH_PAUSE).await;
    assert!(id(&cache).await.contains("timed out"));
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_does_not_cancel_the_fetch() {
    let effects = effects();
    let script = ScriptedSource::default().then(Duration::from_secs(2), key("a"));
    let cache = cache(&script, &effects);
    let gave_up = tokio::time::timeout(Duration::from_secs(1), cache.credentials()).await;
    assert!(gave_up.is_err());
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_retried_after_a_pause_while_credentials_are_valid() {
    let effects = effects();
    let script = ScriptedSource::default()
        .then(Duration::ZERO, lasting("a", &effects, Duration::from_hours(1)))
        .then(Duration::ZERO, None)
        .then(Duration::ZERO, lasting("b", &effects, Duration::from_hours(100)));
    let cache = cache(&script, &effects);
    id(&cache).await;
    advance(Duration::from_mins(56)).await;
    for _ in 0..50 {
        assert_eq!(id(&cache).await, "a");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(script.asked(), 2);
    advance(FETCH_PAUSE).await;
    id(&cache).await;
    eventually(MOMENT, || script.asked() == 3).await;
    assert_eq!(id(&cache).await, "b");
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_fetched_again_unless_already_renewed() {
    let effects = effects();
    let script = ScriptedSource::default().then(Duration::ZERO, key("a")).then(Duration::ZERO, key("b"));
    let cache = cache(&script, &effects);
    assert_eq!(id(&cache).await, "a");
    cache.forget(&key("a"));
    assert_eq!(id(&cache).await, "b");
    // Somebody's call was still under way with the old ones.
    cache.forget(&key("a"));
    assert_eq!((id(&cache).await.as_str(), script.asked()), ("b", 2));
}

#[tokio::test(start_paused = true)]
async fn repeatedly_refused_credentials_are_fetched_again_only_after_pauses() {
    let effects = effects();
    let mut script = ScriptedSource::default();
    for _ in 0..10 {
        script = script.then(Duration::from_millis(10), key("a"));
    }
    let cache = cache(&script, &effects);
    let began = Instant::now();
    while began.elapsed() < FETCH_PAUSE * 4 {
        assert_eq!(id(&cache).await, "a");
        cache.forget(&key("a"));
        sleep(Duration::from_millis(50)).await;
    }
    assert!((4..=6).contains(&script.asked()), "{}", script.asked());
}

#[tokio::test(start_paused = true)]
async fn a_source_of_expired_credentials_is_asked_only_after_pauses() {
    let effects = effects();
    let mut script = ScriptedSource::default();
    for _ in 0..10 {
        script = script.then(Duration::ZERO, lasting("a", &effects, Duration::ZERO));
    }
    let cache = cache(&script, &effects);
    let began = Instant::now();
    while began.elapsed() < FETCH_PAUSE * 4 {
        assert_eq!(id(&cache).await, "a");
        sleep(Duration::from_millis(50)).await;
    }
    assert!((4..=5).contains(&script.asked()), "{}", script.asked());
}

#[tokio::test(start_paused = true)]
async fn an_earlier_failure_is_not_reported_after_credentials_were_refused() {
    let effects = effects();
    let script = ScriptedSource::default()
        .then(Duration::ZERO, lasting("a", &effects, Duration::from_hours(1)))
        .then(Duration::ZERO, None)
        .then(Duration::ZERO, key("b"));
    let cache = cache(&script, &effects);
    id(&cache).await;
    advance(Duration::from_mins(56)).await;
    assert_eq!(id(&cache).await, "a");
    eventually(MOMENT, || script.asked() == 2).await;
    sleep(FETCH_PAUSE).await;
    cache.forget(&key("a"));
    assert_eq!(id(&cache).await, "b");
}
