//! References by RFC 3986, as far as Redfish uses them: paths, and `http` addresses of a controller.

use std::fmt::Write as _;

/// Whether a text is a reference that every reader takes: a path (with query and fragment), or a host and a path.
pub(super) fn is_reference(text: &str) -> bool {
    let (address, fragment) = text
        .split_once('#')
        .map_or((text, ""), |(address, fragment)| (address, fragment));
    let path = match address.split_once("://") {
        Some(("http" | "https", rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (host, path) = rest.split_at(end);
            if !is_host(host) {
                return false;
            }
            path
        }
        _ if address.starts_with("//") || first_segment(address).contains(':') => return false,
        _ => address,
    };
    is_made_of(path, b"/?") && is_made_of(fragment, b"/?")
}

/// The text with everything percent-encoded that makes it no reference.
pub(in super::super) fn encoded(text: &str) -> String {
    let mut reference = String::with_capacity(text.len());
    let mut fragment = false;
    for (at, byte) in text.bytes().enumerate() {
        let escape = byte == b'%' && is_escape(text.as_bytes(), at);
        let first_mark = byte == b'#' && !fragment;
        fragment |= first_mark;
        if escape || first_mark || byte != b':' && is_plain(byte, b"/?") {
            reference.push(char::from(byte));
        } else {
            let _infallible = write!(reference, "%{byte:02X}");
        }
    }
    let slashes = reference.len() - reference.trim_start_matches('/').len();
    if slashes > 1 {
        reference.drain(1..slashes);
    }
    reference
}

fn first_segment(path: &str) -> &str {
    let end = path.find(['/', '?']).unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

/// A name or an IPv4 address with a port or without; IPv6 in brackets.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_known = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && is_name(name),
    };
    is_known && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_made_of(text: &str, also: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| is_plain(*byte, also) || *byte == b'%' && is_escape(bytes, at))
}

fn is_escape(bytes: &[u8], at: usize) -> bool {
    let digits = bytes.get(at + 1..at + 3);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// `pchar` of RFC 3986 without the percent sign, or one of those allowed beside.
fn is_plain(byte: u8, also: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) || also.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_known_and_others_are_made_into_one() {
        for text in [
            "/redfish/v1/Systems/1",
            "/redfish/v1/Chassis/1/Power#/Fans/0",
            "https://192.0.2.1:8443/redfish/v1/?a=b",
            "https://[2001:db8::1]/redfish/v1",
            "a/b:c",
            "",
            "/a%20b",
        ] {
            assert!(is_reference(text), "{text}");
        }
        for (text, expected) in [
            ("/redfish/v1/My System", "/redfish/v1/My%20System"),
            ("//host/path", "/host/path"),
            ("Fan 1: front", "Fan%201%3A%20front"),
            ("/a#b#c", "/a#b%23c"),
            ("/100%", "/100%25"),
            ("/Größe", "/Gr%C3%B6%C3%9Fe"),
            ("https://[zz]/", "https%3A//%5Bzz%5D/"),
            ("/a[0]", "/a%5B0%5D"),
        ] {
            assert!(!is_reference(text), "{text}");
            assert_eq!(encoded(text), expected);
            assert!(is_reference(expected), "{expected}");
        }
    }
}
