//! Conformance suite of queues.

mod delivery;
mod fixture;
mod limits;
mod redelivery;
mod waiting;

pub use self::fixture::*;

/// Runs every test of the queue suite over the engine of a [`QueueFixture`](crate::conformance::queues::QueueFixture).
#[macro_export]
macro_rules! queue_suite {
    ($fixture:ty) => {
        $crate::queue_suite! { @each tests [$fixture] }
    };
    (@each $what:ident [$($arguments:tt)*]) => {
        $crate::queue_suite! { @$what [$($arguments)*]
            delivery::messages_are_delivered_oldest_first_and_once
            delivery::any_text_is_delivered_unchanged
            delivery::concurrent_leases_share_no_message
            delivery::an_acknowledged_message_is_never_redelivered
            delivery::acknowledging_unknown_keys_is_harmless
            delivery::many_messages_are_acknowledged_by_one_call
            delivery::an_undecodable_message_affects_no_other
            delivery::enqueue_times_come_from_the_server
            redelivery::a_message_is_redelivered_when_its_lease_ends
            redelivery::a_message_is_redelivered_when_its_worker_dies
            redelivery::messages_of_a_dead_worker_are_redelivered_once
            redelivery::a_paused_worker_that_resumes_affects_no_other
            redelivery::a_late_ack_of_a_paused_worker_counts
            redelivery::released_messages_are_redelivered_at_once
            redelivery::many_messages_are_released_by_one_call
            redelivery::a_dropped_lease_loses_nothing
            limits::a_lease_returns_no_more_than_requested
            limits::the_depth_limit_is_exact_among_concurrent_callers
            limits::the_depth_counts_unacknowledged_messages
            limits::a_message_that_is_too_large_is_refused
            limits::a_closed_engine_returns_closed_errors
            waiting::a_lease_of_an_empty_queue_returns_after_its_wait
            waiting::an_available_message_is_delivered_without_a_wait
            waiting::a_waiting_lease_gets_an_arriving_message
            waiting::a_waiting_lease_gets_a_released_message
        }
    };
    (@tests [$fixture:ty] $($group:ident::$test:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::conformance::queues::run::<$fixture>(stringify!($test)).await;
            }
        )+
    };
    (@run [$name:ident $fixture:ident] $($group:ident::$test:ident)+) => {
        match $name {
            $(stringify!($test) => $group::$test::<$fixture>().await,)+
            other => panic!("the suite has no test {other}"),
        }
    };
}

/// Runs one test of the suite.
///
/// # Panics
/// The test fails, or the suite has none of that name.
pub async fn run<F: QueueFixture>(name: &str) {
    queue_suite!(@each run [name F]);
}
