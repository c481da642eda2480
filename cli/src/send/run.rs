//! A run: sends requests on time, then waits for the callbacks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::client::{EdgeClient, ResponseLoss, SubmissionResponse};
use super::ledger::{RequestAck, RequestLedger};
use super::plan::{SendLoad, SendPlan};
use super::receiver;
use super::report::SendReport;

/// Time to wait for repeated callbacks after every request has its first.
const REPEAT_WAIT: Duration = Duration::from_millis(300);

/// A run and its receiver. Dropping it closes the receiver.
pub(super) struct SendRun {
    sender: Arc<RequestSender>,
    load: SendLoad,
    wait: Duration,
    stop: CancellationToken,
    _receiver: DropGuard,
}

/// State that all requests in flight share.
struct RequestSender {
    client: EdgeClient,
    ledger: Arc<RequestLedger>,
    timeout: Duration,
    driver_token: String,
    stations: StationSource,
    callbacks: String,
}

impl SendRun {
    /// Starts the receiver; does not send yet.
    ///
    /// # Errors
    /// The listener has no address.
    pub(super) fn start(
        plan: SendPlan,
        listener: TcpListener,
        mut random: StdRng,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let name = format!("{:016x}", random.next_u64());
        let base = match &plan.callback_url {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("http://{}", listener.local_addr()?),
        };
        let ledger = Arc::new(RequestLedger::new(plan.driver_token.clone()));
        let receiver = receiver::start(listener, name.clone(), Arc::clone(&ledger));
        let sender = RequestSender {
            client: EdgeClient::new(&plan),
            ledger,
            timeout: plan.timeout,
            driver_token: plan.driver_token,
            stations: plan.station_id.map_or_else(
                || StationSource::Random(Mutex::new(Box::new(random))),
                |station_id| StationSource::Fixed(station_id.into()),
            ),
            callbacks: format!("{base}/{name}"),
        };
        Ok(Self { sender: Arc::new(sender), load: plan.load, wait: plan.wait, stop, _receiver: receiver })
    }

    /// Returns the ledger of this run.
    pub(super) fn ledger(&self) -> &Arc<RequestLedger> {
        &self.sender.ledger
    }

    /// Sends one request at once and waits for its response.
    ///
    /// # Errors
    /// The response is lost.
    pub(super) async fn send_one(&self) -> Result<SubmissionResponse, ResponseLoss> {
        let outgoing = self.sender.prepare_request(Instant::now());
        tokio::select! {
            response = self.sender.send(outgoing) => response,
            () = self.stop.cancelled() => Err(ResponseLoss::Interrupted),
        }
    }

    /// Sends each request at its planned time, independently of earlier ones, and waits for the responses.
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
            let outgoing = sender.prepare_request(planned);
            in_flight.spawn(async move { sender.send(outgoing).await.is_ok() });
        }
        in_flight.close();
        tokio::select! {
            () = in_flight.wait() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Waits for the callbacks of accepted requests and summarizes the run.
    pub(super) async fn collect_report(&self) -> SendReport {
        let callbacks = async {
            self.sender.ledger.wait_for_callbacks(self.wait).await;
            sleep(REPEAT_WAIT.min(self.wait)).await;
        };
        tokio::select! {
            () = callbacks => {}
            () = self.stop.cancelled() => {}
        }
        SendReport::new(&self.sender.ledger)
    }
}

impl RequestSender {
    /// Records a request and builds its body.
    #[expect(clippy::expect_used, reason = "strings are always JSON")]
    fn prepare_request(&self, planned: Instant) -> OutgoingRequest {
        let station_id = self.stations.next_station_id();
        let number = self.ledger.record_sent(planned, Arc::clone(&station_id));
        let body = SessionRequestBody {
            station_id: &station_id,
            driver_token: &self.driver_token,
            callback_url: &format!("{}/{number}", self.callbacks),
        };
        let body = serde_json::to_vec(&body).expect("a request is JSON");
        OutgoingRequest { number, planned, body: body.into() }
    }

    async fn send(
        &self,
        OutgoingRequest { number, planned, body }: OutgoingRequest,
    ) -> Result<SubmissionResponse, ResponseLoss> {
        let outcome = self.client.post(body, planned + self.timeout).await;
        let after = planned.elapsed();
        let ack = match &outcome {
            Ok(SubmissionResponse { status: StatusCode::ACCEPTED, request_id, .. }) => {
                RequestAck::Accepted { after, request_id: request_id.clone() }
            }
            Ok(SubmissionResponse { status, .. }) => RequestAck::Refused { status: status.as_u16() },
            Err(loss) => RequestAck::Uncertain(*loss),
        };
        self.ledger.record_ack(number, ack);
        outcome
    }
}

/// A request that is ready to be sent.
struct OutgoingRequest {
    number: u64,
    planned: Instant,
    body: Bytes,
}

#[derive(Serialize)]
struct SessionRequestBody<'a> {
    station_id: &'a str,
    driver_token: &'a str,
    callback_url: &'a str,
}

/// Source of station ids.
enum StationSource {
    Fixed(Arc<str>),
    Random(Mutex<Box<StdRng>>),
}

impl StationSource {
    fn next_station_id(&self) -> Arc<str> {
        match self {
            Self::Fixed(station_id) => Arc::clone(station_id),
            Self::Random(random) => {
                let mut bytes = [0; 16];
                random.lock().fill_bytes(&mut bytes);
                uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into()
            }
        }
    }
}
