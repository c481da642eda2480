//! A DNS server with answers by name.

use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The answer for a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DnsAnswer {
    /// One IPv4 address, valid for a minute.
    Address([u8; 4]),
    /// `NXDOMAIN`.
    NoName,
    /// `SERVFAIL`.
    Failure,
    /// One IPv4 address, and silence about IPv6.
    AddressOnly([u8; 4]),
    /// None.
    Silence,
}

/// A DNS server on a free UDP port; it stops when dropped.
pub(crate) struct DnsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl DnsServer {
    /// Starts a server that answers as `answer` says for a name in lower case, without a trailing dot.
    pub(crate) async fn start(answer: impl Fn(&str) -> DnsAnswer + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(response) = respond(&query[..length], &answer) {
                    let _ = socket.send_to(&response, from).await;
                }
            }
        });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Builds the response to a query with one question (RFC 1035 section 4).
fn respond(query: &[u8], answer: impl Fn(&str) -> DnsAnswer) -> Option<Vec<u8>> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8(query[at + 1..end].to_vec()).unwrap().to_ascii_lowercase());
        at = end;
    }
    let question = &query[12..at + 5];
    let is_a = query[at + 1..at + 3] == [0, 1];
    let answer = answer(&labels.join("."));
    let code = match answer {
        DnsAnswer::AddressOnly(_) if !is_a => return None,
        DnsAnswer::Address(_) | DnsAnswer::AddressOnly(_) => 0,
        DnsAnswer::NoName => 3,
        DnsAnswer::Failure => 2,
        DnsAnswer::Silence => return None,
    };
    let address = match answer {
        DnsAnswer::Address(address) | DnsAnswer::AddressOnly(address) if is_a => Some(address),
        _ => None,
    };
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    response.extend(question);
    if let Some(address) = address {
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        response.extend(address);
    }
    Some(response)
}
