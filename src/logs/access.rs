//! Access logs whose format is not told: the fields of a line are known by what they look like.
//!
//! nginx and ingress-nginx put the request between quotes, the status behind it, and lists with one entry an
//! attempt, `, ` between them (`: ` or ` : ` where an internal redirect came between).

use std::net::SocketAddr;

use jiff::Timestamp;
use jiff::fmt::strtime;
use serde_json::Value;

use super::model::{LoggedAttempt, LoggedRequest};

/// Most attempts kept of one request.
const MAX_ATTEMPTS: usize = 64;

/// The request of a line; `None` when it looks like none.
pub(super) fn read(line: &str) -> Option<LoggedRequest> {
    if line.starts_with('{') {
        return json(line);
    }
    let tokens = tokens(line);
    let at = tokens.iter().position(|token| token.quoted && request_line(token.value).is_some())?;
    let mut request = LoggedRequest::default();
    set(&mut request, "request", tokens[at].value);
    let status = tokens[at + 1..].iter().position(|token| status(token.value).is_some())? + at + 1;
    set(&mut request, "status", tokens[status].value);
    if let Some(bytes) = tokens.get(status + 1) {
        set(&mut request, "body_bytes_sent", bytes.value);
    }
    request.at_ns = tokens[..at].iter().find_map(|token| time(token.value));
    let behind = &tokens[status + 1..];
    if let Some(first) = behind.iter().position(|token| is_address_list(token.value)) {
        set(&mut request, "upstream_addr", behind[first].value);
        let count = request.attempts.len();
        let is_statuses = |token: &&Token<'_>| {
            let list = list(token.value);
            list.len() == count && list.iter().all(|item| *item == "-" || status_like(item))
        };
        let told = |token: &&Token<'_>| is_statuses(token) && list(token.value).into_iter().any(status_like);
        // Lengths may look like statuses; the statuses come last of the four lists. A lone dash is any empty field, and
        // many formats end with one.
        let behind = || behind[first + 1..].iter();
        if let Some(statuses) = behind().rfind(told).or_else(|| behind().rfind(is_statuses)) {
            set(&mut request, "upstream_status", statuses.value);
        }
    }
    let id = tokens.iter().rfind(|token| is_id(token.key, token.value));
    request.id = id.map_or("", |token| token.value).into();
    Some(request)
}

/// A part of a line: bare, in quotes or in brackets; with a key where it is written `key=value`.
pub(super) struct Token<'a> {
    key: &'a str,
    pub(super) value: &'a str,
    pub(super) quoted: bool,
}

pub(super) fn tokens(line: &str) -> Vec<Token<'_>> {
    let mut all = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, body) = key(rest);
        let (value, used, quoted) = match body.as_bytes().first() {
            Some(b'"') => {
                let end = closing_quote(&body[1..]);
                (&body[1..1 + end], (end + 2).min(body.len()), true)
            }
            Some(b'[') if key.is_empty() => {
                let end = body.find(']').unwrap_or(body.len());
                (&body[1..end], (end + 1).min(body.len()), false)
            }
            _ => {
                let end = bare_end(body);
                (&body[..end], end, false)
            }
        };
        all.push(Token { key, value, quoted });
        rest = body[used..].trim_start();
    }
    all
}

/// `key=` at the start, and what follows it.
fn key(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(text.len());
    match text[end..].strip_prefix('=') {
        Some(rest) if end > 0 && !rest.is_empty() => (&text[..end], rest),
        _ => ("", text),
    }
}

/// Where the quote ends; a backslash keeps the next byte from ending it.
fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return at,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// Where a bare field ends: at a blank, unless a comma or a colon says that a list goes on.
fn bare_end(text: &str) -> usize {
    let mut from = 0;
    loop {
        let Some(blank) = text[from..].find(' ').map(|at| at + from) else { return text.len() };
        if text[..blank].ends_with(',') {
            from = blank + 1;
        } else if text[blank..].starts_with(" : ") {
            from = blank + 3;
        } else {
            return blank;
        }
    }
}

