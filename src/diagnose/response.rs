//! Faults of responses (P1 to P12), and errors that a hop reports about itself or about what is behind it.

use crate::analysis::{Analysis, ExchangeView};
use crate::correlate::Orphan;
use crate::http::{ExchangeFlags, Framing, MessageState, Protocol};
use crate::tcp::{Event, EventKind, Side};
use crate::topology::{ExchangeId, LinkId, Role};

use super::case::{Case, Figures, Rule, is_refused};
use super::life::at_least;
use super::request::{server_is_one_of, server_is_proxy, server_may_be_proxy, server_name};
use super::texts;
use super::verdict::{SHORTEST_TIMEOUT_NS, SHORTEST_UNFINISHED_NS};
use super::{Certainty, Outcome};

/// nginx's default `proxy_buffer_size` is one memory page: the smallest limit of response heads.
const HEAD_LIMIT: u64 = 4096;
/// A close that comes this much later than the body is not how the body ends.
const KEPT_OPEN_NS: i64 = 1_000_000_000;
/// A window that stays closed for this long is no short pause of a busy reader.
const STALL_NS: i64 = 1_000_000_000;
/// A client that connects ahead of its first request may meet the server's idle timeout.
const PRECONNECT_NS: i64 = 1_000_000_000;

/// What the shape of a response tells, or of the window of the side that should have read the request.
pub(super) const SHAPES: &[Rule] = &[
    Rule::new("", &texts::FASTCGI_OVERLOADED, "", fastcgi_overloaded),
    Rule::new("", &texts::FASTCGI_CANNOT_MULTIPLEX, "", fastcgi_cannot_multiplex),
    Rule::new("", &texts::FASTCGI_UNKNOWN_ROLE, "", fastcgi_unknown_role),
    Rule::new("", &texts::FASTCGI_REFUSED, "", fastcgi_refused),
    Rule::new("", &texts::FASTCGI_NO_OUTPUT, "", fastcgi_no_output),
    Rule::new("P9", &texts::NOT_HTTP, "", not_http),
    Rule::new("P10", &texts::CONFLICTING_FRAMING, "", conflicting_framing),
    Rule::new("P10", &texts::CONFLICTING_FRAMING_TOLERATED, "", conflicting_tolerated),
    Rule::new("P11", &texts::INVALID_HEADER, "", invalid_header),
    Rule::new("P11", &texts::INVALID_HEADER_TOLERATED, "", invalid_tolerated),
    Rule::new("P4", &texts::RESPONSE_HEADER_TOO_LARGE, "", header_too_large),
    Rule::new("P3", &texts::SEND_STALL, "", send_stall),
];

/// What the end of an exchange tells: who closed, and when.
pub(super) const ENDINGS: &[Rule] = &[
    Rule::new("P2", &texts::CLIENT_GAVE_UP, "", client_gave_up),
    Rule::new("P2", &texts::RESPONSE_TIMEOUT, "sent nothing", silent),
    Rule::new("P2", &texts::RESPONSE_TIMEOUT, "stopped in the middle of its answer", stopped),
    Rule::new("P6", &texts::INVALID_CHUNK, "", invalid_chunk),
    Rule::new("P5", &texts::CUT_BY_RESTART, "", cut_by_restart).with(Figures::Restart),
    Rule::new("P5", &texts::TRUNCATED_RESPONSE, "short of its Content-Length", cut_length),
    Rule::new("P6", &texts::TRUNCATED_RESPONSE, "without its last chunk", cut_chunked),
    Rule::new("P5", &texts::TRUNCATED_RESPONSE, "in the middle of the head", cut_head),
    Rule::new("P5", &texts::TRUNCATED_RESPONSE, "by a reset in place of its end", cut_open),
    Rule::new("P1", &texts::CLOSED_ON_ALL, "", closed_on_all),
    Rule::new("P1", &texts::CLOSED_BY_RESTART, "", closed_by_restart).with(Figures::Restart),
    Rule::new("P1", &texts::CLOSED_AT_LIMIT, "", closed_at_limit).with(Figures::Deciding),
    Rule::new("P1", &texts::CLOSED_ON_REQUEST, "", closed_on_request).with(Figures::Deciding),
    Rule::new("P1", &texts::CLOSED_BEFORE_RESPONSE, "", closed_before_response),
    Rule::new("", &texts::APPLICATION_ERROR, "", application_error),
    Rule::new("T8", &texts::NEXT_HOP_ENCRYPTED, "", next_hop_encrypted),
    Rule::new("", &texts::ASKED_NOBODY, "", asked_nobody).with(Figures::Passing),
    Rule::new("T8", &texts::NEXT_HOP_MISSING, "", next_hop_missing),
];

