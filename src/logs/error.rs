//! nginx's error log: what happened, and to which request.

use std::net::SocketAddr;

use jiff::civil::DateTime;

use super::model::LoggedError;

/// What the texts of nginx mean: a part of the message, and the kinds of findings that it may belong to.
const MEANINGS: [(&str, &[&str]); 23] = [
    (BROKEN_HEADER, &["proxy-protocol-mismatch"]),
    ("upstream prematurely closed connection while reading response header", CLOSED),
    ("recv() failed (104: Connection reset by peer) while reading response header", CLOSED),
    ("upstream prematurely closed connection while reading upstream", &["truncated-response"]),
    (
        "readv() failed (104: Connection reset by peer) while reading upstream",
        &["truncated-response", "early-response"],
    ),
    ("while SSL handshaking to upstream", &["tls-plain-mismatch", "tls-handshake-failed"]),
    (
        "upstream timed out (110: Connection timed out) while connecting",
        &["connect-timeout", "accept-queue-overflow"],
    ),
    (
        "upstream timed out (110: Connection timed out) while sending request",
        &["send-stall", "mtu-black-hole"],
    ),
    (
        "upstream timed out (110: Connection timed out)",
        &["response-timeout", "worker-exhaustion", "rejected-reused-request"],
    ),
    ("connect() failed (111", &["connection-refused", "host-unreachable"]),
    ("connect() ", &["host-unreachable"]),
    ("no live upstreams", &["no-live-upstream"]),
    ("upstream sent too big header", &["response-header-too-large"]),
    ("upstream sent more data than specified", &["extra-response-bytes"]),
    ("upstream sent no valid HTTP/1.0 header", &["not-http", "tls-plain-mismatch", "http2-mismatch"]),
    ("upstream sent unexpected FastCGI record: 3", &["fastcgi-refused", "fastcgi-no-output"]),
    ("upstream sent \"Content-Length\" and \"Transfer-Encoding\"", &["conflicting-framing"]),
    ("upstream sent invalid header", &["invalid-header"]),
    ("upstream sent invalid chunked response", &["truncated-response"]),
    ("client intended to send too large body", &["request-too-large"]),
    ("client timed out", &["request-timeout"]),
    ("client prematurely closed connection", &["client-abort", "half-close", "worker-exhaustion"]),
    ("client sent too long", &["request-header-too-large"]),
];

/// How nginx begins a line about a connection that had to begin with a PROXY header. What it got instead follows, line
/// feeds and all.
const BROKEN_HEADER: &str = "broken header";

const CLOSED: &[&str] = &[
    "rejected-reused-request",
    "closed-before-response",
    "continue-stall",
    "request-header-too-large",
    "truncated-response",
];

impl LoggedError {
    /// The kinds of findings that this line may belong to.
    pub fn kinds(&self) -> &'static [&'static str] {
        if self.message.starts_with("writev() failed") {
            return &["early-response", "rejected-reused-request"];
        }
        if self.message.starts_with("client sent ") && !self.message.contains("too long") {
            return &["bad-request", "proxy-protocol-mismatch", "http2-mismatch"];
        }
        MEANINGS.iter().find(|(text, _)| self.message.contains(text)).map_or(&[], |(_, kinds)| kinds)
    }

    /// Whether a PROXY header was missing.
    pub(crate) fn is_broken_header(&self) -> bool {
        self.message.starts_with(BROKEN_HEADER)
    }

    /// What it is, without the figures and names that differ from line to line.
    pub fn class(&self) -> &str {
        let known = MEANINGS.iter().find(|(text, _)| self.message.contains(text) && text.len() > 12);
        known.map_or_else(
            || self.message.split([':', '"']).next().unwrap_or_default().trim(),
            |(text, _)| text,
        )
    }
}

/// `2026/11/25 14:35:00 [error] 1#2: *3 what happened, client: …, request: "GET / HTTP/1.1", upstream: "…"`.
pub(super) fn read(line: &str) -> Option<LoggedError> {
    let (stamp, rest) = (line.get(..19)?, line.get(19..)?);
    let when = DateTime::strptime("%Y/%m/%d %H:%M:%S", stamp).ok()?;
    let (level, rest) = rest.trim_start().strip_prefix('[')?.split_once(']')?;
    let (_, rest) = rest.split_once(": ")?;
    let rest = match rest.strip_prefix('*') {
        Some(numbered) => numbered.split_once(' ').map_or(rest, |(_, rest)| rest),
        None => rest,
    };
    let message = rest.split(", client: ").next().unwrap_or(rest);
    let quoted = |name: &str| {
        let (_, value) = rest.split_once(name)?;
        value.split('"').next()
    };
    let asked = quoted(", request: \"")
        .or_else(|| message.strip_prefix(BROKEN_HEADER)?.strip_prefix(": \"")?.lines().next());
    let request = asked.and_then(|request| {
        let (method, rest) = request.split_once(' ')?;
        let target = rest.rsplit_once(" HTTP/").map_or(rest, |(target, _)| target);
        Some((method.into(), target.into()))
    });
    let upstream = quoted(", upstream: \"").and_then(|url| {
        let address = url.split_once("://").map_or(url, |(_, rest)| rest);
        address.split('/').next().unwrap_or_default().parse::<SocketAddr>().ok()
    });
    Some(LoggedError {
        line: 0,
        local_s: jiff::tz::TimeZone::UTC.to_timestamp(when).ok()?.as_second(),
        level: level.into(),
        message: message.into(),
        request,
        upstream,
        text: "".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_happened_to_which_request_and_where() {
        let line = "2026/11/25 14:35:00 [error] 28366#28366: *12 upstream prematurely closed connection while reading \
            response header from upstream, client: 10.0.0.1, server: shop, request: \"GET /a?b HTTP/1.1\", upstream: \
            \"http://10.0.1.1:8000/a?b\", host: \"shop\"";
        let error = read(line).unwrap();
        assert_eq!(error.local_s, 1_795_617_300);
        assert_eq!(error.request, Some(("GET".into(), "/a?b".into())));
        assert_eq!(error.upstream, "10.0.1.1:8000".parse().ok());
        assert!(error.kinds().contains(&"closed-before-response"));
        assert_eq!(read("2026/11/25 nonsense"), None);
        let line = "2026/11/25 14:35:00 [error] 6#6: *2 broken header: \"GET /p0 HTTP/1.1";
        let error = read(line).unwrap();
        assert_eq!(
            (error.request.clone(), error.is_broken_header()),
            (Some(("GET".into(), "/p0".into())), true)
        );
        assert_eq!((error.kinds(), error.class()), (&["proxy-protocol-mismatch"][..], "broken header"));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_fail(line in "\\PC{0,200}") {
            let _ = read(&line);
            let _ = read(&format!("2026/11/25 14:35:00 [error] 1#1: *1 {line}")).map(|e| e.class().len());
        }
    }
}
