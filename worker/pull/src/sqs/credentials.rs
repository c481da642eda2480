//! Cache of AWS credentials: fetched on demand and renewed before they expire.

mod default_chain;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::config::Credentials;
use chargegate_core::UnixMillis;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub(super) use self::default_chain::DefaultChain;
use super::sdk::unix_millis;
use chargegate_storage::Clock;

/// Longest duration of a fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Time before expiry at which credentials are renewed, at most half of their lifetime.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_mins(5);
/// Remaining lifetime below which credentials are not used, since a call takes time.
const MIN_REMAINING_LIFETIME: Duration = Duration::from_secs(15);
/// Pause after a source had no credentials, or only refused or expired ones.
const FETCH_PAUSE: Duration = Duration::from_secs(5);

/// Source of AWS credentials.
#[derive(Clone, Debug, Default)]
pub enum CredentialsSource {
    /// The default chain of AWS tools: environment, shared files, web identity, container, machine. Profiles that sign on
    /// through a browser or run a program are not supported.
    #[default]
    DefaultChain,
    /// Fixed credentials, which never expire.
    Fixed(Credentials),
}

/// Missing credentials, with the result of each source, without secrets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(Arc<str>);

impl CredentialsError {
    fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

/// Fetcher of credentials.
#[async_trait]
pub(super) trait FetchCredentials: Send + Sync + 'static {
    async fn fetch(&self) -> Result<Credentials, CredentialsError>;
}

#[async_trait]
impl FetchCredentials for Credentials {
    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        Ok(self.clone())
    }
}

/// Returns whether both sign alike: neither the expiry nor the source matters.
pub(super) fn same_keys(one: &Credentials, other: &Credentials) -> bool {
    one.access_key_id() == other.access_key_id()
        && one.secret_access_key() == other.secret_access_key()
        && one.session_token() == other.session_token()
}

/// Cache of credentials. Calls wait for a fetch only without valid credentials, and all for the same fetch.
pub(super) struct CredentialsCache(Arc<CacheInner>);

struct CacheInner {
    source: Box<dyn FetchCredentials>,
    clock: Arc<dyn Clock>,
    state: Mutex<CacheState>,
}

type PendingFetch = Shared<BoxFuture<'static, Result<Credentials, CredentialsError>>>;

#[derive(Default)]
struct CacheState {
    kept: Option<CachedCredentials>,
    fetching: Option<PendingFetch>,
    /// Error of the last fetch.
    error: Option<CredentialsError>,
    /// End of the pause between fetches.
    pause_until: Option<Instant>,
}

impl CacheState {
    fn pauses(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&mut self) {
        self.pause_until = Some(Instant::now() + FETCH_PAUSE);
    }
}

struct CachedCredentials {
    credentials: Credentials,
    since: UnixMillis,
}

impl CredentialsCache {
    pub(super) fn new(source: impl FetchCredentials, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(CacheInner { source: Box::new(source), clock, state: Mutex::default() }))
    }

    /// Returns credentials that are valid for a while.
    ///
    /// # Errors
    /// [`CredentialsError`] when none are available now.
    pub(super) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let fetching = {
            let now = self.0.clock.now();
            let mut state = self.0.lock();
            let pauses = state.pauses();
            match &state.kept {
                Some(kept) if !kept.is_expired(now) => {
                    let credentials = kept.credentials.clone();
                    if kept.is_due(now) && !pauses {
                        // Renewed in the background.
                        drop(self.0.begin(&mut state));
                    }
                    return Ok(credentials);
                }
                Some(_) | None => {}
            }
            match (&state.error, &state.kept) {
                (Some(error), _) if pauses => return Err(error.clone()),
                // The service's clock may differ, so they may still be valid.
                (None, Some(kept)) if pauses => return Ok(kept.credentials.clone()),
                _ => self.0.begin(&mut state),
            }
        };
        fetching.await
    }

    /// Invalidates refused credentials, so that the next call fetches new ones, unless that happened recently.
    pub(super) fn forget(&self, refused: &Credentials) {
        let mut state = self.0.lock();
        let kept = state.kept.as_ref().is_some_and(|kept| same_keys(&kept.credentials, refused));
        if kept && !state.pauses() {
            (state.kept, state.error) = (None, None);
            state.pause();
        }
    }
}

impl CacheInner {
    /// Returns the pending fetch, or starts one as a task, which continues when a caller stops waiting.
    fn begin(self: &Arc<Self>, state: &mut CacheState) -> PendingFetch {
        if let Some(fetching) = &state.fetching {
            return fetching.clone();
        }
        let this = Arc::clone(self);
        let task = tokio::spawn(async move { this.fetch().await });
        let fetching = task
            .map(|done| done.unwrap_or_else(|_| Err(CredentialsError::new("the fetch was aborted"))))
            .boxed()
            .shared();
        state.fetching = Some(fetching.clone());
        fetching
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.source.fetch()).await;
        let fetched = fetched.unwrap_or_else(|_| Err(CredentialsError::new("the fetch timed out")));
        let since = self.clock.now();
        let mut state = self.lock();
        state.fetching = None;
        match fetched {
            Ok(credentials) => {
                let kept = CachedCredentials { credentials: credentials.clone(), since };
                if kept.is_expired(since) {
                    state.pause();
                }
                (state.kept, state.error) = (Some(kept), None);
                Ok(credentials)
            }
            Err(error) => {
                state.error = Some(error.clone());
                state.pause();
                Err(error)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock()
    }
}

impl CachedCredentials {
    fn expires(&self) -> Option<UnixMillis> {
        self.credentials.expiry().map(unix_millis)
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        self.expires().is_some_and(|expires| {
            let ahead = RENEW_BEFORE_EXPIRY.min(expires.since(self.since) / 2);
            now.plus(ahead) >= expires
        })
    }

    fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires().is_some_and(|expires| {
            let spent = MIN_REMAINING_LIFETIME.min(expires.since(self.since) / 4);
            now.plus(spent) >= expires
        })
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsCache(..)")
    }
}

#[cfg(test)]
mod tests;
