//! What every queue engine does alike. Each test runs over each engine.

pub(crate) mod cloudflare;
mod delivery;
pub(crate) mod fixture;
mod holders;
mod limits;
mod sqlite;
pub(crate) mod sqs;
pub(crate) mod streams;
mod waiting;

use self::fixture::Fixture;

/// Runs every test of the suite over each of the engines.
macro_rules! suite {
    ($($engine:ident: $fixture:ty,)+) => {
        $(mod $engine {
            type Engine = $fixture;
            suite! { @tests
                delivery: {
                    messages_come_oldest_first_and_once,
                    any_text_comes_out_as_it_went_in,
                    leases_at_the_same_time_share_no_message,
                    an_acknowledged_message_never_comes_again,
                    acknowledging_what_is_gone_is_harmless,
                    many_messages_are_acknowledged_by_one_call,
                    what_cannot_be_decoded_harms_no_other_message,
                    an_enqueue_time_is_the_servers,
                }
                holders: {
                    a_message_comes_again_when_its_lease_ends,
                    a_message_comes_again_when_its_holder_dies,
                    what_a_dead_holder_left_is_shared_out_once,
                    a_holder_that_paused_and_wakes_up_harms_nobody,
                    a_holder_that_wakes_up_and_acknowledges_is_believed,
                    released_messages_come_at_once,
                    many_messages_are_released_by_one_call,
                    a_dropped_lease_loses_nothing,
                }
                limits: {
                    a_lease_gives_no_more_than_it_was_asked_for,
                    the_depth_limit_is_exact_among_concurrent_callers,
                    the_depth_counts_what_is_not_acknowledged,
                    a_message_that_is_too_large_is_refused,
                    a_closed_engine_says_so,
                }
                waiting: {
                    an_empty_queue_gives_nothing_when_the_wait_is_over,
                    a_message_that_is_there_comes_without_a_wait,
                    a_waiting_lease_gets_the_message_that_arrives,
                    a_waiting_lease_gets_the_message_that_was_released,
                }
            }
        })+
    };
    (@tests $($group:ident: { $($test:ident,)+ })+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$group::$test::<Engine>().await;
            }
        )+)+
    };
}

suite! {
    on_sqlite: super::sqlite::Sqlite,
    on_redis: super::streams::Streams<super::streams::OneOnRedis>,
    on_redis_with_several_streams: super::streams::Streams<super::streams::ThreeOnRedis>,
    on_valkey: super::streams::Streams<super::streams::OneOnValkey>,
    on_cloudflare: super::cloudflare::Cloudflare,
    on_sqs: super::sqs::Sqs,
}
