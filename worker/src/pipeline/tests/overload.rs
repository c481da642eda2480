//! Load at twice the capacity of the authorization service.

use crate::fake_authorizer::FakeAuthorizer;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use chargegate_core::{DecisionRules, DecisionStatus};

use super::{PipelineHarness, PipelineSettings, rules};

const DEADLINE: Duration = Duration::from_secs(10);
const SECONDS: u32 = 60;
/// Ten slots and 100 ms a call.
const CAPACITY_PER_SECOND: u32 = 100;

struct Goodput {
    /// Decisions `allowed` by the deadline.
    allowed: u32,
    /// Decisions after the deadline, with any status.
    late: u32,
}

async fn overload(rules: DecisionRules) -> Goodput {
    let settings = PipelineSettings {
        window: NonZeroUsize::new(1024).unwrap(),
        slots: NonZeroU32::new(10).unwrap(),
        rules,
        record_interval: Duration::ZERO,
    };
    let harness = PipelineHarness::start(
        settings,
        FakeAuthorizer::always(Duration::from_millis(100), Ok(DecisionStatus::Allowed)),
    );
    let arrivals = 2 * CAPACITY_PER_SECOND * SECONDS;
    for n in 0..arrivals {
        harness.enqueue([n]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    harness.drained(2 * DEADLINE).await;

    let decisions = harness.store.decisions();
    assert_eq!(u32::try_from(decisions.len()).unwrap(), arrivals);
    assert!(harness.acl.most_in_flight() <= 10);
    let mut goodput = Goodput { allowed: 0, late: 0 };
    for decided in decisions {
        if decided.decided_at.since(decided.message.accepted_at) > DEADLINE {
            goodput.late += 1;
        } else if decided.decision.status == DecisionStatus::Allowed {
            goodput.allowed += 1;
        }
    }
    goodput
}

#[tokio::test(start_paused = true)]
async fn nearly_all_capacity_of_the_service_yields_timely_answers() {
    let goodput = overload(rules()).await;
    assert_eq!(goodput.late, 0);
    let share = goodput.allowed * 100 / (CAPACITY_PER_SECOND * SECONDS);
    assert!(share >= 90, "{share} % of the capacity");
}

/// Shows the purpose of the margin: these rules begin calls up to the age of ten seconds, as if there were none.
#[tokio::test(start_paused = true)]
async fn without_the_shed_margin_most_of_the_capacity_would_be_wasted() {
    let no_margin =
        DecisionRules::new(Duration::from_millis(12_500), Duration::from_secs(2), Duration::from_millis(500))
            .unwrap();
    assert_eq!(no_margin.shed_at(), DEADLINE);
    let goodput = overload(no_margin).await;
    // The first seconds, until the backlog has reached the deadline's age, still answer in time.
    let share = goodput.allowed * 100 / (CAPACITY_PER_SECOND * SECONDS);
    assert!(share <= 50, "{share} % of the capacity");
    assert!(goodput.late > CAPACITY_PER_SECOND * SECONDS / 2);
}
