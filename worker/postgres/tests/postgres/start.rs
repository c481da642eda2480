//! Obstacles to a start, reported as facts.

use chargegate_postgres::{
    MigrateError, MigrationResult, PostgresInspector, PostgresOpenError, PostgresStore, PostgresWarning,
    migrate,
};
use chargegate_servers::{PostgresServer, postgres_bin};
use tokio::net::TcpListener;

use super::settings;
use crate::database::{NEXT, OLDEST, TestDatabase, connect, execute, grant, of_database, parsed};

async fn refused(url: &str) -> PostgresOpenError {
    PostgresStore::open(settings(url)).await.unwrap_err()
}

async fn check(url: &str, line: &str) {
    let location = parsed(&OLDEST.url());
    let location = format!("{location:?}");
    let location = location.trim_start_matches("DatabaseUrl(").split('/').next().unwrap();
    assert_eq!(refused(url).await.to_string(), line.replace("PLACE", location));
}

#[tokio::test]
async fn an_unreachable_server_is_reported() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let line = format!("no PostgreSQL server answers at 127.0.0.1:{port}");
    // The server accepts the connection and never responds; then it stops.
    assert_eq!(refused(&url).await.to_string(), line);
    drop(silent);
    assert_eq!(refused(&url).await.to_string(), line);
    assert_eq!(PostgresInspector::open(&parsed(&url)).await.unwrap_err().to_string(), line);
    assert_eq!(migrate(&parsed(&url)).await.unwrap_err().to_string(), line);
}

#[tokio::test]
async fn a_rejected_user_is_reported() {
    let url = OLDEST.url().replace("postgres@", "nobody_of_ours@");
    check(&url, "the PostgreSQL server at PLACE rejects the user or the password").await;
}

#[tokio::test]
async fn a_missing_database_is_reported() {
    check(
        &of_database(&OLDEST.url(), "no_database_of_ours"),
        "the PostgreSQL server at PLACE has no database no_database_of_ours",
    )
    .await;
}

#[tokio::test]
async fn an_exhausted_connection_limit_is_reported() {
    let database = OLDEST.database().await;
    database.execute(&format!("ALTER DATABASE {} CONNECTION LIMIT 0", database.name())).await;
    check(&database.worker_url(), "the PostgreSQL server at PLACE has no connection left").await;
}

#[tokio::test]
async fn a_server_that_is_too_old_is_reported() {
    let database = OLDEST.database().await;
    database
        .execute(&format!(
            "CREATE SCHEMA old;
            CREATE FUNCTION old.current_setting(name text) RETURNS text LANGUAGE sql AS $$
                SELECT CASE name WHEN 'server_version_num' THEN '140013' WHEN 'server_version' THEN '14.13'
                    ELSE pg_catalog.current_setting(name) END $$;
            ALTER DATABASE {} SET search_path = old, pg_catalog",
            database.name()
        ))
        .await;
    let line = "the server is PostgreSQL 14.13, and 15 is the oldest supported version";
    check(&database.url(), line).await;
}

#[tokio::test]
async fn a_missing_schema_is_reported() {
    let database = OLDEST.empty_database().await;
    let line = "the database has schema version 0, and this program needs 4";
    check(&database.url(), line).await;
    assert_eq!(PostgresInspector::open(&parsed(&database.url())).await.unwrap_err().to_string(), line);
}

#[tokio::test]
async fn a_newer_schema_is_reported() {
    let database = OLDEST.database().await;
    database
        .execute("INSERT INTO _sqlx_migrations VALUES (5, 'chargegate: next', now(), true, '\\x00', 1)")
        .await;
    let line = "the database has schema version 5, and this program knows 4";
    check(&database.url(), line).await;
    assert_eq!(migrate(&parsed(&database.url())).await.unwrap_err().to_string(), line);
}

