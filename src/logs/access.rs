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
    let mut request = parse(line)?;
    drop_groups(&mut request);
    Some(request)
}

/// nginx ends the list of addresses with the name of the group when no server in it is held for alive: that is no attempt.
pub(super) fn drop_groups(request: &mut LoggedRequest) {
    request.attempts.retain(|attempt| !is_group(&attempt.address));
}

/// A name of an upstream block, as it stands in place of an address.
fn is_group(text: &str) -> bool {
    let name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    name && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn parse(line: &str) -> Option<LoggedRequest> {
    if line.starts_with('{') {
        return json(line);
    }
    let quoted = tokens(line);
    let of_nginx = quoted.iter().position(|token| token.quoted && request_line(token.value).is_some());
    if let Some(at) = of_nginx {
        return behind(&quoted, at, &quoted[at].value.into());
    }
    // Other forms look like many things: a line without a time is none of them.
    let other = keyed(&quoted).or_else(|| labelled(line)).or_else(|| columns(line));
    other.filter(|request| request.at_ns.is_some())
}

/// What the tokens of a line say, where the request is known to end with one of them: the status comes behind it.
fn behind(tokens: &[Token<'_>], at: usize, line: &RequestLine<'_>) -> Option<LoggedRequest> {
    let mut request = LoggedRequest::default();
    match line {
        RequestLine::Whole(text) => set(&mut request, "request", text),
        RequestLine::Parts(method, target) => {
            set(&mut request, "method", method);
            set(&mut request, "uri", target);
        }
    }
    // Envoy's status of a request that its client left unanswered; a number behind it is none.
    if tokens.get(at + 1).is_some_and(|token| matches!(token.value, "0" | "000")) {
        return None;
    }
    let status = tokens[at + 1..].iter().position(|token| status(token.value).is_some())? + at + 1;
    set(&mut request, "status", tokens[status].value);
    if let Some(bytes) = tokens.get(status + 1) {
        set(&mut request, "body_bytes_sent", bytes.value);
    }
    request.at_ns = tokens[..at].iter().find_map(|token| time(token.value));
    servers(&mut request, &tokens[status + 1..]);
    let id = tokens.iter().rfind(|token| is_id(token.key, token.value));
    request.id = id.map_or("", |token| token.value).into();
    Some(request)
}

/// A request as one text, or as method and target.
enum RequestLine<'a> {
    Whole(&'a str),
    Parts(&'a str, &'a str),
}

impl<'a> From<&'a str> for RequestLine<'a> {
    fn from(text: &'a str) -> Self {
        Self::Whole(text)
    }
}

/// Finds the servers that were asked, and what they answered, by what such lists look like.
fn servers(request: &mut LoggedRequest, tokens: &[Token<'_>]) {
    let Some(first) = tokens.iter().position(|token| is_address_list(token.value)) else { return };
    set(request, "upstream_addr", tokens[first].value);
    answers(request, &tokens[first + 1..]);
}

/// Finds what the servers answered by the length of such a list.
fn answers(request: &mut LoggedRequest, tokens: &[Token<'_>]) {
    let count = request.attempts.len();
    let is_statuses = |token: &&Token<'_>| {
        let list = list(token.value);
        list.len() == count && list.iter().all(|item| *item == "-" || status_like(item))
    };
    let told = |token: &&Token<'_>| is_statuses(token) && list(token.value).into_iter().any(status_like);
    let named = |token: &&Token<'_>| told(token) && token.key.contains("status");
    let counts = ["len", "bytes", "size", "time"];
    let other = |token: &&Token<'_>| told(token) && !counts.iter().any(|part| token.key.contains(part));
    // Lengths may look like statuses; the statuses come last of the four lists, where keys do not tell. A lone dash is any
    // empty field, and many formats end with one.
    let find = || tokens.iter().rfind(named).or_else(|| tokens.iter().rfind(other));
    if let Some(statuses) = find().or_else(|| tokens.iter().rfind(is_statuses)) {
        set(request, "upstream_status", statuses.value);
    }
}

/// A line of `key=value` that names method, target and status.
fn keyed(tokens: &[Token<'_>]) -> Option<LoggedRequest> {
    let named: Vec<Token<'_>> = tokens.iter().filter(|token| !token.key.is_empty()).copied().collect();
    let request = named_fields(&named);
    (request.status > 0 && !request.method.is_empty() && request.target.starts_with('/')).then_some(request)
}

/// A line of `label:value` between tabs (LTSV).
fn labelled(line: &str) -> Option<LoggedRequest> {
    let label = |field: &&str| {
        !field.is_empty() && field.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let fields = line.split('\t').map(|field| {
        let (key, value) = field.split_once(':').filter(|(key, _)| label(key))?;
        Some(Token { key, value, quoted: false })
    });
    let fields: Vec<Token<'_>> = fields.collect::<Option<_>>()?;
    if fields.len() < FEWEST_COLUMNS {
        return None;
    }
    with_looks(named_fields(&fields), &fields)
}

/// What fields say whose names are known; the servers that were asked are found by their looks, if by no name.
fn named_fields(fields: &[Token<'_>]) -> LoggedRequest {
    let mut request = LoggedRequest::default();
    for field in fields {
        set(&mut request, &field.key.trim_start_matches('$').to_ascii_lowercase(), field.value);
    }
    let others = || fields.iter().filter(|field| !of_client(field.key)).copied().collect::<Vec<_>>();
    let told = fields.iter().any(|field| field.key.contains("upstream") && field.key.contains("status"));
    if request.attempts.is_empty() {
        servers(&mut request, &others());
    } else if !told {
        // Of one attempt any field that looks like a status would do, the client's first.
        if request.attempts.len() > 1 {
            answers(&mut request, &others());
        }
        settle_attempts(&mut request);
    }
    request
}

/// Whether a field tells of the client or of the server that writes the log, by its name.
fn of_client(name: &str) -> bool {
    let names = ["client", "remote", "peer", "src", "from", "host", "forwarded", "local", "server"];
    names.iter().any(|part| name.contains(part))
}

/// The request of a line whose fields stand apart for sure: what no known name told is found by its looks, if the line
/// has a time as logs do.
fn with_looks(mut request: LoggedRequest, fields: &[Token<'_>]) -> Option<LoggedRequest> {
    let is_whole = |request: &LoggedRequest| request.status > 0 && !request.method.is_empty();
    if is_whole(&request) {
        return Some(request);
    }
    request.at_ns = request.at_ns.or_else(|| fields.iter().find_map(|field| time(field.value)));
    by_looks(&mut request, fields);
    (is_whole(&request) && request.at_ns.is_some()).then_some(request)
}

fn by_looks(request: &mut LoggedRequest, fields: &[Token<'_>]) {
    let values = || fields.iter().map(|field| field.value);
    if request.method.is_empty() {
        if let Some(line) = values().find(|value| request_line(value).is_some()) {
            set(request, "request", line);
        } else if let Some(method) = values().find(|value| METHODS.contains(value)) {
            set(request, "method", method);
        }
    }
    if let Some(target) = values().find(|value| value.starts_with('/')) {
        set(request, "uri", target);
    }
    // A length may look like a status: of several the one whose name begins like it.
    let statuses =
        || fields.iter().filter(|field| status(field.value).is_some_and(|code| (100..600).contains(&code)));
    let named = || statuses().find(|field| field.key.to_ascii_lowercase().starts_with('s'));
    let only = || statuses().next().filter(|_| statuses().count() == 1);
    if let Some(field) = named().or_else(only).filter(|_| request.status == 0) {
        set(request, "status", field.value);
    }
}

/// A line whose fields stand between tabs, bars or commas, without names.
fn columns(line: &str) -> Option<LoggedRequest> {
    let separator = ['\t', '|', ','].into_iter().find(|&one| line.matches(one).count() >= FEWEST_COLUMNS)?;
    let field = |text| Token { key: "", value: text, quoted: false };
    let fields: Vec<Token<'_>> = split_unquoted(line, separator)
        .map(|text| field(text.trim().trim_matches(['"', '[', ']'])))
        .collect();
    if let Some(at) = fields.iter().position(|field| request_line(field.value).is_some()) {
        return behind(&fields, at, &fields[at].value.into());
    }
    let pair = |pair: &[Token<'_>]| METHODS.contains(&pair[0].value) && pair[1].value.starts_with('/');
    let at = fields.windows(2).position(pair)?;
    if at > 0 && status(fields[at - 1].value).is_some() {
        // The status stands before what was asked; what looks like one behind it is a server's.
        let mut request = LoggedRequest::default();
        set(&mut request, "status", fields[at - 1].value);
        set(&mut request, "method", fields[at].value);
        set(&mut request, "uri", fields[at + 1].value);
        request.at_ns = fields.iter().find_map(|field| time(field.value));
        let rest = &fields[at + 2..];
        if let Some(servers) = rest.iter().find(|field| is_address_list(field.value)) {
            set(&mut request, "upstream_addr", servers.value);
            answers(&mut request, rest);
        }
        return Some(request);
    }
    behind(&fields, at + 1, &RequestLine::Parts(fields[at].value, fields[at + 1].value))
}

/// The parts of a line between separators that stand outside of quotes.
fn split_unquoted(line: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

/// A line with fewer separators is prose.
const FEWEST_COLUMNS: usize = 4;
/// Methods that tell a column of methods from one of words.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

/// A part of a line: bare, in quotes or in brackets; with a key where it is written `key=value`.
#[derive(Clone, Copy)]
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
    let (Some(first), Some(last)) = (list.first(), list.last()) else { return false };
    let inner = &list[..list.len() - 1];
    is_address(first) && inner.iter().all(|item| is_address(item)) && (is_address(last) || is_group(last))
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

/// Sets what a variable of nginx, or a field of a JSON log, says. The other names are those that Envoy, Traefik, Caddy
/// and people use.
pub(super) fn set(request: &mut LoggedRequest, name: &str, value: &str) {
    match name {
        "request" | "requestline" | "req" => {
            if let Some((method, target)) = request_line(value) {
                (request.method, request.target) = (method.into(), target.into());
            }
        }
        "request_method" | "method" | "http_method" | "verb" | "requestmethod" => {
            request.method = value.into();
        }
        "request_uri" | "uri" | "path" | "url" | "request_path" | "request_url" | "requestpath"
            if request.target.is_empty() =>
        {
            request.target = value.into();
        }
        "status" | "code" | "status_code" | "response_code" | "response_status" | "statuscode"
        | "downstreamstatus" => {
            request.status = status(value).unwrap_or(request.status);
        }
        "body_bytes_sent" | "bytes_sent" => request.bytes = request.bytes.or_else(|| value.parse().ok()),
        "time_local" | "time_iso8601" | "msec" | "time" | "timestamp" | "@timestamp" | "ts" | "datetime"
        | "start_time" => {
            request.at_ns = request.at_ns.or_else(|| time(value));
        }
        "upstream_addr" | "upstream" | "upstream_host" | "upstream_address" | "serviceaddr"
            if list(value).iter().all(|item| *item == "-" || is_address(item) || is_group(item)) =>
        {
            attempts(request, value, |attempt, text| attempt.address = text.into());
        }
        "upstream_status" | "upstream_code" | "upstream_status_code" | "originstatus" => {
            attempts(request, value, |attempt, text| attempt.status = status(text));
        }
        "request_id" | "req_id" | "http_x_request_id" | "x_request_id" | "x-request-id" | "requestid"
            if value != "-" =>
        {
            request.id = value.into();
        }
        _ => {}
    }
}

/// Where no field tells what the servers answered, the last one answered what the client got.
fn settle_attempts(request: &mut LoggedRequest) {
    if request.attempts.iter().all(|attempt| attempt.status.is_none())
        && let Some(last) = request.attempts.last_mut()
    {
        last.status = Some(request.status);
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

/// A line that is a JSON object, its fields named as nginx names its variables, or in another way; Caddy tells of the
/// request in an object of its own.
fn json(line: &str) -> Option<LoggedRequest> {
    let Ok(Value::Object(object)) = serde_json::from_str(line) else { return None };
    let inner = object.values().filter_map(Value::as_object).flatten();
    let texts: Vec<(&str, String)> = object
        .iter()
        .chain(inner)
        .filter_map(|(name, value)| match value {
            Value::String(text) => Some((name.as_str(), text.clone())),
            Value::Number(number) => Some((name.as_str(), number.to_string())),
            _ => None,
        })
        .collect();
    let field = |(key, value)| Token { key, value, quoted: false };
    let fields: Vec<Token<'_>> = texts.iter().map(|(key, value)| field((*key, value.as_str()))).collect();
    with_looks(named_fields(&fields), &fields)
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

    #[test]
    fn a_length_that_looks_like_a_status_is_none_where_keys_tell() {
        let line = |behind: &str| {
            format!("1795493951.0 \"GET /c HTTP/1.1\" 502 157 to=\"10.0.0.5:80, 10.0.0.6:80\" {behind}")
        };
        let attempts = |line: &str| read(line).unwrap().attempts.iter().map(|a| a.status).collect::<Vec<_>>();
        assert_eq!(attempts(&line(r#"got="504, 502" len="300, 157""#)), [Some(504), Some(502)]);
        let named = r#"us_length="300, 157" upstream_status="504, 502" us="123, 124""#;
        assert_eq!(attempts(&line(named)), [Some(504), Some(502)]);
        // Without keys they come last.
        assert_eq!(attempts(&line(r#""300, 157" "504, 502""#)), [Some(504), Some(502)]);
    }

    #[test]
    fn the_name_of_a_group_is_no_attempt() {
        let line = |servers: &str, answers: &str| {
            format!("1795493951.0 \"GET /c HTTP/1.1\" 502 157 to=\"{servers}\" got=\"{answers}\"")
        };
        let attempts = |line: &str| read(line).unwrap().attempts.iter().map(|a| a.status).collect::<Vec<_>>();
        assert_eq!(attempts(&line("10.0.0.5:80, shop", "504, 502")), [Some(504)]);
        assert_eq!(attempts(&line("10.0.0.5:80, 10.0.0.6:80", "504, 502")), [Some(504), Some(502)]);
        let named = r#"{"time":"2026-11-26T10:00:00Z","method":"GET","uri":"/a","status":502,"upstream_addr":"shop","upstream_status":"502"}"#;
        assert!(attempts(named).is_empty());
    }

    #[test]
    fn columns_keys_and_the_names_of_others_are_known() {
        let lines = [
            r#"time=2026-11-26T10:00:00+00:00 method=GET uri=/a status=200 rt=0.012 ua="10.0.0.5:80, 10.0.0.6:80" us="502, 200""#,
            "26/Nov/2026:10:00:00 +0000\t10.1.0.7\tGET /a HTTP/1.1\t200\t0.012\t10.0.0.5:80, 10.0.0.6:80\t502, 200",
            "2026-11-26T10:00:00+00:00|shop.test|GET|/a|200|0.012|10.0.0.5:80, 10.0.0.6:80|502, 200|0.001, 0.010|r1",
            "1795744998.356|200|GET|/a|502, 200|10.0.0.5:80, 10.0.0.6:80|0.005|-",
            r#"2026-11-26T10:00:00+00:00,10.1.0.7,GET,/a,200,0.012,"10.0.0.5:80, 10.0.0.6:80","502, 200""#,
            "time:26/Nov/2026:10:00:00 +0000\thost:10.1.0.7\treq:GET /a HTTP/1.1\tstatus:200\tsize:157\tup:10.0.0.5:80, 10.0.0.6:80\tupst:502, 200",
            r#"{"t":"2026-11-26T10:00:00Z","m":"GET","u":"/a","s":200,"b":157,"up":"10.0.0.5:80, 10.0.0.6:80","us":"502, 200"}"#,
            r#"{"@timestamp":"2026-11-26T10:00:00Z","method":"GET","path":"/a","code":"200","upstream":"10.0.0.5:80, 10.0.0.6:80","upstream_code":"502, 200"}"#,
        ];
        for line in lines {
            let request = read(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&*request.method, &*request.target, request.status), ("GET", "/a", 200), "{line}");
            let attempts: Vec<_> = request.attempts.iter().map(|a| (&*a.address, a.status)).collect();
            assert_eq!(attempts, [("10.0.0.5:80", Some(502)), ("10.0.0.6:80", Some(200))], "{line}");
            assert!(request.at_ns.is_some(), "{line}");
        }
        let envoy = r#"{"start_time":"2026-11-26T10:00:00.000Z","method":"GET","path":"/a","response_code":200,"upstream_host":"10.0.0.5:80","x_request_id":"abc"}"#;
        assert_eq!(read(envoy).unwrap().attempts[0].status, Some(200));
        let caddy = r#"{"level":"info","ts":1795617300.5,"request":{"remote_ip":"10.1.0.7","method":"GET","uri":"/a"},"duration":0.01,"size":200,"status":502}"#;
        let caddy = read(caddy).unwrap();
        assert_eq!(
            (&*caddy.method, &*caddy.target, caddy.status, caddy.attempts.len()),
            ("GET", "/a", 502, 0)
        );
        // Prose and tables are no logs.
        for line in [
            "| a | GET | /a | 200 | yes |",
            "level=info msg=\"GET /a took status=200\"",
            "a|b|c|d|e|f",
            r#"{"n": 104, "method": "GET", "target": "/a", "got": ["200"]}"#,
            "Once, at noon, GET, /a, 200, was all that we saw",
            r#"[2026-11-28T05:33:07.919Z] "GET /a HTTP/1.1" 0 DC 0 0 294 - "-" "curl" "id" "shop" "10.0.0.4:4443""#,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
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
