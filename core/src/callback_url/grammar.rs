//! The grammar `scheme "://" host [":" port] [path] ["?" query]` of RFC 3986, narrowed where URL parsers disagree.

use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::CallbackUrlError;
use crate::charset::{AUTHORITY_END, CharSet, NAME, PATH, QUERY};
use crate::request_id::unhex;

/// Byte positions of the components of a URL.
pub(super) struct UrlSpans {
    pub(super) host: Range<usize>,
    /// Start of path and query.
    pub(super) target: usize,
}

pub(super) fn parse(text: &str) -> Result<UrlSpans, CallbackUrlError> {
    let start = scheme_len(text.as_bytes()).ok_or(CallbackUrlError::Scheme)?;
    let rest = text.get(start..).ok_or(CallbackUrlError::Scheme)?;
    let end = rest.bytes().position(|byte| AUTHORITY_END.contains(byte)).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or(CallbackUrlError::Host)?;
    let host_len = check_authority(authority).map_err(|error| {
        // Neither a host nor a port may contain an at sign, so the search only refines the error.
        if authority.contains('@') { CallbackUrlError::Credentials } else { error }
    })?;
    check_target(target)
        .map_err(|error| if target.contains('#') { CallbackUrlError::Fragment } else { error })?;
    Ok(UrlSpans { host: start..start + host_len, target: start + end })
}

fn scheme_len(text: &[u8]) -> Option<usize> {
    [&b"https://"[..], b"http://"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(scheme.len())
    })
}

/// Checks `host [":" port]` and returns the length of the host.
fn check_authority(authority: &str) -> Result<usize, CallbackUrlError> {
    let host_len = if authority.starts_with('[') {
        authority.find(']').map(|at| at + 1).ok_or(CallbackUrlError::Address)?
    } else {
        authority.bytes().position(|byte| byte == b':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(host_len).ok_or(CallbackUrlError::Host)?;
    check_host(host)?;
    check_port(port)?;
    Ok(host_len)
}

fn check_host(host: &str) -> Result<(), CallbackUrlError> {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(CallbackUrlError::Address)?;
        return literal.parse::<Ipv6Addr>().map(drop).map_err(|_| CallbackUrlError::Address);
    }
    if ends_in_number(host) {
        return host.parse::<Ipv4Addr>().map(drop).map_err(|_| CallbackUrlError::Address);
    }
    if is_name(host) { Ok(()) } else { Err(CallbackUrlError::Host) }
}

/// Returns `true` if `text` is a host that is not an address.
pub(crate) fn is_host_name(text: &str) -> bool {
    !ends_in_number(text) && is_name(text)
}

/// Returns `true` if the last label of `host` is a number: browsers parse such a host as an IPv4 address in one of its many
/// notations (WHATWG URL section 3.5). Only the standard one is accepted here.
fn ends_in_number(host: &str) -> bool {
    let last = host.bytes().rposition(|byte| byte == b'.').map_or(0, |at| at + 1);
    is_number(host.get(last..).unwrap_or_default())
}

/// Returns `true` for an IPv6 address in the one form of RFC 5952 section 4, in any case. An IPv4-mapped address is not in
/// it: it is an IPv4 address, whose standard form is the dotted one.
///
/// Reads the form instead of formatting the address, which would add 5 KB to each component that parses callback URLs.
pub(super) fn is_standard_v6(literal: &str) -> bool {
    let Ok(address) = literal.parse::<Ipv6Addr>() else { return false };
    let omitted = longest_zeros(address.segments());
    let mut rest = literal.bytes();
    let mut is_standard = address.to_ipv4_mapped().is_none();
    for (at, segment) in address.segments().into_iter().enumerate() {
        if omitted.contains(&at) {
            // The second colon precedes the next group, or ends the text.
            is_standard &= at > omitted.start || rest.next() == Some(b':');
            is_standard &= at < 7 || rest.next() == Some(b':');
            continue;
        }
        is_standard &= at == 0 || rest.next() == Some(b':');
        for shift in [12, 8, 4, 0] {
            let digits = segment >> shift;
            if digits > 0 || shift == 0 {
                is_standard &= rest.next().and_then(unhex).map(u16::from) == Some(digits & 0xf);
            }
        }
    }
    is_standard && rest.next().is_none()
}

/// Returns the positions of the longest run of at least two zeros, the first of several.
fn longest_zeros(segments: [u16; 8]) -> Range<usize> {
    let mut longest = 0..0;
    let mut run = 0..0;
    for (at, segment) in segments.into_iter().enumerate() {
        run = if segment == 0 { run.start..at + 1 } else { at + 1..at + 1 };
        if run.len() > longest.len().max(1) {
            longest = run.clone();
        }
    }
    longest
}

fn is_number(label: &str) -> bool {
    match label.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// Returns `true` if `host` consists of labels of RFC 1123 section 2.1. Underscores are allowed, as in resolvers.
fn is_name(host: &str) -> bool {
    if host.len() > 253 {
        return false;
    }
    let mut length = 0;
    let mut previous = b'.';
    for byte in host.as_bytes() {
        if *byte == b'.' {
            if matches!(previous, b'.' | b'-') {
                return false;
            }
            length = 0;
        } else {
            length += 1;
            if !NAME.contains(*byte) || (previous == b'.' && *byte == b'-') || length > 63 {
                return false;
            }
        }
        previous = *byte;
    }
    !matches!(previous, b'.' | b'-')
}

fn check_port(port: &str) -> Result<(), CallbackUrlError> {
    let Some(digits) = port.strip_prefix(':') else {
        return if port.is_empty() { Ok(()) } else { Err(CallbackUrlError::Host) };
    };
    let standard = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if standard && digits.parse::<u16>().is_ok() { Ok(()) } else { Err(CallbackUrlError::Port) }
}

fn check_target(target: &str) -> Result<(), CallbackUrlError> {
    let path_len = target.bytes().position(|byte| byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(path_len).unwrap_or((target, ""));
    if !(is_escaped(path, PATH) && is_escaped(query, QUERY)) {
        return Err(CallbackUrlError::Character);
    }
    // WHATWG URL parsers remove such segments, also percent-encoded ones (section 4.4).
    let suspect = path.as_bytes().windows(2).any(|pair| matches!(pair, [b'/', b'.' | b'%']));
    if suspect && path.split('/').any(is_dot_segment) {
        return Err(CallbackUrlError::DotSegment);
    }
    Ok(())
}

/// Returns `true` if `text` consists of characters of `set` and complete percent-encodings.
fn is_escaped(text: &str, set: CharSet) -> bool {
    if set.contains_all(text.as_bytes()) {
        return true;
    }
    let mut parts = text.split('%');
    parts.next().is_some_and(|plain| set.contains_all(plain.as_bytes()))
        && parts.all(|part| match part.as_bytes() {
            [first, second, plain @ ..] => {
                unhex(*first).is_some() && unhex(*second).is_some() && set.contains_all(plain)
            }
            _ => false,
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