/// Faults that an exchange may have besides another one.
pub(super) const EXTRAS: &[Rule] = &[
    Rule::new("P7", &texts::EXTRA_BYTES_TAKEN, "", extra_bytes_taken),
    Rule::new("P7", &texts::EXTRA_RESPONSE_BYTES, "", extra_bytes),
    Rule::new("P8", &texts::WRONG_ANSWER, "", wrong_answer),
    Rule::new("P8", &texts::UNSOLICITED_RESPONSE, "", unsolicited),
    Rule::new("P12", &texts::UNFRAMED_KEPT_OPEN, "", unframed_kept_open),
];

fn refused(case: &Case<'_>) -> bool {
    is_refused(case.analysis, case.exchange.id)
}

/// A FastCGI application ended the request without a byte of output, and said this by its status.
fn fastcgi_ended(case: &Case<'_>, flag: u32) -> Option<Certainty> {
    let ended = case.outcome == Outcome::NoResponse && case.has(ExchangeFlags::NO_OUTPUT);
    (ended && case.has(flag)).then_some(Certainty::Certain)
}

fn fastcgi_overloaded(case: &Case<'_>) -> Option<Certainty> {
    fastcgi_ended(case, ExchangeFlags::OVERLOADED)
}

fn fastcgi_cannot_multiplex(case: &Case<'_>) -> Option<Certainty> {
    fastcgi_ended(case, ExchangeFlags::CANNOT_MULTIPLEX)
}

fn fastcgi_unknown_role(case: &Case<'_>) -> Option<Certainty> {
    fastcgi_ended(case, ExchangeFlags::UNKNOWN_ROLE)
}

fn fastcgi_refused(case: &Case<'_>) -> Option<Certainty> {
    fastcgi_ended(case, ExchangeFlags::REFUSED_OTHERWISE)
}

/// By a status that means success: the script wrote nothing.
fn fastcgi_no_output(case: &Case<'_>) -> Option<Certainty> {
    fastcgi_ended(case, ExchangeFlags::NO_OUTPUT)
}

/// P9: what came back starts with no status line. To a request without a version that is as it should be
/// (HTTP/0.9), and to one of another protocol too.
fn not_http(case: &Case<'_>) -> Option<Certainty> {
    let request_is_http = case.raw.request.head_bytes > 0
        && case.has_known_method()
        && !case.has(ExchangeFlags::REQUEST_INVALID);
    if !case.is_whole() || !request_is_http {
        return None;
    }
    let unread = case.outcome == Outcome::NoResponse && case.is_first() && case.has_unread_answer();
    if case.has(ExchangeFlags::NOT_HTTP_RESPONSE) {
        return Some(Certainty::Certain);
    }
    // Of records that the snap length cut nobody can tell whether they held an answer.
    let records = case.life.flow.protocol == Protocol::FastCgi && case.life.only_cut();
    (unread && !records).then_some(Certainty::Likely)
}

/// P10: both a length and chunks, and the proxy would have none of it.
fn conflicting_framing(case: &Case<'_>) -> Option<Certainty> {
    (case.has(ExchangeFlags::RESPONSE_CONFLICTING_FRAMING) && refused(case)).then_some(Certainty::Certain)
}

fn conflicting_tolerated(case: &Case<'_>) -> Option<Certainty> {
    case.has(ExchangeFlags::RESPONSE_CONFLICTING_FRAMING).then_some(Certainty::Certain)
}

