use parking_lot::Mutex;

use super::*;

/// A queue and the record of its history.
#[derive(Default)]
struct FakeHistory {
    heartbeat: Mutex<(u64, u64)>,
    enqueued: Mutex<u64>,
    watermark: Mutex<HistoryWatermark>,
}

#[async_trait]
impl HistorySource for FakeHistory {
    async fn observe(&self, known_heartbeat: u64) -> Result<QueueObservation, QueueError> {
        let mut heartbeat = self.heartbeat.lock();
        let enqueued = *self.enqueued.lock();
        let (kept_heartbeat, kept_enqueued) = *heartbeat;
        let begun_heartbeat = (kept_heartbeat >= known_heartbeat).then_some(kept_heartbeat + 1);
        if let Some(begun) = begun_heartbeat {
            *heartbeat = (begun, enqueued);
        }
        Ok(QueueObservation { kept_heartbeat, kept_enqueued, enqueued, begun_heartbeat })
    }
}

#[async_trait]
impl HistoryStore for FakeHistory {
    async fn watermark(&self) -> Result<HistoryWatermark, StoreError> {
        Ok(*self.watermark.lock())
    }

    async fn replace_watermark(
        &self,
        was: HistoryWatermark,
        now: HistoryWatermark,
    ) -> Result<bool, StoreError> {
        let mut watermark = self.watermark.lock();
        let first = watermark.version == was.version;
        if first {
            *watermark = now;
        }
        Ok(first)
    }
}

#[tokio::test]
async fn a_loss_is_reported_once() {
    let fake = FakeHistory { enqueued: Mutex::new(12), ..FakeHistory::default() };
    assert_eq!(look(&fake, &fake).await.unwrap(), None);
    *fake.heartbeat.lock() = (0, 0);
    *fake.enqueued.lock() = 0;
    assert_eq!(look(&fake, &fake).await.unwrap(), Some(12));
    assert_eq!(look(&fake, &fake).await.unwrap(), None);
}

#[tokio::test]
async fn of_two_observers_only_the_first_reports_a_loss() {
    let fake = FakeHistory { enqueued: Mutex::new(12), ..FakeHistory::default() };
    look(&fake, &fake).await.unwrap();
    *fake.heartbeat.lock() = (0, 0);
    let known = fake.watermark().await.unwrap();
    let seen = fake.observe(known.heartbeat).await.unwrap();
    assert_eq!(look(&fake, &fake).await.unwrap(), Some(12));
    let advance = known.advance(seen);
    assert_eq!(advance.forgotten, Some(12));
    assert!(!fake.replace_watermark(known, advance.watermark).await.unwrap(), "another observer was first");
}

/// A queue that panics.
struct PanickingQueue;

#[async_trait]
impl HistorySource for PanickingQueue {
    async fn observe(&self, _: u64) -> Result<QueueObservation, QueueError> {
        panic!("a defect")
    }
}

#[tokio::test]
async fn a_panic_ends_the_monitor() {
    let watch = HistoryMonitor::start(
        Arc::new(PanickingQueue),
        Arc::new(FakeHistory::default()),
        crate::testing::effects(),
    );
    tokio::time::timeout(Duration::from_secs(10), watch.ended()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_monitor_observes_until_it_is_stopped() {
    let fake = Arc::new(FakeHistory::default());
    let watch = HistoryMonitor::start(fake.clone(), fake.clone(), crate::testing::effects());
    tokio::time::sleep(Duration::from_secs(10)).await;
    watch.stop().await;
    let heartbeats = fake.heartbeat.lock().0;
    assert!((8..=11).contains(&heartbeats), "{heartbeats}");
}
