//! Credentials: fetched when needed, kept, and renewed before they expire.

mod http;
mod usual;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::UnixMillis;
use chargegate_sigv4::AwsCredentials as Credentials;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::Instant;

pub(super) use self::usual::Usual;
use chargegate_storage::Clock;

/// No fetch takes longer.
const FETCH: Duration = Duration::from_secs(10);
/// Credentials are renewed so long before they expire, or once half of their life is over.
const AHEAD: Duration = Duration::from_mins(5);
/// What expires sooner than this is not used any more: a call takes time.
const SPENT: Duration = Duration::from_secs(15);
/// A source that had no credentials, or only some that are refused or expired, is left alone for so long.
const PAUSE: Duration = Duration::from_secs(5);

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub enum CredentialsSource {
    /// Where AWS's own tools look: the environment, shared files, a web identity, the container, the machine. Profiles
    /// that sign on through a browser or run a program are not supported.
    #[default]
    Usual,
    /// These, which never expire.
    Fixed(Credentials),
}

/// Why there are no credentials: what each source that was asked says, without secrets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(Arc<str>);

impl CredentialsError {
    fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

/// Gets credentials from where they come from.
#[async_trait]
pub(super) trait Fetch: Send + Sync + 'static {
    async fn fetch(&self) -> Result<Fetched, CredentialsError>;
}

/// Credentials, and when they end.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) credentials: Credentials,
    pub(super) expires: Option<UnixMillis>,
}

#[async_trait]
impl Fetch for Credentials {
    async fn fetch(&self) -> Result<Fetched, CredentialsError> {
        Ok(Fetched { credentials: self.clone(), expires: None })
    }
}

/// Keeps credentials. Calls wait for a fetch only when there is nothing that still holds, and all for the same one.
pub(super) struct Keeper(Arc<Shelf>);

struct Shelf {
    source: Box<dyn Fetch>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

type Fetching = Shared<BoxFuture<'static, Result<Credentials, CredentialsError>>>;

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    fetching: Option<Fetching>,
    /// Why the last fetch came to nothing.
    error: Option<CredentialsError>,
    /// The source is left alone until then.
    pause_until: Option<Instant>,
}

impl State {
    fn pauses(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&mut self) {
        self.pause_until = Some(Instant::now() + PAUSE);
    }
}

struct Kept {
    fetched: Fetched,
    since: UnixMillis,
}

impl Keeper {
    pub(super) fn new(source: impl Fetch, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shelf { source: Box::new(source), clock, state: Mutex::default() }))
    }

    /// Credentials that hold for a while.
    ///
    /// # Errors
    /// [`CredentialsError`]: there are none now.
    pub(super) async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let fetching = {
            let now = self.0.clock.now();
            let mut state = self.0.lock();
            let pauses = state.pauses();
            match &state.kept {
                Some(kept) if !kept.is_spent(now) => {
                    let credentials = kept.fetched.credentials.clone();
                    if kept.is_due(now) && !pauses {
                        // Nobody waits for it.
                        drop(self.0.begin(&mut state));
                    }
                    return Ok(credentials);
                }
                Some(_) | None => {}
            }
            match (&state.error, &state.kept) {
                (Some(error), _) if pauses => return Err(error.clone()),
                // The service may judge them by another clock.
                (None, Some(kept)) if pauses => return Ok(kept.fetched.credentials.clone()),
                _ => self.0.begin(&mut state),
            }
        };
        fetching.await
    }

    /// Forgets credentials that were refused, so that the next call fetches anew, unless that was done lately.
    pub(super) fn forget(&self, refused: &Credentials) {
        let mut state = self.0.lock();
        let kept = state.kept.as_ref().is_some_and(|kept| kept.fetched.credentials == *refused);
        if kept && !state.pauses() {
            (state.kept, state.error) = (None, None);
            state.pause();
        }
    }
}

impl Shelf {
    /// The fetch under way, or a new one: a task, so that it goes on whoever stops waiting for it.
    fn begin(self: &Arc<Self>, state: &mut State) -> Fetching {
        if let Some(fetching) = &state.fetching {
            return fetching.clone();
        }
        let this = Arc::clone(self);
        let task = tokio::spawn(async move { this.fetch().await });
        let fetching = task
            .map(|done| done.unwrap_or_else(|_| Err(CredentialsError::new("looking for them was cut short"))))
            .boxed()
            .shared();
        state.fetching = Some(fetching.clone());
        fetching
    }

    async fn fetch(&self) -> Result<Credentials, CredentialsError> {
        let fetched = tokio::time::timeout(FETCH, self.source.fetch()).await;
        let fetched =
            fetched.unwrap_or_else(|_| Err(CredentialsError::new("looking for them took too long")));
        let since = self.clock.now();
        let mut state = self.lock();
        state.fetching = None;
        match fetched {
            Ok(fetched) => {
                let credentials = fetched.credentials.clone();
                let kept = Kept { fetched, since };
                if kept.is_spent(since) {
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_due(&self, now: UnixMillis) -> bool {
        self.fetched.expires.is_some_and(|expires| {
            let ahead = AHEAD.min(expires.since(self.since) / 2);
            now.plus(ahead) >= expires
        })
    }

    fn is_spent(&self, now: UnixMillis) -> bool {
        self.fetched.expires.is_some_and(|expires| {
            let spent = SPENT.min(expires.since(self.since) / 4);
            now.plus(spent) >= expires
        })
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper(..)")
    }
}

#[cfg(test)]
mod tests;
