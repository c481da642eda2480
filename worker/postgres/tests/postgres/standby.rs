//! A standby shows decisions, and keeps no books.

use chargegate_postgres::{PostgresInspector, migrate};
use chargegate_servers::{PostgresServer, postgres_bin};
use chargegate_storage::StoreError;
use chargegate_storage::inspect::{DecisionFilter, Inspect as _};
use chargegate_storage::reconcile::CountedStore as _;
use chargegate_storage::store::Store as _;

use super::{open, outcomes};
use crate::database::{connect, parsed};

#[tokio::test]
async fn a_standby_shows_decisions_and_refuses_totals() {
    let mut server = PostgresServer::start(&postgres_bin(), &[]).unwrap();
    migrate(&parsed(&server.url())).await.unwrap();
    let engine = open(&server.url()).await;
    engine.record(&outcomes(1, 3)).await.unwrap();
    engine.close().await;
    let folder: String =
        sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connect(&server.url()).await).await.unwrap();
    server.stop().unwrap();
    // It follows a primary without new writes.
    std::fs::write(std::path::Path::new(&folder).join("standby.signal"), "").unwrap();
    server.restart().unwrap();
    let view = PostgresInspector::open(&parsed(&server.url())).await.unwrap();
    assert_eq!(view.decisions(&DecisionFilter::default(), 9, None).await.unwrap().decisions.len(), 3);
    let error = view.totals(&[], &[]).await.unwrap_err();
    assert!(matches!(error, StoreError::Standby), "{error:?}");
    assert!(error.to_string().contains("standby"));
}
