//! Receivers that fail, hang or resolve slowly, beside a healthy one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chargegate_core::{AddressPolicy, GiveUpReason, RetryPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{DeliveryHarness, FakeResolver, LONG, OK, PATIENCE, fast_settings};
use crate::callback::client::CallbackClient;
use crate::callback::resolver::DnsResolver;
use crate::callback::tests::dns::{DnsAnswer, DnsServer};
use crate::callback::tests::job;
use crate::callback::{CallbackTls, Delivery, DeliverySettings, LookupError, ReceiverResolver};
use chargegate_storage::store::{AttemptResult, CallbackJob, ReleasedCallback, Store as _};
use chargegate_storage::testing::{
    CallbackState, EventJournal, HostileServer, MemoryStore, effects, eventually, read_request,
};

/// Names on the receiver that never answers, in the first scenario.
const NAMES: u16 = 500;
const HEALTHY: u16 = 40;

fn delivered(state: CallbackState) -> bool {
    state == CallbackState::Delivered
}

/// A resolver that begins no look-up.
struct BusyResolver;

#[async_trait]
impl ReceiverResolver for BusyResolver {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, LookupError> {
        Err(LookupError::Busy)
    }
}

/// Starts a delivery that resolves names by `dns`.
fn start_with_dns(dns: &DnsServer, settings: &DeliverySettings) -> DeliveryHarness {
    start_with(Arc::new(DnsResolver::with_servers(&[dns.address()]).unwrap()), settings)
}

fn start_with(resolver: Arc<dyn ReceiverResolver>, settings: &DeliverySettings) -> DeliveryHarness {
    let store = Arc::new(MemoryStore::new(EventJournal::default()));
    let policy = AddressPolicy::allowing("127.0.0.0/8").unwrap();
    let client =
        CallbackClient::new(policy.into(), resolver, LONG, 256, &CallbackTls::public().unwrap(), effects());
    let none = CancellationToken::new();
    let (delivery, dispatcher) =
        Delivery::start(client, store.clone(), settings, effects(), none.clone(), &none);
    DeliveryHarness { store, delivery, dispatcher }
}

/// Starts an attempt as the pipeline does: one that does not begin returns to the store. Returns whether it began.
async fn decide(harness: &DeliveryHarness, job: CallbackJob) -> bool {
    harness.store.add_leased(job.clone());
    let unstarted = harness.dispatcher.start(vec![job]);
    let has_begun = unstarted.is_empty();
    super::super::release(harness.store.as_ref(), unstarted).await;
    has_begun
}

