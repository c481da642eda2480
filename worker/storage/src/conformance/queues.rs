//! Conformance suite of queues.

mod delivery;
mod fixture;
mod holders;
mod limits;
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
            delivery::messages_come_oldest_first_and_once
            delivery::any_text_comes_out_as_it_went_in
            delivery::leases_at_the_same_time_share_no_message
            delivery::an_acknowledged_message_never_comes_again
            delivery::acknowledging_what_is_gone_is_harmless
            delivery::many_messages_are_acknowledged_by_one_call
            delivery::what_cannot_be_decoded_harms_no_other_message
            delivery::an_enqueue_time_is_the_servers
            holders::a_message_comes_again_when_its_lease_ends
            holders::a_message_comes_again_when_its_holder_dies
            holders::what_a_dead_holder_left_is_shared_out_once
            holders::a_holder_that_paused_and_wakes_up_harms_nobody
            holders::a_holder_that_wakes_up_and_acknowledges_is_believed
            holders::released_messages_come_at_once
            holders::many_messages_are_released_by_one_call
            holders::a_dropped_lease_loses_nothing
            limits::a_lease_gives_no_more_than_it_was_asked_for
            limits::the_depth_limit_is_exact_among_concurrent_callers
            limits::the_depth_counts_what_is_not_acknowledged
            limits::a_message_that_is_too_large_is_refused
            limits::a_closed_engine_says_so
            waiting::an_empty_queue_gives_nothing_when_the_wait_is_over
            waiting::a_message_that_is_there_comes_without_a_wait
            waiting::a_waiting_lease_gets_the_message_that_arrives
            waiting::a_waiting_lease_gets_the_message_that_was_released
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
