//! The backlog is read at every probe.

use chargegate_storage::store::{CallbackBacklog, Store as _};

use super::PostgresHarness;

const READ: &str = "SELECT coalesce(sum(idx_tup_read + idx_scan), 0)::bigint FROM pg_stat_user_indexes \
    WHERE schemaname = 'chargegate'";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND application_name = 'chargegate'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_not_counted_row_by_row() {
    const MANY: u64 = 100_000;
    let rig = PostgresHarness::new().await;
    rig.database
        .execute(&format!(
            "INSERT INTO callback SELECT clock(), clock() + n, 0, gen_random_uuid(), 1, 1, false, 'a.example' \
                 FROM generate_series(1, {MANY}) AS n; \
             INSERT INTO attempt SELECT clock(), 0, 0, 0, gen_random_uuid(), 1, 410, 'refused', 'gone' \
                 FROM generate_series(1, {MANY}) AS n"
        ))
        .await;
    let before = rig.database.number(READ).await;
    let unknown = rig.engine.backlog().await.unwrap();
    assert!(unknown.in_flight >= 10_000 && unknown.dead >= 10_000, "{unknown:?}");
    rig.database.execute("ANALYZE callback; ANALYZE attempt").await;
    let CallbackBacklog { in_flight, dead } = rig.engine.backlog().await.unwrap();
    for count in [in_flight, dead] {
        assert!((MANY * 9 / 10..MANY * 11 / 10).contains(&count), "{count}");
    }
    rig.engine.close().await;
    while rig.database.number(SESSIONS).await > 0 {
        tokio::task::yield_now().await;
    }
    let read = rig.database.number(READ).await - before;
    assert!((1..50_000).contains(&read), "{read} index entries");
}
