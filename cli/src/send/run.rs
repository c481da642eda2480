//! A run: sending on time, then waiting for callbacks.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::client::{Answer, Client, Loss};
use super::ledger::{Ack, Ledger};
use super::plan::{Load, Plan};
use super::receiver;
use super::report::Report;

/// How long a second callback is looked for once every request has its first.
const GRACE: Duration = Duration::from_millis(300);

/// A run with its receiver. Dropping it closes the receiver.
pub(super) struct Run {
    sender: Arc<Sender>,
    load: Load,
    wait: Duration,
    stop: CancellationToken,
    _receiver: DropGuard,
}

/// What each request in flight needs.
struct Sender {
    client: Client,
    ledger: Arc<Ledger>,
    timeout: Duration,
    driver_token: String,
    stations: Stations,
    callbacks: String,
}

impl Run {
    /// Starts the receiver; nothing is sent yet.
    ///
    /// # Errors
    /// The listener has no address.
    pub(super) fn start(
        plan: Plan,
        listener: TcpListener,
        mut random: StdRng,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let name = format!("{:016x}", random.next_u64());
        let base = match &plan.callback_url {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("http://{}", listener.local_addr()?),
        };
        let ledger = Arc::new(Ledger::new(plan.driver_token.clone()));
        let receiver = receiver::start(listener, name.clone(), Arc::clone(&ledger));
        let sender = Sender {
            client: Client::new(&plan),
            ledger,
            timeout: plan.timeout,
            driver_token: plan.driver_token,
            stations: plan.station_id.map_or_else(
                || Stations::Random(Mutex::new(Box::new(random))),
                |station_id| Stations::One(station_id.into()),
            ),
            callbacks: format!("{base}/{name}"),
        };
        Ok(Self { sender: Arc::new(sender), load: plan.load, wait: plan.wait, stop, _receiver: receiver })
    }

    /// The record of this run.
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.sender.ledger
    }

    /// Sends one request now and waits for its answer.
    ///
    /// # Errors
    /// The answer is lost.
    pub(super) async fn send_one(&self) -> Result<Answer, Loss> {
        let outgoing = self.sender.plan_request(Instant::now());
        tokio::select! {
            answer = self.sender.send(outgoing) => answer,
            () = self.stop.cancelled() => Err(Loss::Interrupted),
        }
    }

    /// Sends each request at its planned time, whatever became of the ones before, and waits for the answers.
    pub(super) async fn send_all(&self) {
        let start = Instant::now();
        let in_flight = TaskTracker::new();
        for number in 0..self.load.total() {
            let planned = start + self.load.due(number);
            if planned > Instant::now() {
                tokio::select! {
                    () = sleep_until(planned) => {}
                    () = self.stop.cancelled() => {}
                }
            } else {
                tokio::task::yield_now().await;
            }
            if self.stop.is_cancelled() {
                break;
            }
            let sender = Arc::clone(&self.sender);
            let outgoing = sender.plan_request(planned);
            in_flight.spawn(async move { sender.send(outgoing).await.is_ok() });
        }
        in_flight.close();
        tokio::select! {
            () = in_flight.wait() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits for the callbacks of what was accepted, and counts.
    pub(super) async fn settle(&self) -> Report {
        let settled = async {
            self.sender.ledger.settled(self.wait).await;
            sleep(GRACE.min(self.wait)).await;
        };
        tokio::select! {
            () = settled => {}
            () = self.stop.cancelled() => {}
        }
        Report::new(&self.sender.ledger)
    }
}

impl Sender {
    /// Records a request and writes its body.
    #[expect(clippy::expect_used, reason = "texts are always JSON")]
    fn plan_request(&self, planned: Instant) -> Outgoing {
        let station_id = self.stations.next();
        let number = self.ledger.open(planned, Arc::clone(&station_id));
        let body = Body {
            station_id: &station_id,
            driver_token: &self.driver_token,
            callback_url: &format!("{}/{number}", self.callbacks),
        };
        let body = serde_json::to_vec(&body).expect("a request is JSON");
        Outgoing { number, planned, body: body.into() }
    }

    async fn send(&self, Outgoing { number, planned, body }: Outgoing) -> Result<Answer, Loss> {
        let outcome = self.client.post(body, planned + self.timeout).await;
        let after = planned.elapsed();
        let ack = match &outcome {
            Ok(Answer { status: StatusCode::ACCEPTED, request_id, .. }) => {
                Ack::Accepted { after, request_id: request_id.clone() }
            }
            Ok(Answer { status, .. }) => Ack::Refused { status: status.as_u16() },
            Err(loss) => Ack::Uncertain(*loss),
        };
        self.ledger.answered(number, ack);
        outcome
    }
}

struct Outgoing {
    number: u64,
    planned: Instant,
    body: Bytes,
}

#[derive(Serialize)]
struct Body<'a> {
    station_id: &'a str,
    driver_token: &'a str,
    callback_url: &'a str,
}

/// Where drivers want to charge.
enum Stations {
    One(Arc<str>),
    Random(Mutex<Box<StdRng>>),
}

impl Stations {
    fn next(&self) -> Arc<str> {
        match self {
            Self::One(station_id) => Arc::clone(station_id),
            Self::Random(random) => {
                let mut bytes = [0; 16];
                random.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
                uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into()
            }
        }
    }
}
