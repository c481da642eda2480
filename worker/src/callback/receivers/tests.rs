use chargegate_storage::testing::effects;

use super::*;

fn receivers(total: usize, per_host: usize) -> Receivers {
    Receivers::new(total, per_host, effects())
}

fn url(host: &str) -> CallbackUrl {
    format!("http://{host}/").parse().unwrap()
}

fn address(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

/// Makes a receiver unavailable by failed attempts.
fn fail(receivers: &Receivers, host: &str) {
    for _ in 0..5 {
        receivers.admit(&url(host)).ok().unwrap().record(ReceiverResponse::Missing);
    }
    assert!(matches!(receivers.admit(&url(host)), Err(Refusal::Unavailable(_))));
}

#[test]
fn both_limits_apply_and_a_dropped_permit_is_available_again() {
    // A quarter of one to three slots is none.
    let receivers = receivers(3, 2);
    let acquire = |host: &str| {
        let mut permit = receivers.admit(&url(host))?;
        permit.acquire_slot().map(|()| permit)
    };
    let first = acquire("a").ok().unwrap();
    let _second = acquire("a").ok().unwrap();
    assert_eq!(acquire("a").err(), Some(Refusal::Full), "at most two for one host");
    let _third = acquire("b").ok().unwrap();
    assert_eq!(acquire("c").err(), Some(Refusal::Full), "at most three in total");
    drop(first);
    assert!(receivers.admit(&url("a")).is_ok());
    assert_eq!(receivers.snapshot().1.get("b"), Some(&1));
}

#[test]
fn lookups_occupy_no_slots() {
    let receivers = receivers(2, 2);
    let most = 2 * LOOKUPS_PER_SLOT;
    let mut slow: Vec<_> =
        (0..most).map(|n| receivers.admit(&url(&format!("slow{n}"))).ok().unwrap()).collect();
    assert_eq!(receivers.admit(&url("c")).err(), Some(Refusal::Full), "a limited number of look-ups");
    let mut quick = slow.pop().unwrap();
    quick.acquire_slot().unwrap();
    let mut other = receivers.admit(&url("other")).ok().unwrap();
    other.acquire_slot().unwrap();
    assert_eq!(slow[0].acquire_slot(), Err(Refusal::Full));
    drop(other);
    slow[0].acquire_slot().unwrap();
}

#[test]
fn names_that_share_an_address_share_its_slots() {
    let receivers = receivers(100, 4);
    let mut permits: Vec<_> =
        (0..9).map(|n| receivers.admit(&url(&format!("host{n}"))).ok().unwrap()).collect();
    let mut slots: Vec<_> =
        permits.iter().filter_map(|permit| permit.try_address(address(1), false).ok()).collect();
    assert_eq!(slots.len(), 6, "a quarter is kept for proven hosts");
    assert!(permits[8].try_address(address(2), false).is_ok());
    permits[8].record(ReceiverResponse::Accepted);
    slots.push(permits[8].try_address(address(1), false).ok().unwrap());
    slots.push(permits[8].try_address(address(1), false).ok().unwrap());
    assert_eq!(permits[8].try_address(address(1), false).err(), Some(Refusal::Full));
    drop(slots.pop());
    assert!(permits[8].try_address(address(1), false).is_ok());
}

#[test]
fn addresses_of_one_ipv6_network_share_their_slots() {
    let receivers = receivers(100, 1);
    let permit = receivers.admit(&url("a")).ok().unwrap();
    let acquire = |address: &str| permit.try_address(address.parse().unwrap(), false);
    let _two_of_a_network = ["2600::1", "2600::ffff:0:0:2"].map(|address| acquire(address).ok().unwrap());
    assert_eq!(acquire("2600::3").err(), Some(Refusal::Full));
    let _another_network = acquire("2600:0:0:1::1").ok().unwrap();
    let _two_of_one_address = ["192.0.2.1", "::ffff:192.0.2.1"].map(|address| acquire(address).ok().unwrap());
    assert_eq!(acquire("192.0.2.1").err(), Some(Refusal::Full));
    let _another_address = acquire("192.0.2.2").ok().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_health_of_an_address_is_not_that_of_its_network() {
    let receivers = receivers(100, 100);
    let permit = receivers.admit(&url("a")).ok().unwrap();
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    for _ in 0..5 {
        permit.try_address(address("2600::1"), false).ok().unwrap().record_unconnected();
    }
    assert!(matches!(permit.try_address(address("2600::1"), false), Err(Refusal::Unavailable(_))));
    assert!(permit.try_address(address("2600::2"), false).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_made_is_followed_by_another_at_once() {
    let receivers = receivers(100, 100);
    fail(&receivers, "bad");
    let other = receivers.admit(&url("other")).ok().unwrap();
    for _ in 0..5 {
        other.try_address(address(1), false).ok().unwrap().record_unconnected();
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    // The first connection after the backoff is the probe of the address, so the probe of the host finds no other.
    let connection = other.try_address(address(1), false).ok().unwrap();
    let probe = receivers.admit(&url("bad")).ok().unwrap();
    assert!(matches!(probe.try_address(address(1), false), Err(Refusal::Unavailable(_))));
    drop(probe);
    let probe = receivers.admit(&url("bad")).ok().unwrap();
    drop(connection);
    assert!(probe.try_address(address(1), false).is_ok());
}

#[test]
fn a_refusal_leaves_a_host_proven_and_silence_does_not() {
    let receivers = receivers(100, 4);
    let key = ReceiverKey::Host(CallbackScheme::Http, "a".into(), 80);
    for (response, expected) in [
        (ReceiverResponse::Refused, false),
        (ReceiverResponse::Accepted, true),
        (ReceiverResponse::Refused, true),
        (ReceiverResponse::Missing, false),
    ] {
        receivers.record(&key, response);
        assert_eq!(receivers.shared.state.lock().is_proven(&key, receivers.now()), expected, "{response:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_all_slots_is_kept_for_proven_hosts() {
    let receivers = receivers(4, 4);
    let acquire = |host: &str| {
        let mut permit = receivers.admit(&url(host))?;
        permit.acquire_slot().map(|()| permit)
    };
    receivers.admit(&url("proven")).ok().unwrap().record(ReceiverResponse::Accepted);
    let others: Vec<_> = (0..4).filter_map(|n| acquire(&format!("host{n}")).ok()).collect();
    assert_eq!(others.len(), 3);
    assert!(acquire("proven").is_ok());
    // Attempts that were admitted before the slots filled up get none of the reserve either.
    drop(others);
    let mut admitted: Vec<_> =
        (0..4).map(|n| receivers.admit(&url(&format!("host{n}"))).ok().unwrap()).collect();
    let occupied = admitted.iter_mut().filter_map(|permit| permit.acquire_slot().ok()).count();
    assert_eq!(occupied, 3);
    tokio::time::advance(PROVEN_DURATION).await;
    assert_eq!(acquire("proven").err(), Some(Refusal::Full));
}

#[tokio::test(start_paused = true)]
async fn a_success_contradicts_other_workers_and_their_success_is_shared() {
    let (one, other) = (receivers(100, 100), receivers(100, 100));
    fail(&one, "bad.example");
    let stored = one.take_changes().unavailable;
    // A worker that reached the receiver just now ignores the report, and has it removed.
    other.admit(&url("bad.example")).ok().unwrap().record(ReceiverResponse::Accepted);
    other.join(&stored);
    assert!(other.admit(&url("bad.example")).is_ok());
    assert_eq!(other.take_changes().available, ["http bad.example 80"]);
    // The worker that reported it learns so from the store.
    one.join(&stored);
    assert!(matches!(one.admit(&url("bad.example")), Err(Refusal::Unavailable(_))));
    one.join(&[]);
    assert!(one.admit(&url("bad.example")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_host_is_called_only_by_probes() {
    let receivers = receivers(100, 100);
    fail(&receivers, "bad");
    assert!(receivers.admit(&url("bad:81")).is_ok(), "another port is another receiver");
    tokio::time::advance(Duration::from_secs(2)).await;
    let mut probe = receivers.admit(&url("bad")).ok().unwrap();
    assert!(matches!(receivers.admit(&url("bad")), Err(Refusal::Unavailable(_))));
    probe.record(ReceiverResponse::Accepted);
    assert!(receivers.admit(&url("bad")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_address_is_called_for_proven_hosts_only() {
    let receivers = receivers(100, 100);
    let mut proven = receivers.admit(&url("proven")).ok().unwrap();
    proven.record(ReceiverResponse::Accepted);
    let other = receivers.admit(&url("other")).ok().unwrap();
    for _ in 0..5 {
        other.try_address(address(1), false).ok().unwrap().record_unconnected();
    }
    assert!(matches!(other.try_address(address(1), false), Err(Refusal::Unavailable(_))));
    assert!(other.try_address(address(2), false).is_ok());
    assert!(proven.try_address(address(1), false).is_ok());
    tokio::time::advance(Duration::from_secs(2)).await;
    other.try_address(address(1), false).ok().unwrap().record_connected();
    assert!(other.try_address(address(1), false).is_ok());
}

#[tokio::test(start_paused = true)]
async fn changes_of_availability_are_taken_once_and_joined_by_others() {
    let (one, other) = (receivers(100, 100), receivers(100, 100));
    fail(&one, "bad.example:81");
    let changes = one.take_changes();
    assert_eq!(changes.unavailable.len(), 1);
    assert!(one.take_changes().unavailable.is_empty());
    one.restore_changes(changes);
    let changes = one.take_changes();
    other.join(&changes.unavailable);
    assert!(matches!(other.admit(&url("bad.example:81")), Err(Refusal::Unavailable(_))));
    assert!(other.take_changes().unavailable.is_empty(), "what others reported need not be stored again");

    tokio::time::advance(Duration::from_secs(2)).await;
    other.admit(&url("bad.example:81")).ok().unwrap().record(ReceiverResponse::Accepted);
    let changes = other.take_changes();
    assert_eq!(changes.available, ["http bad.example 81"]);
    assert_eq!(changes.available_hosts, ["bad.example".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_host_waits_until_a_claim_finds_nothing_for_it() {
    let receivers = receivers(100, 1);
    receivers.note_waiting("a");
    receivers.note_waiting("b");
    let _full = receivers.admit(&url("b")).ok().unwrap();
    receivers.note_claimed(&HashSet::from(["a"]));
    assert!(receivers.is_waiting("a") && receivers.is_waiting("b"), "b had no free slot");
    receivers.note_claimed(&HashSet::new());
    assert!(!receivers.is_waiting("a") && receivers.is_waiting("b"));
    tokio::time::advance(WAITING_DURATION).await;
    assert!(!receivers.is_waiting("b"), "claims that always find others do not delay a host for long");
}

#[test]
fn a_client_that_names_other_ports_of_a_proven_receiver_leaves_it_slots() {
    let receivers = receivers(100, 4);
    receivers.admit(&url("client.example")).ok().unwrap().record(ReceiverResponse::Accepted);
    let foreign: Vec<_> =
        (1..=4).filter_map(|port| receivers.admit(&url(&format!("client.example:{port}"))).ok()).collect();
    assert_eq!(foreign.len(), 3);
    assert!(receivers.admit(&url("client.example")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn strangers_do_not_displace_proven_hosts() {
    let receivers = receivers(100, 100);
    receivers.admit(&url("proven")).ok().unwrap().record(ReceiverResponse::Accepted);
    for round in 0..3 {
        tokio::time::advance(PRUNE_INTERVAL).await;
        for n in 0..MAX_RECEIVERS {
            let url = url(&format!("stranger{n}.round{round}.example"));
            for _ in 0..5 {
                let key = ReceiverKey::Host(url.scheme(), url.host_str().into(), 80);
                receivers.record(&key, ReceiverResponse::Missing);
            }
        }
    }
    {
        let state = receivers.shared.state.lock();
        let proven = ReceiverKey::Host(CallbackScheme::Http, "proven".into(), 80);
        assert!(state.is_proven(&proven, receivers.now()));
        assert!(state.health.len() <= MAX_RECEIVERS);
    }
    // What has expired is removed without want of room.
    tokio::time::advance(Duration::from_hours(1)).await;
    let _ = receivers.take_changes();
    assert_eq!(receivers.shared.state.lock().health.len(), 0);
}

#[test]
fn the_health_of_a_limited_number_of_receivers_is_kept() {
    let receivers = receivers(1, 1);
    for n in 0..=MAX_RECEIVERS {
        receivers.admit(&url(&format!("host{n}.example"))).ok().unwrap().record(ReceiverResponse::Refused);
    }
    assert!(receivers.shared.state.lock().health.len() <= MAX_RECEIVERS);
}

#[test]
fn names_in_the_store_are_read_again() {
    for key in [
        ReceiverKey::Host(CallbackScheme::Https, "a.example".into(), 443),
        ReceiverKey::Host(CallbackScheme::Http, "[2600::1]".into(), 80),
        ReceiverKey::Address(address(1), 80),
        ReceiverKey::Address("2600::".parse().unwrap(), 80),
    ] {
        assert_eq!(ReceiverKey::parse(&key.name()), Some(key));
    }
    for name in ["", "http", "http a", "http a x", "other a 1", "address a 1"] {
        assert_eq!(ReceiverKey::parse(name), None);
    }
}

#[test]
fn connections_side_by_side_are_limited_in_all() {
    let receivers = receivers(2, 2);
    let permit = receivers.admit(&url("a")).ok().unwrap();
    let mut slots: Vec<_> =
        (1..=4).map(|last| permit.try_address(address(last), true).ok().unwrap()).collect();
    assert_eq!(permit.try_address(address(5), true).err(), Some(Refusal::Full));
    assert!(permit.try_address(address(5), false).is_ok(), "the first connection of an attempt");
    slots.pop();
    assert!(permit.try_address(address(5), true).is_ok());
}