/// P11: a header line that is none, and the proxy refused the response.
fn invalid_header(case: &Case<'_>) -> Option<Certainty> {
    (case.has(ExchangeFlags::INVALID_HEADER) && refused(case)).then_some(Certainty::Certain)
}

fn invalid_tolerated(case: &Case<'_>) -> Option<Certainty> {
    case.has(ExchangeFlags::INVALID_HEADER).then_some(Certainty::Likely)
}

/// P4: the head is larger than the proxy's buffer for it.
fn header_too_large(case: &Case<'_>) -> Option<Certainty> {
    let response = &case.raw.response;
    if !response.is_present() || case.is_inherited() {
        return None;
    }
    // Where the snap length cut it off, nobody can tell where the head ends.
    let cut = response.head_bytes == 0 && case.life.only_cut();
    if cut && case.answer_sent() > HEAD_LIMIT && refused(case) && case.life.client_ended().is_some() {
        return Some(Certainty::Possible);
    }
    if case.response_head() <= HEAD_LIMIT {
        return None;
    }
    if case.outcome != Outcome::Truncated && refused(case) {
        return Some(Certainty::Certain);
    }
    // Without the proxy's other side: it closed in the middle of the head, at once.
    let in_head = response.head_bytes == 0 && case.outcome == Outcome::Aborted && case.parent().is_none();
    let at_once = case.silence_ns().is_some_and(|silence| silence < KEPT_OPEN_NS);
    (in_head && at_once).then_some(Certainty::Likely)
}

/// P3: the server stopped reading, and the client side gave up sending. With the window closed its FIN cannot be
/// sent either: then only what the proxy answered, and the server's RST much later, show that it left.
fn send_stall(case: &Case<'_>) -> Option<Certainty> {
    let sent_all = case.raw.request.is_complete() && case.request_arrived();
    let failed = !matches!(case.outcome, Outcome::Complete | Outcome::Rejected | Outcome::Truncated);
    if !failed || sent_all || case.raw.response.is_present() || !case.is_whole() || case.is_inherited() {
        return None;
    }
    let events = case.exchange.connection().events();
    let end = case.end();
    let before_end = |event: &&Event| end.is_none_or(|end| event.frame < end.frame);
    let window = |event: &&Event| {
        event.from == Side::Server && matches!(event.kind, EventKind::ZeroWindow | EventKind::WindowOpened)
    };
    let closed =
        events.iter().filter(before_end).rfind(window).filter(|e| e.kind == EventKind::ZeroWindow)?;
    let until = end.map_or(case.life.flow.last.0, |end| end.at);
    let stalled_ns = until.0.saturating_sub(closed.at.0.max(case.raw.request.start.0));
    let told = case.parent().and_then(|parent| parent.status());
    if stalled_ns < STALL_NS || end.is_none() && told != Some(504) {
        return None;
    }
    Some(if told == Some(504) || case.life.client_ended().is_some() {
        Certainty::Certain
    } else {
        Certainty::Likely
    })
}

/// P2: the server had the whole request and sent nothing.
fn silent(case: &Case<'_>) -> Option<Certainty> {
    if case.end().is_some_and(|end| case.is_heard_before(end)) { None } else { response_timeout(case) }
}

/// P2: the server stopped in the middle of its response.
fn stopped(case: &Case<'_>) -> Option<Certainty> {
    // An answer whose end nobody can see is another fault (P12).
    if unframed_kept_open(case).is_some() { None } else { response_timeout(case) }
}

/// P2, as far as a user's side tells: somebody waited and left. Whether that was long for this server nobody knows.
fn client_gave_up(case: &Case<'_>) -> Option<Certainty> {
    let asks = case.analysis.link(case.exchange.link_id()).from;
    let users = case.on_user_link() && case.analysis.lane(asks).users && case.parent().is_none();
    let left = case.outcome == Outcome::TimedOut && case.server_role() == Role::Server;
    (users && left && unframed_kept_open(case).is_none()).then_some(Certainty::Likely)
}

