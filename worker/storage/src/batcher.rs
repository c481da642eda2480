//! Batching of queued items.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Batches items, at most one batch per interval: under load the batches grow, not their number. An item that arrives
/// after a pause does not wait.
#[derive(Debug)]
pub struct Batcher<T> {
    inbox: mpsc::Receiver<T>,
    max: usize,
    pace: Duration,
    not_before: Instant,
}

impl<T> Batcher<T> {
    /// Creates a batcher of the items in `inbox`: at most `max` per batch, and at most one batch per `pace`.
    #[must_use]
    pub fn new(inbox: mpsc::Receiver<T>, max: usize, pace: Duration) -> Self {
        Self { inbox, max, pace, not_before: Instant::now() }
    }

    /// Returns the next batch, never empty and never larger than `max`; `None` after the last sender is dropped.
    pub async fn next(&mut self) -> Option<Vec<T>> {
        let mut batch = Vec::new();
        if self.inbox.recv_many(&mut batch, self.max).await == 0 {
            return None;
        }
        while batch.len() < self.max {
            let missing = self.max - batch.len();
            match timeout_at(self.not_before, self.inbox.recv_many(&mut batch, missing)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        self.not_before = Instant::now() + self.pace;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Duration = Duration::from_millis(20);

    fn batcher(max: usize, pace: Duration) -> (mpsc::Sender<u32>, Batcher<u32>) {
        let (sender, inbox) = mpsc::channel(100);
        (sender, Batcher::new(inbox, max, pace))
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_after_a_pause_does_not_wait() {
        let (sender, mut batcher) = batcher(10, PACE);
        let start = Instant::now();
        sender.send(1).await.unwrap();
        assert_eq!(batcher.next().await, Some(vec![1]));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_keep_the_interval_and_grow_meanwhile() {
        let (sender, mut batcher) = batcher(10, PACE);
        sender.send(0).await.unwrap();
        batcher.next().await;
        let start = Instant::now();
        let feed = tokio::spawn(async move {
            for n in 1..=3 {
                sender.send(n).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            sender
        });
        assert_eq!(batcher.next().await, Some(vec![1, 2, 3]));
        assert_eq!(start.elapsed().as_millis(), PACE.as_millis());
        drop(feed.await);
        assert_eq!(batcher.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        let (sender, mut batcher) = batcher(2, PACE);
        for n in 0..5 {
            sender.send(n).await.unwrap();
        }
        let start = Instant::now();
        assert_eq!(batcher.next().await, Some(vec![0, 1]));
        assert_eq!(batcher.next().await, Some(vec![2, 3]));
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(sender);
        assert_eq!(batcher.next().await, Some(vec![4]), "items sent before the end are delivered");
        assert_eq!(batcher.next().await, None);
    }
}
