//! Logs of servers whose lines do not put the status behind the request: HAProxy's `httplog`, uwsgi's own.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::access::{set, tokens};
use super::model::{LoggedAttempt, LoggedRequest};

/// The request of a line of HAProxy (its manual, section 8.2.3): timers, status and bytes come before the request.
///
/// `… 10.0.0.1:33 [06/Feb/2009:12:14:14.655] front back/srv1 10/0/30/69/109 200 2750 - - ---- … "GET / HTTP/1.1"`
pub(super) fn haproxy(line: &str) -> Option<LoggedRequest> {
    let tokens = tokens(line);
    let timers = tokens.iter().position(|token| timers(token.value).is_some())?;
    let (server, behind) = (tokens.get(timers.checked_sub(1)?)?.value, &tokens[timers + 1..]);
    let mut request = LoggedRequest::default();
    set(&mut request, "status", behind.first()?.value);
    set(&mut request, "body_bytes_sent", behind.get(1)?.value);
    match behind.iter().rfind(|token| token.quoted)?.value {
        // What came was no request, or nothing came at all.
        "<BADREQ>" => request.method = "?".into(),
        line => set(&mut request, "request", line),
    }
    let begun = tokens[..timers].iter().find_map(|token| local("%d/%b/%Y:%H:%M:%S%.f", token.value));
    request.at_ns = begun.and_then(|at| at.checked_add(timers_ns(tokens[timers].value)));
    // The termination state begins with S or s where the server ended it or let it time out.
    let state = behind.iter().skip(2).find(|token| is_state(token.value)).map_or("", |token| token.value);
    // Of a session that ended before any answer was sent (its manual, section 8.2.3, `status_code`).
    let aborted = behind.first()?.value == "-1";
    if !server.contains("<NOSRV>") && server.contains('/') {
        let failed = state.starts_with(['S', 's']) && (request.status >= 500 || aborted);
        // 499 is nginx's word for a client that left, which is no failure of the server's.
        let status = if aborted { Some(499) } else { Some(request.status).filter(|&status| status > 0) };
        let status = status.filter(|_| !failed);
        let unconnected = status.is_none() && state.as_bytes().get(1) == Some(&b'C');
        request.attempts.push(LoggedAttempt { address: server.into(), status, unconnected });
    }
    ((request.status > 0 || aborted) && !request.method.is_empty()).then_some(request)
}

/// Five numbers with slashes between them; -1 for what was not reached, `+` where the log came before the end.
fn timers(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('/').collect();
    let number = |part: &&str| part.trim_start_matches('+').parse::<i64>().is_ok_and(|n| n >= -1);
    let last = parts.last()?.trim_start_matches('+').parse().ok()?;
    (parts.len() == 5 && parts.iter().all(number)).then_some(last)
}

fn timers_ns(text: &str) -> i64 {
    timers(text).unwrap_or(0).max(0).saturating_mul(1_000_000)
}

fn is_state(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
}

/// Whether a line is one of uwsgi's own log.
pub(super) fn is_uwsgi(line: &str) -> bool {
    line.starts_with(UWSGI)
}

/// How uwsgi begins its lines.
const UWSGI: &str = "[pid: ";

/// The request of a line of uwsgi's own log.
///
/// `[pid: 9|app: 0|req: 1/1] 10.0.0.1 () {40 vars in 500 bytes} [Wed Nov 25 14:35:00 2026] GET /a => generated 5 bytes
/// in 2 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)`
pub(super) fn uwsgi(line: &str) -> Option<LoggedRequest> {
    let rest = line.strip_prefix(UWSGI)?;
    let (before, after) = rest.split_once(" => generated ")?;
    let (head, asked) = before.rsplit_once("] ")?;
    let (method, target) = asked.split_once(' ')?;
    let (_, stamp) = head.rsplit_once('[')?;
    let (_, answered) = after.split_once(" (HTTP/")?;
    let status = answered.split(')').next()?.rsplit(' ').next()?;
    let mut request =
        LoggedRequest { method: method.into(), target: target.into(), ..LoggedRequest::default() };
    set(&mut request, "status", status);
    set(&mut request, "body_bytes_sent", after.split(' ').next()?);
    request.at_ns = local("%a %b %d %H:%M:%S %Y", stamp);
    (request.status > 0).then_some(request)
}

/// A time without a zone, as if it were UTC.
fn local(format: &str, text: &str) -> Option<i64> {
    let when = DateTime::strptime(format, text).ok()?;
    i64::try_from(TimeZone::UTC.to_timestamp(when).ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_haproxy_and_uwsgi_tell_their_requests() {
        let line = "<134>Nov 25 14:35:00 haproxy[9]: 10.0.0.1:33317 [25/Nov/2026:14:35:00.655] front back/srv1 \
                    10/0/30/-1/109 502 204 - - SH-- 1/1/1/1/0 0/0 {shop} {} \"POST /order HTTP/1.1\"";
        let request = haproxy(line).unwrap();
        assert_eq!((&*request.method, &*request.target, request.status), ("POST", "/order", 502));
        assert_eq!(request.at_ns, Some(1_795_617_300_764_000_000));
        assert_eq!(
            request.attempts,
            [LoggedAttempt { address: "back/srv1".into(), ..LoggedAttempt::default() }]
        );
        let refused = haproxy(&line.replace("SH--", "SC--")).unwrap();
        assert!(refused.attempts[0].unconnected);
        let left = haproxy(&line.replace("502 204 - - SH--", "-1 0 - - CD--")).unwrap();
        assert_eq!((left.status, left.status_name()), (0, "aborted".to_owned()));
        assert_eq!(left.failed_attempts().count(), 0);
        let ended = haproxy(&line.replace("502 204 - - SH--", "-1 0 - - SD--")).unwrap();
        assert_eq!(ended.failed_attempts().count(), 1);
        assert_eq!(haproxy(&line.replace("502 204", "x 204")), None);
        let bad = line.replace("back/srv1", "front/<NOSRV>").replace("POST /order HTTP/1.1", "<BADREQ>");
        let bad = haproxy(&bad.replace("502 204 - - SH--", "400 187 - - PR--")).unwrap();
        assert_eq!((&*bad.method, &*bad.target, bad.status), ("?", "", 400));
        let nobody = line.replace("back/srv1", "back/<NOSRV>");
        assert!(haproxy(&nobody).unwrap().attempts.is_empty());
        let line = "[pid: 9|app: 0|req: 1/1] 10.0.0.1 () {40 vars in 500 bytes} [Wed Nov 25 14:35:00 2026] GET /a?b => \
                    generated 5 bytes in 2 msecs (HTTP/1.1 200) 2 headers in 80 bytes (1 switches on core 0)";
        let request = uwsgi(line).unwrap();
        assert_eq!((&*request.target, request.status, request.bytes), ("/a?b", 200, Some(5)));
        assert_eq!(request.at_ns, Some(1_795_617_300_000_000_000));
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_them_fail(line in "\\PC{0,120}", junk in r#"[\[\]"=,: {}/a-zA-Z0-9.\-]{0,80}"#) {
            let _ = (haproxy(&line), uwsgi(&line), haproxy(&format!("[{junk}] a/b 1/2/3/4/5 {junk}")));
            let _ = uwsgi(&format!("[pid: {junk}] {junk} => generated {line} (HTTP/{junk}"));
        }
    }
}