#[tokio::test]
async fn a_foreign_database_is_reported() {
    let line = "the database has tables of another program";
    for theirs in [
        "CREATE TABLE public.orders (id integer)",
        "CREATE TABLE public._sqlx_migrations (version bigint)",
        "CREATE SCHEMA app; CREATE TABLE app.orders (id integer) PARTITION BY HASH (id)",
        "CREATE SCHEMA chargegate; CREATE TABLE chargegate._sqlx_migrations (version bigint, description text, \
         success boolean, checksum bytea); INSERT INTO chargegate._sqlx_migrations VALUES (1, 'init', true, '\\x00')",
    ] {
        let database = OLDEST.empty_database().await;
        database.execute(theirs).await;
        check(&database.url(), line).await;
        assert_eq!(migrate(&parsed(&database.url())).await.unwrap_err().to_string(), line);
        assert_eq!(PostgresInspector::open(&parsed(&database.url())).await.unwrap_err().to_string(), line);
    }
}

#[tokio::test]
async fn a_read_only_database_is_reported() {
    let database = OLDEST.database().await;
    database
        .execute(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()))
        .await;
    let line = "the database accepts no writes: it is a standby or set read-only";
    check(&database.worker_url(), line).await;
    assert_eq!(migrate(&parsed(&database.url())).await.unwrap_err().to_string(), line);
    PostgresInspector::open(&parsed(&database.worker_url())).await.unwrap();
}

#[tokio::test]
async fn missing_privileges_are_reported() {
    let line = "the user lacks privileges in the schema chargegate";
    for revoke in [
        "REVOKE USAGE ON SCHEMA chargegate FROM chargegate_worker",
        "REVOKE SELECT ON chargegate._sqlx_migrations FROM chargegate_worker",
        "REVOKE EXECUTE ON FUNCTION chargegate.create_partitions(bigint) FROM chargegate_worker",
        // The rights that an older version needs.
        "REVOKE ALL ON chargegate.host_pause, chargegate.operator_action FROM chargegate_worker",
    ] {
        let database = OLDEST.database().await;
        database.execute(revoke).await;
        check(&database.worker_url(), line).await;
    }
}

#[tokio::test]
async fn settings_that_risk_decisions_cause_warnings() {
    let server = PostgresServer::start(
        &postgres_bin(),
        &["fsync=off", "full_page_writes=off", "synchronous_commit=off"],
    )
    .unwrap();
    migrate(&parsed(&server.url())).await.unwrap();
    let (_engine, warnings) = PostgresStore::open(settings(&server.url())).await.unwrap();
    assert_eq!(
        warnings,
        [PostgresWarning::Fsync, PostgresWarning::SynchronousCommit, PostgresWarning::FullPageWrites]
    );
    for warning in warnings {
        let text = warning.to_string();
        assert!(text.ends_with("turn it on"), "{text}");
    }
}

#[tokio::test]
async fn migrating_twice_is_harmless_in_sequence_and_concurrently() {
    for server in [&OLDEST, &NEXT] {
        let database = server.empty_database().await;
        let url = parsed(&database.url());
        let both = tokio::join!(migrate(&url), migrate(&url));
        let mut both = [both.0.unwrap(), both.1.unwrap()];
        both.sort_by_key(|migrated| migrated.from);
        assert_eq!(both, [MigrationResult { from: 0, to: 4 }, MigrationResult { from: 4, to: 4 }]);
        assert_eq!(migrate(&url).await.unwrap(), MigrationResult { from: 4, to: 4 });
        grant(&mut database.by_hand().await).await;
        PostgresStore::open(settings(&database.worker_url())).await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let database = OLDEST.database().await;
    database.execute("UPDATE _sqlx_migrations SET checksum = '\\x00'").await;
    let error = migrate(&parsed(&database.url())).await.unwrap_err();
    assert!(matches!(error, MigrateError::Changed { version: 1 }), "{error:?}");
}

#[tokio::test]
async fn only_an_owner_may_migrate() {
    let database = OLDEST.empty_database().await;
    let role: TestDatabase = OLDEST.database().await;
    let error = migrate(&parsed(&database.worker_url())).await.unwrap_err();
    assert!(matches!(error, MigrateError::Denied(_)), "{error:?}");
    drop(role);
    // A schema owned by the role is sufficient.
    database.execute("CREATE SCHEMA chargegate AUTHORIZATION chargegate_worker").await;
    assert_eq!(migrate(&parsed(&database.worker_url())).await.unwrap(), MigrationResult { from: 0, to: 4 });
    execute(&mut connect(&database.worker_url()).await, "SELECT chargegate.create_partitions(1000)").await;
}
