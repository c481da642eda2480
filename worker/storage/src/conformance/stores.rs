//! Conformance suite of stores. Each test has two workers on one fresh store, and a manual clock.

mod books;
mod callbacks;
mod erasure;
mod fixture;
mod hosts;
mod inspection;
mod operators;
mod races;
mod recording;
mod samples;

pub use self::fixture::*;
pub use self::samples::*;

/// Runs every test of the store suite, each over the
/// [`StoreFixture`](crate::conformance::stores::StoreFixture) that the expression returns.
#[macro_export]
macro_rules! store_suite {
    ($fixture:expr) => {
        $crate::store_suite! { @each tests [$fixture] }
    };
    (@each $what:ident [$($arguments:tt)*]) => {
        $crate::store_suite! { @$what [$($arguments)*]
            recording::the_first_decision_of_a_request_wins
            recording::the_same_message_is_recorded_once
            recording::another_message_is_a_duplicate_once
            recording::one_batch_may_contain_the_same_request_and_message_twice
            recording::a_large_batch_is_recorded_in_its_order
            recording::a_repeat_sends_a_finished_callback_again_after_a_minute
            recording::a_repeat_does_not_change_a_leased_callback
            recording::a_repeat_makes_a_waiting_callback_due_once_a_minute
            recording::poison_is_recorded_once
            recording::an_empty_batch_changes_nothing
            recording::a_token_may_contain_any_character
            callbacks::a_first_attempt_is_leased_to_its_recorder
            callbacks::an_expired_lease_is_due_again
            callbacks::a_retry_is_claimed_when_it_is_due
            callbacks::a_stale_report_is_ignored
            callbacks::a_stale_release_is_ignored
            callbacks::a_report_after_the_lease_counts_until_another_worker_claims
            callbacks::of_two_reports_of_one_attempt_one_counts
            callbacks::many_reports_of_all_kinds_in_one_batch_count
            callbacks::a_released_callback_is_due_at_once_and_its_attempt_does_not_count
            callbacks::a_postponed_callback_is_due_after_its_wait
            callbacks::callbacks_of_an_available_host_become_due
            callbacks::hosts_with_many_pending_callbacks_are_found
            callbacks::unavailable_receivers_are_kept_until_they_are_available
            callbacks::a_receiver_that_nobody_reports_is_forgotten
            callbacks::a_host_gets_no_more_than_its_share
            callbacks::hosts_take_turns
            callbacks::a_saturated_host_with_a_long_backlog_delays_no_other
            callbacks::nothing_is_claimed_under_a_limit_of_zero
            callbacks::dead_letters_are_counted
            races::racing_workers_record_the_same_batch_once
            races::racing_workers_claim_each_callback_once
            races::racing_workers_report_in_any_order
            races::racing_repeats_send_a_callback_again_once
            inspection::decisions_are_listed_newest_first_in_pages
            inspection::decisions_are_filtered
            inspection::one_decision_is_shown_with_its_attempts_and_no_secret
            inspection::a_foreign_cursor_is_refused
            operators::a_retry_begins_a_new_round
            operators::discarded_callbacks_stay_counted_and_are_no_backlog
            operators::callbacks_are_selected_by_state_and_filter
            operators::an_interrupted_bulk_action_continues_and_is_audited_once
            operators::the_audit_trail_is_listed_newest_first_in_pages
            operators::the_id_of_another_action_is_refused
            operators::pending_callbacks_are_retried_once
            hosts::callbacks_of_a_paused_host_wait
            hosts::the_time_of_a_pause_does_not_count_against_a_round
            hosts::an_old_pause_counts_while_a_callback_waits
            hosts::a_paused_host_with_a_long_backlog_delays_no_other
            hosts::hosts_are_listed_with_health_and_backlog
            erasure::poison_is_shown_masked_and_discarded
            erasure::a_forgotten_token_is_erased_and_decisions_stay_countable
            erasure::a_token_is_forgotten_at_one_station_only
            erasure::only_poison_with_the_whole_token_is_erased
            erasure::discarded_poison_is_counted_once
            erasure::a_repeated_search_leaves_out_poison
            books::an_empty_store_balances
            books::every_outcome_is_counted
            books::totals_are_unchanged_by_retention
            books::a_pending_callback_outlives_retention
            books::decisions_within_the_retention_period_are_kept
            books::a_purged_request_is_decided_again
            books::retention_works_in_bounded_steps
        }
    };
    (@tests [$fixture:expr] $($group:ident::$test:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::conformance::stores::run(stringify!($test), $fixture).await;
            }
        )+
    };
    (@run [$name:ident $fixture:ident] $($group:ident::$test:ident)+) => {
        match $name {
            $(stringify!($test) => $group::$test($fixture).await,)+
            other => panic!("the suite has no test {other}"),
        }
    };
}

/// Runs one test of the suite.
///
/// # Panics
/// The test fails, or the suite has none of that name.
pub async fn run(name: &str, fixture: StoreFixture) {
    store_suite!(@each run [name fixture]);
}