fn response_timeout(case: &Case<'_>) -> Option<Certainty> {
    // A user who gives up waiting for a proxy is the client's own timer: client-abort.
    let users_timer = case.on_user_link() && case.server_role() == Role::Proxy;
    if case.outcome != Outcome::TimedOut || users_timer || case.is_inherited() {
        return None;
    }
    let told = case.parent().and_then(|parent| parent.status());
    Some(match told {
        // It had not got the whole request itself.
        Some(408) => return None,
        // The server may have waited for the rest of a request that was never finished.
        _ if case.may_lack_body() => Certainty::Possible,
        Some(504) => Certainty::Certain,
        _ => Certainty::Likely,
    })
}

/// P6: a chunk size that is none.
fn invalid_chunk(case: &Case<'_>) -> Option<Certainty> {
    let broken = case.outcome == Outcome::Truncated && case.life.breaks_chunks(case.raw);
    broken.then_some(Certainty::Certain)
}

fn cut_length(case: &Case<'_>) -> Option<Certainty> {
    cut(case, |framing| matches!(framing, Framing::Length(_)))
}

fn cut_chunked(case: &Case<'_>) -> Option<Certainty> {
    cut(case, |framing| framing == Framing::Chunked)
}

/// A body that ends with the connection ended with a RST: nobody can tell whether it was whole.
fn cut_open(case: &Case<'_>) -> Option<Certainty> {
    cut(case, |framing| framing == Framing::UntilClose).map(|_| Certainty::Likely)
}

fn cut(case: &Case<'_>, framing: fn(Framing) -> bool) -> Option<Certainty> {
    let known = case.raw.response.head_bytes > 0 && framing(case.raw.response.framing);
    (case.outcome == Outcome::Truncated && known && !asked_in_the_dark(case)).then_some(Certainty::Certain)
}

/// Whether the captures hide what came of something that the server asked for this, or whether it asked for this: then
/// that may be the reason.
fn asked_in_the_dark(case: &Case<'_>) -> bool {
    let children = case.analysis.trees.children(case.exchange.id);
    let unknown = |child: &ExchangeId| case.around.outcomes[child.0 as usize] == Outcome::Unknown;
    let hidden = || case.around.may_have_asked(case.exchange) || case.around.sent_on(case.exchange).doubtful;
    children.iter().any(unknown) || children.is_empty() && hidden()
}

/// The head itself was cut off: the proxy cannot even pass a status on.
fn cut_head(case: &Case<'_>) -> Option<Certainty> {
    let in_head = case.outcome == Outcome::Truncated && case.raw.response.head_bytes == 0;
    (in_head && !asked_in_the_dark(case)).then_some(Certainty::Certain)
}

/// P1: a connection closed in place of an answer.
fn closed_before_response(case: &Case<'_>) -> Option<Certainty> {
    let answered = case.raw.response.is_present() || case.has_unread_answer();
    if case.outcome != Outcome::NoResponse || answered {
        return None;
    }
    let request = &case.raw.request;
    if asked_in_the_dark(case) {
        return None;
    }
    if !case.is_first() {
        let sure = if may_have_stopped(case) { Certainty::Possible } else { Certainty::Likely };
        return case.was_in_hand().then_some(sure);
    }
    let opened = case.exchange.connection().events().iter().find(|e| e.kind == EventKind::Established);
    let idle_ns = opened.map_or(0, |event| request.start.0.saturating_sub(event.at.0));
    let unread = case.life.server_fin.is_some_and(|fin| !at_least(fin.ack, request.seq.wrapping_add(1)));
    // Connected ahead, and closed as idle while the request was on its way: no crash.
    if unread && idle_ns >= PRECONNECT_NS {
        return Some(Certainty::Possible);
    }
    if may_have_stopped(case) {
        return Some(Certainty::Possible);
    }
    Some(if request.state == MessageState::Complete { Certainty::Certain } else { Certainty::Likely })
}