async fn hanging_at(address: [u8; 4]) -> HostileServer {
    HostileServer::start_at((address, 0).into(), async |mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

#[tokio::test]
async fn many_names_on_a_receiver_that_never_answers_delay_no_other() {
    let hung = hanging_at([127, 0, 0, 2]).await;
    let healthy = HostileServer::answering(OK).await;
    let dns = DnsServer::start(|name| {
        DnsAnswer::Address(if name.starts_with("hung") { [127, 0, 0, 2] } else { [127, 0, 0, 1] })
    })
    .await;
    let harness = start_with_dns(&dns, &DeliverySettings::default());
    for n in 0..NAMES {
        decide(&harness, job(n, &format!("http://hung{n}.example:{}/", hung.port()))).await;
        // A healthy callback now and then.
        if n % 10 == 9 && n / 10 < HEALTHY {
            let healthy = job(NAMES + n / 10, &format!("http://healthy.example:{}/", healthy.port()));
            assert!(decide(&harness, healthy).await, "a healthy callback begins at once");
        }
    }
    eventually(PATIENCE, || harness.store.count(delivered) == usize::from(HEALTHY)).await;
    assert!(hung.connections() <= 96, "{}: three quarters of the slots of an address", hung.connections());
}

#[tokio::test]
async fn a_callback_that_is_never_attempted_becomes_a_dead_letter_in_time() {
    let harness = start_with(Arc::new(BusyResolver), &fast_settings());
    let aged =
        |n, hours| CallbackJob { round_age: Duration::from_hours(hours), ..job(n, "http://a.example/") };
    let (old, young) = (aged(1, 24), aged(2, 23));
    harness.store.add_due(old.clone());
    harness.store.add_due(young.clone());
    let expected = Some(CallbackState::Dead(GiveUpReason::Time));
    eventually(PATIENCE, || harness.store.callback(old.request_id) == expected).await;
    eventually(PATIENCE, || harness.store.released() == 1).await;
    assert!(matches!(harness.store.callback(young.request_id), Some(CallbackState::Due(_))));
    assert_eq!(harness.store.reports()[0][0].result, AttemptResult::Withheld);
}

#[tokio::test]
async fn new_callbacks_beyond_the_backlog_of_their_host_become_dead_letters() {
    let failing =
        HostileServer::answering("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let healthy = HostileServer::answering(OK).await;
    // Retries are far away.
    let retry = RetryPolicy { base: Duration::from_hours(1), ..RetryPolicy::default() };
    let settings = DeliverySettings { per_host: 1, pending_per_host: 20, retry, ..fast_settings() };
    let resolver = FakeResolver::default()
        .with("failing.example", &[&["127.0.0.1"]])
        .with("healthy.example", &[&["127.0.0.1"]]);
    let url = format!("http://failing.example:{}/", failing.port());
    let harness = DeliveryHarness::start(&Arc::new(resolver), &settings, LONG, |store| {
        (0..21).for_each(|n| store.add_due(job(n, &url)));
    });
    eventually(PATIENCE, || harness.store.unavailable_receivers() > 0).await;
    // A callback that waits has its host's counted.
    decide(&harness, job(100, &url)).await;
    let receivers = &harness.dispatcher.shared.receivers;
    eventually(PATIENCE, || receivers.note_refused("failing.example")).await;
    let (before, beyond) = (job(100, &url), job(101, &url));
    decide(&harness, beyond.clone()).await;
    let expected = Some(CallbackState::Dead(GiveUpReason::Backlog));
    eventually(PATIENCE, || harness.store.callback(beyond.request_id) == expected).await;
    let report = harness.store.reports().into_iter().flatten().last().unwrap();
    assert_eq!((report.request_id, report.result), (beyond.request_id, AttemptResult::Withheld));
    assert_ne!(harness.store.callback(before.request_id), expected, "what waited stays so");
    let other = job(1000, &format!("http://healthy.example:{}/", healthy.port()));
    decide(&harness, other).await;
    eventually(PATIENCE, || harness.store.count(delivered) == 1).await;
}

#[tokio::test]
async fn names_whose_servers_do_not_answer_delay_no_other() {
    let healthy = HostileServer::answering(OK).await;
    let dns = DnsServer::start(|name| {
        if name.starts_with("dead") { DnsAnswer::Silence } else { DnsAnswer::Address([127, 0, 0, 1]) }
    })
    .await;
    // As many slots as callbacks to names that do not resolve.
    let settings = DeliverySettings { concurrency: 20, ..DeliverySettings::default() };
    let harness = start_with_dns(&dns, &settings);
    for n in 0..20 {
        decide(&harness, job(n, &format!("http://dead{n}.dead{}.example:9/", n % 2))).await;
        let healthy = job(100 + n, &format!("http://healthy{n}.example:{}/", healthy.port()));
        assert!(decide(&harness, healthy).await, "a healthy callback begins at once");
    }
    eventually(PATIENCE, || harness.store.count(delivered) == 20).await;
}

#[tokio::test]
async fn a_receiver_that_fails_gets_a_few_attempts_for_all_its_callbacks() {
    let failing =
        HostileServer::answering("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let settings = DeliverySettings {
        per_host: 1,
        retry: RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() },
        ..fast_settings()
    };
    let url = format!("http://127.0.0.1:{}/", failing.port());
    let harness = DeliveryHarness::start(&Arc::default(), &settings, LONG, |store| {
        (0..30).for_each(|n| store.add_due(job(n, &url)));
    });
    // All are claimed again and again, and put off until the next probe.
    eventually(PATIENCE, || harness.store.released() >= 30).await;
    assert!(failing.connections() < 15, "{} attempts", failing.connections());
}

#[tokio::test]
async fn the_health_of_a_receiver_outlives_the_worker() {
    let failing =
        HostileServer::answering("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let settings = DeliverySettings { per_host: 1, ..fast_settings() };
    let url = format!("http://127.0.0.1:{}/", failing.port());
    let harness = DeliveryHarness::start(&Arc::default(), &settings, LONG, |store| {
        (0..30).for_each(|n| store.add_due(job(n, &url)));
    });
    eventually(PATIENCE, || harness.store.unavailable_receivers() == 1).await;
    let DeliveryHarness { store, delivery, dispatcher } = harness;
    drop(dispatcher);
    delivery.stop().await;
    let (attempts, released) = (failing.connections(), store.released());

    (30..60).for_each(|n| store.add_due(job(n, &url)));
    let client = super::client_with("127.0.0.0/8", &Arc::<FakeResolver>::default(), LONG);
    let none = CancellationToken::new();
    let (_delivery, _dispatcher) =
        Delivery::start(client, store.clone(), &settings, effects(), none.clone(), &none);
    eventually(PATIENCE, || store.released() >= released + 30).await;
    assert!(failing.connections() < attempts + 15, "{attempts} and then {}", failing.connections());
}

#[tokio::test]
async fn callbacks_arrive_once_their_receiver_is_available_again() {
    let peer = HostileServer::start(async |mut stream, n| {
        let _ = read_request(&mut stream).await;
        let answer = if n < 5 { "HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\n" } else { OK };
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let url = format!("http://127.0.0.1:{}/", peer.port());
    let settings = DeliverySettings { per_host: 1, ..fast_settings() };
    let harness = DeliveryHarness::start(&Arc::default(), &settings, LONG, |store| {
        (0..30).for_each(|n| store.add_due(job(n, &url)));
    });
    // One that is due much later does not wait for its time.
    let late = job(100, &url);
    harness.store.add_leased(late.clone());
    let released = ReleasedCallback { after: Duration::from_hours(1), ..ReleasedCallback::now(&late) };
    harness.store.release(&[released]).await.unwrap();
    eventually(PATIENCE, || harness.store.count(delivered) == 31).await;
}

/// Returns an address whose connection attempts are neither accepted nor refused, with what keeps it so.
async fn swallowing(address: SocketAddr) -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(1).unwrap();
    let mut waiting = Vec::new();
    // The listener accepts none, so its queue fills.
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    (listener, waiting)
}

#[tokio::test]
async fn addresses_that_swallow_connections_do_not_hide_one_that_works() {
    let peer = HostileServer::answering(OK).await;
    let mut swallowers = Vec::new();
    for last in 2..6 {
        swallowers.push(swallowing(([127, 0, 0, last], peer.port()).into()).await);
    }
    let addresses: &[&str] = &["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1"];
    let resolver = Arc::new(FakeResolver::default().with("a.example", &[addresses]));
    // Not even two of the addresses time out before the end of the attempt.
    let settings = DeliverySettings::default();
    let harness = DeliveryHarness::start(&resolver, &settings, Duration::from_secs(5), |store| {
        store.add_due(job(1, &format!("http://a.example:{}/", peer.port())));
    });
    eventually(PATIENCE, || harness.store.count(delivered) == 1).await;
    assert_eq!(harness.store.reports().len(), 1, "the first attempt arrives");
}
