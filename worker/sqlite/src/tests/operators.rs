//! Lists for operators.

use chargegate_storage::operate::CallbackState;

use super::*;
use crate::inspect::page_query;

#[tokio::test]
async fn a_page_of_callbacks_is_read_from_an_index_in_its_order() {
    let harness = SqliteHarness::new().await;
    let mut connection = harness.by_hand().await;
    for (state, index) in [
        (CallbackState::Pending, "callback_oldest"),
        (CallbackState::Delivered, "callback_finished"),
        (CallbackState::Dead, "callback_dead"),
        (CallbackState::Discarded, "callback_discarded"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN {}", page_query(state));
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        let plan = plan.into_iter().map(|(.., step)| step).collect::<Vec<_>>().join("\n");
        assert!(
            plan.contains(&format!("callback USING INDEX {index}"))
                || plan.contains(&format!("callback USING COVERING INDEX {index}")),
            "{plan}"
        );
        assert!(!plan.contains("SCAN callback\n") && !plan.contains("SCAN decision"), "{plan}");
        // Only the page itself is sorted again, after it was joined.
        assert!(plan.matches("USE TEMP B-TREE").count() <= 1, "{plan}");
    }
}