/// Whether a request whose head the snap length cut may have stopped in the middle, so that the server waited for the
/// rest: a proxy passed nothing on, or the client went on when it was too late.
fn may_have_stopped(case: &Case<'_>) -> bool {
    let cut = case.raw.request.head_bytes == 0 && case.life.only_cut();
    let waited = || case.silence_ns().is_some_and(|silence| silence >= SHORTEST_UNFINISHED_NS);
    let went_on = || {
        let fin = u32::from(case.life.client_fin.is_some());
        let sent = case.life.flow.direction(Side::Client).end_seq.map(|end| end.wrapping_sub(fin));
        sent.is_some_and(|end| !at_least(case.raw.request.end_seq(), end))
    };
    cut && waited() && (case.server_role() == Role::Proxy && case.answered_itself() || went_on())
}

/// P1, where the server closes on whatever is asked, and answers nobody.
fn closed_on_all(case: &Case<'_>) -> Option<Certainty> {
    closed_before_response(case).filter(|_| case.around.answers_nobody(case.exchange))
}

/// P1, where the server had worked on each request of this kind for a while: as a limit on its workers' time makes it
/// close (uwsgi `harakiri`, php-fpm `request_terminate_timeout`).
fn closed_at_limit(case: &Case<'_>) -> Option<Certainty> {
    let worked = || case.around.decided().quickest_ns(case.exchange) >= SHORTEST_TIMEOUT_NS;
    closed_on_request(case).filter(|_| worked())
}

/// P1, where the server closes on each request of this kind and answers others: it is the request, and no accident.
fn closed_on_request(case: &Case<'_>) -> Option<Certainty> {
    closed_before_response(case).filter(|_| case.around.decided().always(case.exchange))
}

/// P1, where the server closed many connections at that moment, with requests in hand or without.
fn closed_by_restart(case: &Case<'_>) -> Option<Certainty> {
    closed_before_response(case).filter(|_| case.around.burst(case.exchange).is_some())
}

/// P5 and P6, where the server closed many connections at that moment.
fn cut_by_restart(case: &Case<'_>) -> Option<Certainty> {
    let cut = || [cut_length, cut_chunked, cut_head, cut_open].iter().find_map(|rule| rule(case));
    case.around.burst(case.exchange).and_then(|_| cut())
}

/// A complete 5xx: the server's own.
fn application_error(case: &Case<'_>) -> Option<Certainty> {
    let own =
        case.outcome == Outcome::Complete && case.answered_itself() && case.server_role() == Role::Server;
    // Nearly always a gateway's, unless it calls itself something else.
    let gateways = |status: &u16| matches!(status, 502 | 504) || *status == 503 && is_envoy(case);
    let status = case.status().filter(|status| *status >= 500).filter(|_| own)?;
    if gateways(&status) {
        let is_own = server_name(case).is_some() && !server_may_be_proxy(case);
        return is_own.then_some(Certainty::Possible);
    }
    // What names itself as a proxy may have asked somebody whom no capture shows.
    (!server_is_proxy(case)).then_some(Certainty::Likely)
}

/// Envoy says 503 of what it asked (`upstream connect error or disconnect/reset before headers`), hardly ever of itself.
fn is_envoy(case: &Case<'_>) -> bool {
    server_is_one_of(case, &["envoy"])
}

/// A gateway's 5xx for which nothing readable was sent behind it. What the gateway asked meanwhile, and nobody knows for
/// whom, may have been for this one.
fn is_gateways_own(case: &Case<'_>) -> bool {
    let gateway = case.outcome == Outcome::Complete && case.answered_itself();
    gateway && case.status().is_some_and(|status| status >= 500) && !case.around.may_have_asked(case.exchange)
}

/// The same about a link that was not captured, as far as one can see.
fn next_hop_missing(case: &Case<'_>) -> Option<Certainty> {
    (is_gateways_own(case) && !case.around.sent_on(case.exchange).doubtful).then_some(Certainty::Certain)
}

/// The same about a link that cannot be read.
fn next_hop_encrypted(case: &Case<'_>) -> Option<Certainty> {
    let encrypted = is_gateways_own(case) && case.around.sent_on(case.exchange).encrypted;
    encrypted.then_some(Certainty::Certain)
}

