//! Operations that the worker's role is denied. Every other test runs as this role and shows that its rights suffice.

use sqlx::AssertSqlSafe;

use super::PostgresHarness;
use crate::database::connect;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_workers_role_has_no_unneeded_privileges() {
    let rig = PostgresHarness::new().await;
    rig.record(1, 3).await.unwrap();
    let mut worker = connect(&rig.database.worker_url()).await;
    for sql in [
        "DELETE FROM chargegate.decision",
        "UPDATE chargegate.decision SET status = 'allowed'",
        "TRUNCATE chargegate.decision",
        "DROP TABLE chargegate.decision_1",
        "SELECT * FROM chargegate.decision_1",
        "DELETE FROM chargegate.request",
        "UPDATE chargegate.request SET recorded_at = 0",
        "UPDATE chargegate.attempt SET result = 'delivered'",
        "DELETE FROM chargegate.attempt",
        "DELETE FROM chargegate.duplicate",
        "DELETE FROM chargegate.poison",
        "UPDATE chargegate.ledger SET decided = 0",
        "UPDATE chargegate.time_partition SET expired = true",
        "INSERT INTO chargegate.time_partition (begins_at, ends_at, expired_until) VALUES (0, 1, 0)",
        "SELECT chargegate.create_partition(0, 1)",
        "DELETE FROM chargegate._sqlx_migrations",
        "CREATE TABLE chargegate.more (id integer)",
    ] {
        let error = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut worker).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{sql}: {error}");
    }
}
