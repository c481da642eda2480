extern crate std;

use std::collections::HashMap;
use std::format;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_flood_of_one_host_delays_another_by_one_turn() {
    let mut queue = AclQueue::new();
    for n in 0..1000 {
        queue.push("flood.example", ms(n), "flood");
    }
    queue.push("quiet.example", ms(1000), "quiet");
    let order: Vec<_> = core::iter::from_fn(|| queue.pop(ms(1000))).take(2).collect();
    assert!(order.contains(&"quiet"), "{order:?}");
}

#[test]
fn the_oldest_is_first_until_the_target_is_exceeded() {
    for (wait, first) in [(99, "old"), (100, "old"), (101, "new")] {
        let mut queue = AclQueue::new();
        queue.push("a.example", ms(0), "old");
        queue.push("a.example", ms(50), "new");
        assert_eq!(queue.pop(ms(wait)), Some(first), "{wait}");
    }
}

#[test]
fn a_repeated_request_keeps_its_age() {
    let mut queue = AclQueue::new();
    queue.push("a.example", ms(900), "new");
    queue.push("a.example", ms(0), "repeated");
    assert_eq!(queue.pop(ms(1000)), Some("new"));
}

#[derive(Clone, Debug)]
enum Operation {
    Push { host: u8, since: u64 },
    Remove { index: usize },
    Pop { after: u64 },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0..4_u8, 0..500_u64).prop_map(|(host, since)| Operation::Push { host, since }),
        any::<usize>().prop_map(|index| Operation::Remove { index }),
        (0..500_u64).prop_map(|after| Operation::Pop { after }),
    ]
}

proptest! {
    /// Each request leaves exactly once, hosts take turns, and a popped request is the oldest or the newest of its host.
    #[test]
    fn every_order_of_operations_keeps_the_rules(operations in prop::collection::vec(operation(), 0..200)) {
        let mut queue = AclQueue::new();
        let mut waiting: HashMap<usize, (u8, u64, AclTicket)> = HashMap::new();
        let mut passed_over: HashMap<u8, usize> = HashMap::new();
        for (number, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Push { host, since } => {
                    let ticket = queue.push(&format!("host-{host}"), ms(since), number);
                    waiting.insert(number, (host, since, ticket));
                }
                Operation::Remove { index } => {
                    let Some(number) = waiting.keys().copied().nth(index % waiting.len().max(1)) else { continue };
                    let (_, _, ticket) = waiting.remove(&number).unwrap();
                    prop_assert_eq!(queue.remove(&ticket), Some(number));
                    prop_assert_eq!(queue.remove(&ticket), None);
                    passed_over.retain(|host, _| waiting.values().any(|entry| entry.0 == *host));
                }
                Operation::Pop { after } => {
                    let hosts: Vec<u8> = waiting.values().map(|(host, ..)| *host).collect();
                    let popped = queue.pop(ms(after));
                    prop_assert_eq!(popped.is_some(), !waiting.is_empty());
                    let Some(popped) = popped else { continue };
                    let (host, since, _) = waiting.remove(&popped).unwrap();
                    let rest = || waiting.values().filter(|entry| entry.0 == host).map(|entry| entry.1);
                    prop_assert!(rest().all(|other| other >= since) || rest().all(|other| other <= since));
                    passed_over.remove(&host);
                    for other in hosts.into_iter().filter(|other| *other != host).collect::<std::collections::HashSet<_>>() {
                        let times = passed_over.entry(other).or_default();
                        *times += 1;
                        prop_assert!(*times <= 3, "host {} was passed over {} times", other, times);
                    }
                    passed_over.retain(|host, _| waiting.values().any(|entry| entry.0 == *host));
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert_eq!(queue.is_empty(), waiting.is_empty());
        }
    }
}