/// `GET /target HTTP/1.1`: method and target.
fn request_line(text: &str) -> Option<(&str, &str)> {
    let (method, rest) = text.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let token = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    (token && version.starts_with("HTTP/")).then_some((method, target))
}

fn status_like(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit())
}

fn status(text: &str) -> Option<u16> {
    if status_like(text) { text.parse().ok() } else { None }
}

fn list(text: &str) -> Vec<&str> {
    // An internal redirect puts ` : ` between lists, and an address holds a colon of its own.
    text.split(", ")
        .flat_map(|part| part.split(" : "))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok() || text.starts_with("unix:")
}

fn is_address_list(text: &str) -> bool {
    let list = list(text);
    !list.is_empty() && list.iter().all(|item| is_address(item))
}

fn is_id(key: &str, value: &str) -> bool {
    let named = matches!(key, "id" | "request_id" | "req_id" | "rid" | "x_request_id");
    let hex = value.len() >= 16 && value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    value.len() <= 128 && (named && value.len() >= 4 || hex && value.bytes().any(|b| b != b'-'))
}

/// A point in time in the forms that logs use, as nanoseconds since the Unix epoch.
fn time(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if digits && text.len() >= 10 {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let unit = match (whole.len(), part.len()) {
            (10, 0..=9) => 1_000_000_000,
            (13, 0) => 1_000_000,
            (16, 0) => 1_000,
            _ => return None,
        };
        let part_ns = if part.is_empty() { 0 } else { format!("{part:0<9}").parse::<i64>().ok()? };
        return whole.parse::<i64>().ok()?.checked_mul(unit)?.checked_add(part_ns);
    }
    // `25/Nov/2026:14:35:00 +0000` (nginx), and ISO 8601.
    let local =
        strtime::parse("%d/%b/%Y:%H:%M:%S %z", text).ok().and_then(|parsed| parsed.to_timestamp().ok());
    let stamp = local.or_else(|| text.parse::<Timestamp>().ok())?;
    i64::try_from(stamp.as_nanosecond()).ok()
}

/// Sets what a variable of nginx, or a field of a JSON log, says.
pub(super) fn set(request: &mut LoggedRequest, name: &str, value: &str) {
    match name {
        "request" => {
            if let Some((method, target)) = request_line(value) {
                (request.method, request.target) = (method.into(), target.into());
            }
        }
        "request_method" | "method" => request.method = value.into(),
        "request_uri" | "uri" | "path" if request.target.is_empty() => request.target = value.into(),
        "status" => request.status = status(value).unwrap_or(0),
        "body_bytes_sent" | "bytes_sent" => request.bytes = request.bytes.or_else(|| value.parse().ok()),
        "time_local" | "time_iso8601" | "msec" | "time" | "timestamp" | "@timestamp" => {
            request.at_ns = request.at_ns.or_else(|| time(value));
        }
        "upstream_addr" => attempts(request, value, |attempt, text| attempt.address = text.into()),
        "upstream_status" => attempts(request, value, |attempt, text| attempt.status = status(text)),
        "request_id" | "req_id" | "http_x_request_id" | "x_request_id" if value != "-" => {
            request.id = value.into();
        }
        _ => {}
    }
}

/// Gives each attempt its entry of a list; `-` alone stands for no attempt.
fn attempts(request: &mut LoggedRequest, value: &str, set: impl Fn(&mut LoggedAttempt, &str)) {
    let list = list(value);
    if list.len() <= 1 && matches!(list.first(), None | Some(&"-")) && request.attempts.is_empty() {
        return;
    }
    for (at, text) in list.into_iter().take(MAX_ATTEMPTS).enumerate() {
        if request.attempts.len() <= at {
            request.attempts.push(LoggedAttempt::default());
        }
        set(&mut request.attempts[at], text);
    }
}

