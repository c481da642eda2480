//! The pipeline over engines and an authorization service in memory, on a paused clock.

mod failures;
mod limits;
mod overload;
mod protection;
mod stop;
mod table;

use crate::fake_authorizer::FakeAuthorizer;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use chargegate_core::{Decision, DecisionRules, DestinationPolicy, SessionMessage, UnixMillis};
use tokio_util::sync::CancellationToken;

use super::{Pipeline, PipelineSettings, WorkerDependencies};
use crate::callback::{CallbackClient, CallbackTls, Delivery, DeliverySettings, DnsResolver};
use chargegate_storage::Effects;
use chargegate_storage::fleet::{FleetStore, LocalFleet};
use chargegate_storage::testing::{EventJournal, MemoryQueue, MemoryStore, effects, eventually, message};

/// A running pipeline with its dependencies. Nothing is called back: every callback is released to the store.
struct PipelineHarness {
    queue: Arc<MemoryQueue>,
    store: Arc<MemoryStore>,
    acl: Arc<FakeAuthorizer>,
    journal: EventJournal,
    effects: Effects,
    abandon: CancellationToken,
    pipeline: Pipeline,
    _delivery: Delivery,
}

fn rules() -> DecisionRules {
    DecisionRules::new(Duration::from_secs(10), Duration::from_secs(2), Duration::from_millis(500)).unwrap()
}

fn settings(window: usize, slots: u32) -> PipelineSettings {
    PipelineSettings {
        window: NonZeroUsize::new(window).unwrap(),
        slots: NonZeroU32::new(slots).unwrap(),
        rules: rules(),
        record_interval: Duration::ZERO,
    }
}

impl PipelineHarness {
    fn start(settings: PipelineSettings, acl: FakeAuthorizer) -> Self {
        Self::start_with(settings, acl, |_, _, _| ())
    }

    /// Starts after `prepare` has filled or broken the engines.
    fn start_with(
        settings: PipelineSettings,
        acl: FakeAuthorizer,
        prepare: impl FnOnce(&MemoryQueue, &MemoryStore, UnixMillis),
    ) -> Self {
        Self::start_in_fleet(0, settings, Arc::new(acl), Arc::new(LocalFleet::new()), prepare)
    }

    /// Starts worker number `number` of a fleet, whose workers share the authorization service.
    fn start_in_fleet(
        number: usize,
        settings: PipelineSettings,
        acl: Arc<FakeAuthorizer>,
        fleet: Arc<dyn FleetStore>,
        prepare: impl FnOnce(&MemoryQueue, &MemoryStore, UnixMillis),
    ) -> Self {
        let journal = EventJournal::default();
        let queue = Arc::new(MemoryQueue::new(journal.clone()));
        let store = Arc::new(MemoryStore::new(journal.clone()));
        let effects = effects();
        // The random numbers are the same for each: they differ in the first one that is used, the identity.
        for _ in 0..number {
            effects.random.bits();
        }
        prepare(&queue, &store, effects.clock.now());
        let parts = WorkerDependencies {
            queue: queue.clone(),
            store: store.clone(),
            fleet,
            authorizer: acl.clone(),
            effects: effects.clone(),
        };
        let no_delivery = DeliverySettings {
            concurrency: 0,
            poll_interval: Duration::from_hours(1000),
            ..DeliverySettings::default()
        };
        let resolver = Arc::new(DnsResolver::with_servers(&[]).unwrap());
        let client = CallbackClient::new(
            DestinationPolicy::default(),
            resolver,
            Duration::from_secs(5),
            1,
            &CallbackTls::public().unwrap(),
            effects.clone(),
        );
        let abandon = CancellationToken::new();
        let (delivery, dispatcher) = Delivery::start(
            client,
            store.clone(),
            &no_delivery,
            effects.clone(),
            abandon.clone(),
            &CancellationToken::new(),
        );
        let pipeline = Pipeline::start(settings, parts, dispatcher, abandon.clone());
        Self { queue, store, acl, journal, effects, abandon, pipeline, _delivery: delivery }
    }

    fn now(&self) -> UnixMillis {
        self.effects.clock.now()
    }

    /// Enqueues the requests of these numbers, accepted now.
    fn enqueue(&self, numbers: impl IntoIterator<Item = u32>) {
        for n in numbers {
            self.queue.enqueue(&message(n, self.now()));
        }
    }

    /// Waits until the queue is empty.
    async fn drained(&self, limit: Duration) {
        eventually(limit, || self.queue.len() == 0).await;
        self.journal.assert_recorded_before_acknowledged();
    }

    /// Enqueues one message and waits for its decision.
    async fn decide(&self, message: &SessionMessage) -> (Decision, bool) {
        self.queue.enqueue(message);
        self.drained(Duration::from_secs(30)).await;
        let decided = self.store.decisions().pop().unwrap();
        assert_eq!(decided.message.id, message.id);
        (decided.decision, decided.late)
    }

    /// Fails if a decision was made later than `limit` after its request.
    #[track_caller]
    fn assert_decided_within(&self, limit: Duration) {
        for decided in self.store.decisions() {
            let age = decided.decided_at.since(decided.message.accepted_at);
            assert!(age <= limit && !decided.late, "decided after {age:?}: {:?}", decided.decision);
        }
    }
}
