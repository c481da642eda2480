//! One run of the overload test.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::args::{OverloadPlan, OverloadSetting};
use super::feed::feed;
use super::figures::fairness;
use super::fleet::{FleetDisturbance, WorkerFleet};
use super::outcomes::{DecisionFigures, OutcomeLedger};
use super::report::OverloadRun;
use super::service::ReferenceService;
use crate::error::LoadError;
use crate::ledger::LoadLedger;
use crate::peers::CallbackReceiver;
use crate::process;
use crate::run::{LoadClock, millis};
use crate::servers::LoadServers;

/// Decision deadline of the workers, their default.
const DECISION_DEADLINE: Duration = Duration::from_secs(10);
/// Time to wait for repeated callbacks, and for the workers to record attempts, after the last first callback.
const REPEAT_WAIT: Duration = Duration::from_millis(500);
/// Interval at which the ledger is checked for the last callbacks.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Performs a run with a new database and a new key prefix.
///
/// # Errors
/// Returns an error if a process or a server fails.
pub(crate) async fn perform(
    plan: &OverloadPlan<'_>,
    setting: OverloadSetting,
    clock: LoadClock,
) -> Result<OverloadRun, LoadError> {
    let name = format!("overload_{:x}", millis(clock()));
    let mut servers = LoadServers::open(plan.given, &name).await?;
    let run = measure(plan, setting, &name, &servers, clock).await;
    let cleaned = servers.clean(&name).await;
    servers.close().await;
    let run = run?;
    cleaned?;
    Ok(run)
}

async fn measure(
    plan: &OverloadPlan<'_>,
    setting: OverloadSetting,
    name: &str,
    servers: &LoadServers,
    clock: LoadClock,
) -> Result<OverloadRun, LoadError> {
    servers.migrate(plan.given)?;
    let interval = Duration::from_secs(1) / plan.rate.get();
    let ledger = Arc::new(OutcomeLedger::new(plan.requests(), interval));
    let recorded = Arc::clone(&ledger);
    let receiver = CallbackReceiver::start(move |number, callback| recorded.called_back(number, callback))
        .map_err(LoadError::LoadPeers)?;
    let service = ReferenceService::start(plan, name)?;
    let flags = worker_flags(plan, setting, name, servers.database.as_str(), &service.url());
    let mut fleet = WorkerFleet::start(plan.given, flags, setting.workers).await?;
    sleep(plan.settle).await;
    fleet.begin_load().await?;

    let (begin, wall) = (Instant::now(), millis(clock()));
    ledger.begin(begin, wall);
    let feeding = {
        let (redis, prefix) = (servers.redis.clone(), name.to_owned());
        let (ledger, callback_url) = (Arc::clone(&ledger), receiver.callback_url());
        tokio::spawn(async move { feed(redis, &prefix, &ledger, &callback_url, wall).await })
    };
    if plan.disturb {
        for (at, disturbance) in FleetDisturbance::schedule(plan.load_time()) {
            sleep_until(begin + at).await;
            fleet.disturb(disturbance).await?;
        }
    }
    // The task ends only with its result: it is not cancelled and does not panic.
    feeding.await.unwrap_or(Err(LoadError::Message))?;
    fleet.end_load().await?;
    let load_average = process::load_average();
    let measured = plan.warm_up..plan.load_time();
    let at = |time: Duration| wall + u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // Read now, since the service forgets old seconds while the last callbacks are awaited.
    let mean_queue = service.figures().await?.mean_queue(&(at(measured.start)..at(measured.end)));
    wait_until_settled(&ledger.requests, plan.patience).await;

    let figures = service.figures().await?;
    let (calls, undisturbed) = (fleet.calls(), fleet.undisturbed_calls());
    fleet.stop().await?;
    service.stop().await?;
    let balanced = servers.is_balanced(plan.given, name)?;
    let decisions = DecisionFigures::new(ledger.outcomes(), &measured, DECISION_DEADLINE);
    let totals = ledger.requests.totals();
    let mut run = OverloadRun {
        workers: setting.workers.get(),
        acl_slots: setting.slots.get(),
        goodput_percent: percent(decisions.in_time, plan.possible_answers()),
        calls: figures.calls,
        calls_unanswered: figures.unanswered(),
        calls_in_service_max: figures.max_in_flight,
        queue_in_service_mean: mean_queue,
        requests: totals.planned,
        answered: decisions.answered,
        shed: decisions.shed,
        late: decisions.late,
        missing: totals.missing,
        contradictory: totals.contradictory,
        answered_ms: decisions.answered_ms,
        answered_after_load_ms: decisions.answered_after_load_ms,
        shed_ms: decisions.shed_ms,
        calls_per_worker: calls,
        fairness: fairness(&undisturbed),
        balanced,
        load_average,
        misses: Vec::new(),
    };
    run.misses = run.find_misses(plan.capacity.get().into(), plan.min_goodput);
    Ok(run)
}

/// Waits until all requests are called back, or no callback has arrived for too long.
async fn wait_until_settled(ledger: &LoadLedger, patience: Duration) {
    let (mut arrivals, mut newest) = (ledger.arrivals(), Instant::now());
    while !ledger.is_settled() && newest.elapsed() <= patience {
        sleep(CHECK_INTERVAL).await;
        if ledger.arrivals() > arrivals {
            (arrivals, newest) = (ledger.arrivals(), Instant::now());
        }
    }
    sleep(REPEAT_WAIT).await;
}

/// Returns the flags of a worker, which has its defaults except for the slots.
fn worker_flags(
    plan: &OverloadPlan<'_>,
    setting: OverloadSetting,
    prefix: &str,
    database: &str,
    acl_url: &str,
) -> Vec<String> {
    let mut flags = vec![
        format!("--queue-url={}", plan.given.redis_url),
        format!("--queue-prefix={prefix}"),
        format!("--database-url={database}"),
        format!("--acl-url={acl_url}"),
        format!("--acl-slots={}", setting.slots),
        "--callback-allow=127.0.0.0/8".to_owned(),
        "--ops-listen=127.0.0.1:0".to_owned(),
        "--log=error".to_owned(),
    ];
    flags.extend(plan.worker_flags.iter().cloned());
    flags
}

fn percent(count: u64, possible: f64) -> f64 {
    if possible > 0.0 { 100.0 * crate::report::float(count) / possible } else { 0.0 }
}
