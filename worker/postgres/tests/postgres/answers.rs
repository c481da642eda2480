//! A commit whose response is lost.

use chargegate_storage::store::{RecordVerdict, Store as _};
use tokio::time::Instant;

use super::{PATIENCE, PostgresHarness, open, outcomes, unavailable};
use crate::database::{TestDatabase, execute};
use chargegate_storage::conformance::stores::limits;
use chargegate_storage::testing::FaultProxy;

const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
const RECORDED: &str = "SELECT count(*) FROM decision";

async fn until(database: &TestDatabase, sql: &str, wanted: i64) {
    let start = Instant::now();
    while database.number(sql).await != wanted {
        assert!(start.elapsed() < PATIENCE, "{sql}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_commit_response_delays_no_callback() {
    let rig = PostgresHarness::new().await;
    let url = rig.database.worker_url();
    let (user, location) = url.rsplit_once('@').unwrap();
    let (server, name) = location.split_once('/').unwrap();
    let (host, port) = server.rsplit_once(':').unwrap();
    let proxy = FaultProxy::to(port.parse().unwrap()).await;
    let engine = open(&format!("{user}@{host}:{}/{name}", proxy.port())).await;
    // Its commits wait for a lock that the test holds.
    rig.database
        .execute(
            "CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ \
             BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON request DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION public.wait()",
        )
        .await;
    let mut owner = rig.database.by_hand().await;
    execute(&mut owner, "SELECT pg_advisory_lock(7)").await;
    // The last outcome repeats the first: its message was delivered twice.
    let mut batch = outcomes(1, 3);
    batch.extend(outcomes(1, 1));
    let (recording, recorded) = (engine.clone(), batch.clone());
    let first = tokio::spawn(async move { recording.record(&recorded).await });
    until(&rig.database, WAITING, 1).await;
    proxy.swallow_answers(true);
    execute(&mut owner, "SELECT pg_advisory_unlock(7)").await;
    until(&rig.database, RECORDED, 3).await;
    proxy.cut();
    unavailable(&first.await.unwrap());
    proxy.swallow_answers(false);

    // For another worker it is a redelivered message.
    let others = rig.engine.record(&outcomes(1, 3)).await.unwrap();
    assert_eq!(others, [RecordVerdict::Redelivered; 3]);
    let again = engine.record(&batch).await.unwrap();
    assert_eq!(again[..3], [RecordVerdict::Decided; 3]);
    assert_eq!(again[3..], [RecordVerdict::Redelivered]);
    // Its callback is still leased; after this response it is a message like any other.
    assert!(engine.claim(limits(9, 9)).await.unwrap().is_empty());
    assert_eq!(engine.record(&batch).await.unwrap(), [RecordVerdict::Redelivered; 4]);
    assert_eq!(rig.decided().await, 3);
}
