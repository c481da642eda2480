//! One suite for every store. Each test gets two workers on one fresh store, and a clock it holds.

mod bench;
mod books;
mod callbacks;
mod inspection;
mod races;
mod recording;
mod samples;

pub(crate) use bench::{Bench, ManualClock, effects};
pub(crate) use samples::*;

macro_rules! suite {
    ($($group:ident: $($name:ident),+ $(,)?;)+) => {
        mod sqlite {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$group::$name(super::Bench::sqlite().await).await;
                }
            )+)+
        }

        mod postgres {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$group::$name(super::Bench::postgres(&crate::database::OLDEST).await).await;
                }
            )+)+
        }

        mod postgres_next {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$group::$name(super::Bench::postgres(&crate::database::NEXT).await).await;
                }
            )+)+
        }
    };
}

suite! {
    recording:
        the_first_decision_of_a_request_wins,
        the_same_message_is_recorded_once,
        another_message_is_a_duplicate_once,
        one_batch_may_hold_the_same_request_and_message_twice,
        a_large_batch_is_recorded_in_its_order,
        a_repeat_sends_a_finished_callback_again_after_a_minute,
        a_repeat_leaves_a_pending_callback_alone,
        poison_is_put_aside_once,
        an_empty_batch_is_nothing,
        a_token_may_hold_any_character;
    callbacks:
        a_first_attempt_is_leased_to_its_recorder,
        an_expired_lease_is_due_again,
        a_retry_is_claimed_when_it_is_due,
        a_stale_report_is_ignored,
        a_stale_release_is_ignored,
        a_report_after_the_lease_counts_while_nobody_else_has_begun,
        of_two_reports_of_one_attempt_one_counts,
        many_reports_of_all_kinds_in_one_batch_count,
        a_released_callback_is_due_at_once_and_its_attempt_does_not_count,
        a_host_gets_no_more_than_its_share,
        hosts_take_turns,
        a_saturated_host_with_a_long_backlog_keeps_nobody_waiting,
        nothing_is_claimed_when_nothing_is_allowed,
        dead_letters_are_counted;
    races:
        racing_workers_record_the_same_batch_once,
        racing_workers_claim_each_callback_once,
        racing_workers_report_in_any_order,
        racing_repeats_send_a_callback_again_once;
    inspection:
        decisions_are_listed_newest_first_in_pages,
        decisions_are_filtered,
        one_decision_is_shown_with_its_attempts_and_no_secret,
        a_foreign_cursor_is_refused;
    books:
        an_empty_store_balances,
        everything_is_counted,
        the_books_are_the_same_after_retention,
        what_is_pending_outlives_retention,
        what_is_not_old_enough_stays,
        a_forgotten_request_is_decided_anew,
        retention_works_in_bounded_steps;
}