/// A line that is a JSON object, its fields named as nginx names its variables.
fn json(line: &str) -> Option<LoggedRequest> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return None };
    let mut request = LoggedRequest::default();
    for (name, value) in &fields {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        set(&mut request, name.trim_start_matches('$'), &text);
    }
    (request.status > 0 && !request.method.is_empty()).then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_formats_of_nginx_and_ingress_nginx_are_known_by_their_fields() {
        let plain = r#"10.0.0.1 - - [25/Nov/2026:14:35:00 +0100] "GET /a HTTP/1.1" 404 153 "-" "curl/8""#;
        let request = read(plain).unwrap();
        assert_eq!((&*request.method, &*request.target, request.status), ("GET", "/a", 404));
        assert_eq!((request.bytes, request.attempts.len()), (Some(153), 0));
        assert_eq!(request.at_ns, Some(1_795_613_700_000_000_000));
        let ingress = r#"10.0.0.1 - - [25/Nov/2026:14:35:00 +0000] "POST /b HTTP/2.0" 200 157 "-" "curl" 90 0.012 [shop-web-80] [] 10.0.1.1:8000, 10.0.1.2:8000 0, 157 0.001, 0.010 502, 200 0123456789abcdef0123456789abcdef"#;
        let request = read(ingress).unwrap();
        assert_eq!((&*request.id, request.status), ("0123456789abcdef0123456789abcdef", 200));
        let attempts: Vec<_> = request.attempts.iter().map(|a| (&*a.address, a.status)).collect();
        assert_eq!(attempts, [("10.0.1.1:8000", Some(502)), ("10.0.1.2:8000", Some(200))]);
        let empty_end = r#"10.0.0.1 - - [25/Nov/2026:14:35:00 +0000] "GET /b HTTP/1.1" 200 157 10.0.1.1:8000 200 0.001 "-" -"#;
        assert_eq!(read(empty_end).unwrap().attempts[0].status, Some(200));
        let unanswered = r#"10.0.0.1 - - [25/Nov/2026:14:35:00 +0000] "GET /b HTTP/1.1" 502 157 10.0.1.1:8000 - 0.001 "-""#;
        assert_eq!(read(unanswered).unwrap().attempts[0].status, None);
        let unasked =
            r#"1795493951.039 10.0.0.1:40844 14 1 "GET /c HTTP/1.1" 502 157 to="-" got="-" took="-" 0.005"#;
        let request = read(unasked).unwrap();
        assert_eq!((request.attempts.len(), request.at_ns), (0, Some(1_795_493_951_039_000_000)));
    }

    #[test]
    fn keys_and_json_name_their_fields() {
        let keyed = r#"1795493951.039 10.0.0.1:4 "GET /c HTTP/1.1" 200 43 to="10.0.1.1:80, 10.0.1.1:80" got="-, 200" took="0.0, 0.1" 0.1 abcdefabcdefabcdef"#;
        let request = read(keyed).unwrap();
        assert_eq!(request.attempts.iter().map(|a| a.status).collect::<Vec<_>>(), [None, Some(200)]);
        assert_eq!(&*request.id, "abcdefabcdefabcdef");
        let json = r#"{"time_iso8601":"2026-11-25T14:35:00+00:00","request":"GET /d HTTP/1.1","status":"504","upstream_addr":"10.0.1.1:80","upstream_status":"504","request_id":"r1"}"#;
        let request = read(json).unwrap();
        assert_eq!((request.status, &*request.target, &*request.id), (504, "/d", "r1"));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_fail(line in "\\PC{0,200}", junk in r#"[\[\]"=,: {}\\a-z0-9.\-]{0,80}"#) {
            let _ = read(&line);
            let _ = read(&junk);
            let _ = read(&format!("\"GET / HTTP/1.1\" 200 {junk}"));
        }
    }
}
