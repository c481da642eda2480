//! The grammar: `scheme "://" host [":" port] [path] ["?" query]` of RFC 3986, narrowed where readers differ.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::CallbackUrlError;
use crate::charset::CharSet;
use crate::request_id::unhex;

/// `pchar` of RFC 3986 section 3.3 and the slash.
const PATH: CharSet = CharSet::alphanumeric_and(b"-._~!$&'()*+,;=:@/%");
/// `query` of RFC 3986 section 3.4 without the apostrophe, which URL readers of the web percent-encode.
const QUERY: CharSet = CharSet::alphanumeric_and(b"-._~!$&()*+,;=:@/?%");
const NAME: CharSet = CharSet::alphanumeric_and(b"-_");

/// Where the parts of a URL lie.
pub(super) struct Parts {
    pub(super) host: Range<usize>,
    /// Where path and query begin.
    pub(super) target: usize,
}

pub(super) fn split(text: &str) -> Result<Parts, CallbackUrlError> {
    let bytes = text.as_bytes();
    let start = scheme_len(bytes).ok_or(CallbackUrlError::Scheme)?;
    let rest = text.get(start..).ok_or(CallbackUrlError::Scheme)?;

    let end = rest.bytes().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or(CallbackUrlError::Host)?;
    if authority.contains('@') {
        return Err(CallbackUrlError::Credentials);
    }
    let host_len = host_len(authority)?;
    let (host, port) = authority.split_at_checked(host_len).ok_or(CallbackUrlError::Host)?;
    check_host(host)?;
    check_port(port)?;
    check_target(target)?;
    Ok(Parts { host: start..start + host_len, target: start + end })
}

fn scheme_len(text: &[u8]) -> Option<usize> {
    [&b"https://"[..], b"http://"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}

/// The length of the host in `host [":" port]`.
fn host_len(authority: &str) -> Result<usize, CallbackUrlError> {
    if authority.starts_with('[') {
        authority.find(']').map(|at| at + 1).ok_or(CallbackUrlError::Address)
    } else {
        Ok(authority.find(':').unwrap_or(authority.len()))
    }
}

fn check_host(host: &str) -> Result<(), CallbackUrlError> {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(CallbackUrlError::Address)?;
        return literal.parse::<Ipv6Addr>().map(drop).map_err(|_| CallbackUrlError::Address);
    }
    if host.is_empty() || host.len() > 253 {
        return Err(CallbackUrlError::Host);
    }
    // WHATWG URL section 3.5, "ends in a number": readers of the web take such a host for an IPv4 address in
    // one of its many spellings. Only the standard one is taken here.
    let last = host.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return host.parse::<Ipv4Addr>().map(drop).map_err(|_| CallbackUrlError::Address);
    }
    if host.split('.').all(is_label) { Ok(()) } else { Err(CallbackUrlError::Host) }
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// A label of RFC 1123 section 2.1, underscores allowed as resolvers allow them.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && NAME.contains_all(label.as_bytes())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_port(port: &str) -> Result<(), CallbackUrlError> {
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok(()) } else { Err(CallbackUrlError::Host) };
    };
    let standard = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if standard && digits.parse::<u16>().is_ok() { Ok(()) } else { Err(CallbackUrlError::Port) }
}

fn check_target(target: &str) -> Result<(), CallbackUrlError> {
    if target.contains('#') {
        return Err(CallbackUrlError::Fragment);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let percent = path.contains('%') || query.contains('%');
    let allowed = PATH.contains_all(path.as_bytes()) && QUERY.contains_all(query.as_bytes());
    if !allowed || (percent && !(escapes_are_whole(path) && escapes_are_whole(query))) {
        return Err(CallbackUrlError::Character);
    }
    // Readers of the web remove such segments, the percent-encoded ones too (WHATWG URL section 4.4).
    if path.contains(['.', '%']) && path.split('/').any(is_dot_segment) {
        return Err(CallbackUrlError::DotSegment);
    }
    Ok(())
}

fn escapes_are_whole(text: &str) -> bool {
    let mut after = text.split('%');
    after.next();
    after.all(|part| {
        let mut digits = part.bytes();
        digits.next().and_then(unhex).is_some() && digits.next().and_then(unhex).is_some()
    })
}

fn is_dot_segment(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while !rest.is_empty() {
        let tail =
            rest.strip_prefix('.').or_else(|| rest.strip_prefix("%2e")).or_else(|| rest.strip_prefix("%2E"));
        match tail {
            Some(tail) if dots < 2 => rest = tail,
            _ => return false,
        }
        dots += 1;
    }
    dots > 0
}