/// The same where the link behind was captured, and shows what was asked for others.
fn asked_nobody(case: &Case<'_>) -> Option<Certainty> {
    let captured = || case.analysis.trees.orphan(case.exchange.id) == Some(Orphan::FailedHere);
    if !is_gateways_own(case) || !captured() {
        return None;
    }
    let sent_on = case.around.sent_on(case.exchange);
    let sure = if sent_on.lossy { Certainty::Likely } else { Certainty::Certain };
    (sent_on.passed_on > 0 && !sent_on.doubtful && !sent_on.unread).then_some(sure)
}

/// P7: bytes behind a complete response.
fn extra_bytes(case: &Case<'_>) -> Option<Certainty> {
    let extra = case.has(ExchangeFlags::EXTRA_BYTES) && !case.has(ExchangeFlags::TUNNEL);
    (extra && case.is_whole()).then_some(Certainty::Certain)
}

/// P7, where the proxy took them for the start of its next answer.
fn extra_bytes_taken(case: &Case<'_>) -> Option<Certainty> {
    extra_bytes(case)?;
    spoils(case.exchange).map(|_| Certainty::Likely)
}

/// The request that failed because its answer began with what was left of this one: the next one on the connection was
/// answered well, and what the proxy made of it is no HTTP or a failure.
fn spoils(exchange: ExchangeView<'_>) -> Option<ExchangeId> {
    let analysis = exchange.analysis;
    let next = ExchangeId(exchange.id.0 + 1);
    let next = analysis.exchange(exchange.connection().inner.exchanges.contains(&next.0).then_some(next)?);
    let well = next.raw.response.is_complete() && next.status().is_some_and(|status| status < 500);
    let parent = analysis.exchange(analysis.trees.parent(next.id)?.parent);
    let odd = parent.raw.flags.has(ExchangeFlags::NOT_HTTP_RESPONSE);
    (well && (odd || parent.status() == Some(502))).then_some(parent.id)
}

/// The requests that failed because of bytes behind an earlier answer, with the link of those.
pub(super) fn spoiled(analysis: &Analysis) -> impl Iterator<Item = (ExchangeId, LinkId)> + '_ {
    let extra = analysis.exchanges().filter(|x| x.raw.flags.has(ExchangeFlags::EXTRA_BYTES));
    extra.filter_map(|exchange| Some((spoils(exchange)?, exchange.link_id())))
}

/// P8: a response that nobody had asked for became the answer to the next request.
fn wrong_answer(case: &Case<'_>) -> Option<Certainty> {
    unsolicited(case)?;
    let next = case.exchange.connection().exchanges().find(|x| x.id > case.exchange.id)?;
    let parent = case.analysis.trees.parent(next.id).map(|p| case.analysis.exchange(p.parent))?;
    let taken = !next.raw.response.is_present() && parent.status() == case.status();
    taken.then_some(Certainty::Likely)
}

/// P8: a response while no request was pending. On a connection that nobody has used yet it is a usual goodbye; and where
/// the capture lacks bytes of the client's, its request may have been among them.
fn unsolicited(case: &Case<'_>) -> Option<Certainty> {
    let asking = case.life.flow.direction(Side::Client);
    let used = case.raw.ordinal > 1 && asking.cut_bytes == 0 && asking.missing_bytes == 0;
    (case.has(ExchangeFlags::UNSOLICITED) && case.is_whole() && used).then_some(Certainty::Certain)
}

/// P12: the end of the response is the end of the connection, and that came much later.
fn unframed_kept_open(case: &Case<'_>) -> Option<Certainty> {
    let open = case.has(ExchangeFlags::UNFRAMED) && case.raw.response.framing == Framing::UntilClose;
    if !open || !case.is_whole() {
        return None;
    }
    if case.has(ExchangeFlags::LATE_CLOSE) {
        return Some(Certainty::Certain);
    }
    let gave_up = matches!(case.outcome, Outcome::Aborted | Outcome::TimedOut) && !case.is_inherited();
    (gave_up && case.silence_ns()? >= KEPT_OPEN_NS).then_some(Certainty::Likely)
}
