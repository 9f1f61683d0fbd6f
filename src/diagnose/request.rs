//! Faults of requests (Q1 to Q10): refused, never finished, or given up by the client.
//!
//! A connection closed without a byte on it (Q4) and requests sent before the answer to the one before them (Q8)
//! are no faults: no rule here looks at them.

use crate::http::{ExchangeFlags, FirstBytes, Framing, MessageState};
use crate::tcp::{EventKind, Opening, Side};
use crate::topology::{ExchangeId, Role};

use super::case::{Case, Figures, RIGHT_BEHIND_NS, Rule, closed_after_ns};
use super::life::Life;
use super::texts;
use super::verdict::{SHORTEST_UNFINISHED_NS, is_usual_timeout};
use super::{Certainty, Outcome};

/// How long a client waits for `100 Continue` at least before it sends the body unasked: curl takes 1 s.
const CONTINUE_WAIT_NS: i64 = 900_000_000;
/// A body of more bytes than this may have taken that long for its size.
const SHORT_BODY: u64 = 64 << 10;
/// A silence shorter than this is no server's timer: nginx's `client_body_timeout 200ms` is as short as they get.
const SHORTEST_TIMER_NS: i64 = 100_000_000;
/// The smallest limits of heads: uwsgi's `buffer-size` and gunicorn's request line take 4 KiB, nginx's
/// `large_client_header_buffers` 8 KiB a line.
const SMALLEST_HEAD_LIMIT: u64 = 4094;
const USUAL_HEAD_LIMIT: u64 = 8000;

/// What the shape of a request, or of the answer to it, tells.
pub(super) const SHAPES: &[Rule] = &[
    Rule::new("Q7", &texts::CONTINUE_STALL, "", continue_stall),
    Rule::new("Q7", &texts::UNSOLICITED_1XX, "", unsolicited_1xx),
    Rule::new("Q10", &texts::REQUEST_HEADER_TOO_LARGE, "", header_too_large),
    Rule::new("Q9", &texts::BAD_REQUEST_OF_STRANGERS, "", bad_request_of_stranger),
    Rule::new("Q9", &texts::BAD_REQUEST, "", bad_request),
    Rule::new("Q2", &texts::REQUEST_TOO_LARGE, "", request_too_large),
    Rule::new("Q2", &texts::REQUEST_CUT_OFF, "", cut_while_passing_on),
    Rule::new("Q1", &texts::EARLY_RESPONSE_RESET, "", early_response_reset),
    Rule::new("Q1", &texts::EARLY_RESPONSE_CLOSED, "", early_response_closed),
    Rule::new("Q1", &texts::EARLY_RESPONSE_PASSED_ON, "", early_response_passed_on),
];

/// What the end of an exchange tells: who closed, and when.
pub(super) const ENDINGS: &[Rule] = &[
    Rule::new("Q3", &texts::REQUEST_TIMEOUT, "in its head", timeout_in_head),
    Rule::new("Q3", &texts::REQUEST_TIMEOUT, "in its body", timeout_in_body),
    Rule::new(
        "Q3",
        &texts::REQUEST_TIMEOUT,
        "somewhere in its request, of which the snap length cut off the rest,",
        timeout_of_cut,
    ),
    Rule::new("Q6", &texts::HALF_CLOSE, "", half_close),
    Rule::new("Q5", &texts::CLIENT_ABORT, "while it waited for the answer", left_waiting)
        .with(Figures::Waiting),
    Rule::new("Q5", &texts::CLIENT_ABORT, "in the middle of its request", left_sending)
        .with(Figures::Waiting),
    Rule::new(
        "Q5",
        &texts::CLIENT_ABORT,
        "before a byte of the answer (the snap length hides whether it had sent all of its request)",
        left_cut,
    )
    .with(Figures::Waiting),
    Rule::new("Q5", &texts::CLIENT_ABORT, "in the middle of the answer", left_reading).with(Figures::Waiting),
];

/// Q7: the client waited for `100 Continue`, and it never came.
fn continue_stall(case: &Case<'_>) -> Option<Certainty> {
    let asked = case.has(ExchangeFlags::EXPECTS_CONTINUE) && case.request_has_body();
    if !asked
        || case.has(ExchangeFlags::INTERIM)
        || case.has(ExchangeFlags::EARLY_RESPONSE)
        || !case.is_whole()
    {
        return None;
    }
    let request = &case.raw.request;
    if request.body_bytes > 0 {
        let waited = request.end.0.saturating_sub(request.start.0) >= CONTINUE_WAIT_NS;
        return (waited && request.body_bytes <= SHORT_BODY).then_some(Certainty::Likely);
    }
    // A final answer instead of 100 is what the client asked for (RFC 9110, section 10.1.1).
    let stalled = !case.raw.response.is_present() && case.silence_ns()? >= CONTINUE_WAIT_NS;
    stalled.then_some(Certainty::Certain)
}

/// Q7: a `100 Continue` that nobody asked for. Other interim responses need no asking (RFC 8297).
fn unsolicited_1xx(case: &Case<'_>) -> Option<Certainty> {
    let unasked = case.has(ExchangeFlags::UNASKED_INTERIM) && case.has(ExchangeFlags::CONTINUED);
    unasked.then_some(Certainty::Certain)
}

/// Q10: the head is above the server's limit.
fn header_too_large(case: &Case<'_>) -> Option<Certainty> {
    let head = case.request_head();
    let around = || case.around.link(case.exchange.link_id());
    let target = u64::from(case.raw.target.len);
    match case.status() {
        Some(414 | 431 | 494) if case.answered_itself() && head >= SMALLEST_HEAD_LIMIT => {
            Some(Certainty::Certain)
        }
        Some(400) => {
            let large = head >= USUAL_HEAD_LIMIT || target >= SMALLEST_HEAD_LIMIT;
            let closes = case.has(ExchangeFlags::SERVER_CLOSES) || case.life.server_ended().is_some();
            let well_formed = !case.has(ExchangeFlags::REQUEST_INVALID);
            let alone = || case.answered_itself() && around().served_head < head;
            (large && closes && well_formed && alone()).then_some(Certainty::Likely)
        }
        // uwsgi and Varnish drop the connection: all that they dropped are larger than all that they answered.
        None if case.outcome == Outcome::NoResponse
            && (case.is_first() || case.was_in_hand())
            && head > SMALLEST_HEAD_LIMIT =>
        {
            let around = around();
            let above_limit = around.dropped_head.is_some_and(|least| least > SMALLEST_HEAD_LIMIT);
            let served = around.served_head > 0 && around.served_head <= SMALLEST_HEAD_LIMIT;
            (above_limit && served && case.is_whole()).then_some(Certainty::Likely)
        }
        _ => None,
    }
}

/// Q9, by a client that gets nothing else answered while others are served.
fn bad_request_of_stranger(case: &Case<'_>) -> Option<Certainty> {
    bad_request(case).filter(|_| case.around.is_by_stranger(case.exchange))
}

/// Q9: the request breaks the protocol, and the server says so.
fn bad_request(case: &Case<'_>) -> Option<Certainty> {
    let conflicting = case.has(ExchangeFlags::CONFLICTING_FRAMING)
        && !case.has(ExchangeFlags::RESPONSE_CONFLICTING_FRAMING);
    if is_unreadable(case) {
        return Some(Certainty::Likely);
    }
    // Of a head whose end never came nobody can say so.
    let known = case.raw.request.head_bytes > 0;
    if !known || !(case.has(ExchangeFlags::REQUEST_INVALID) || conflicting) || !case.answered_itself() {
        return None;
    }
    match case.status() {
        Some(400) => Some(Certainty::Certain),
        Some(405 | 501 | 505) => Some(Certainty::Likely),
        None if case.outcome == Outcome::NoResponse && case.is_first() && case.is_whole() => {
            (case.has_known_method() && !case.has_unread_answer()).then_some(Certainty::Likely)
        }
        _ => None,
    }
}

/// Whether 400 is the answer to bytes that are no request, such as a method with a control byte in it.
fn is_unreadable(case: &Case<'_>) -> bool {
    let flow = case.life.flow;
    let unread = flow.wire.first(Side::Client) == FirstBytes::Other && flow.direction(Side::Client).bytes > 0;
    case.status() == Some(400)
        && case.raw.response.is_complete()
        && !case.raw.request.is_present()
        && flow.opening == Opening::Handshake
        && unread
        && case.is_whole()
}

/// Q2: a proxy's own 413, without asking the hop behind it.
fn request_too_large(case: &Case<'_>) -> Option<Certainty> {
    // Of a head that the snap length cut nobody can tell what it announces, but the answer says it.
    let cut = case.raw.request.head_bytes == 0 && case.life.only_cut();
    if case.status() != Some(413) || !case.answered_itself() || !case.request_has_body() && !cut {
        return None;
    }
    match case.server_role() {
        Role::Proxy if case.around.may_pass_on(case.exchange) => None,
        Role::Proxy if cut && case.around.may_hold_refusal(case.exchange) => None,
        Role::Proxy if cut => Some(Certainty::Possible),
        Role::Proxy if case.is_whole() => Some(Certainty::Certain),
        // A part of what happened here is missing, and the attempt behind it may be too.
        Role::Proxy => Some(Certainty::Possible),
        // What stands behind it was not captured, but its name is that of a proxy.
        _ if server_is_proxy(case) => Some(Certainty::Likely),
        _ => None,
    }
}

/// Q2: a proxy stopped in the middle of a body that it passed on, though it had more of it, and answered by itself.
fn cut_while_passing_on(case: &Case<'_>) -> Option<Certainty> {
    let request = &case.raw.request;
    let left = matches!(case.outcome, Outcome::Aborted | Outcome::TimedOut);
    let unread = case.raw.response.is_present() && case.exchange.left_before_response().is_none();
    if !left || unread || !case.life.never_finished(case.exchange.connection(), request) || !case.is_whole() {
        return None;
    }
    // A server that takes no more is another matter, and so is a client that left or sent no more.
    let parent = case.parent()?;
    let asked = &parent.raw.request;
    let end = case.life.client_ended()?;
    let refused = parent.status().is_some_and(|status| status >= 400);
    let had_more = asked.body_bytes > request.body_bytes && request.body_bytes > 0;
    let waited = end.at.0.saturating_sub(request.end.0) >= SHORTEST_UNFINISHED_NS;
    (refused && had_more && !waited && case.request_arrived() && case.life.server_ended().is_none())
        .then_some(Certainty::Likely)
}

/// Whether the server of this exchange stopped passing it on: its own answer came early for that.
fn stopped_passing_on(case: &Case<'_>) -> bool {
    let stopped = |&child: &ExchangeId| {
        let exchange = case.analysis.exchange(child);
        let outcome = case.around.outcomes[child.0 as usize];
        let life = Life::of(exchange.connection());
        let (analysis, raw, around) = (case.analysis, exchange.raw, case.around);
        cut_while_passing_on(&Case { analysis, exchange, raw, outcome, life, around }).is_some()
    };
    case.analysis.trees.children(case.exchange.id).iter().any(stopped)
}

/// Products that pass requests on more often than not, as they call themselves.
const PROXIES: [&str; 18] = [
    "angie",
    "apisix",
    "ats/",
    "awselb",
    "caddy",
    "cloudflare",
    "cloudfront",
    "envoy",
    "h2o",
    "haproxy",
    "istio",
    "kong",
    "nginx",
    "openresty",
    "squid",
    "tengine",
    "traefik",
    "varnish",
];

/// Products that serve files and applications more often than not, and pass requests on as well.
const WEB_SERVERS: [&str; 2] = ["apache", "lighttpd"];

/// Whether the server names itself as a product that is a proxy more often than not.
pub(super) fn server_is_proxy(case: &Case<'_>) -> bool {
    server_is_one_of(case, &PROXIES)
}

/// Whether the server names itself as a product that can be a proxy.
pub(super) fn server_may_be_proxy(case: &Case<'_>) -> bool {
    server_is_proxy(case) || server_is_one_of(case, &WEB_SERVERS)
}

/// Whether the server names itself as one of these products.
pub(super) fn server_is_one_of(case: &Case<'_>, products: &[&str]) -> bool {
    let Some(name) = server_name(case).map(str::to_ascii_lowercase) else { return false };
    products.iter().any(|product| name.contains(product))
}

/// What the server calls itself (`Server`).
pub(super) fn server_name<'a>(case: &Case<'a>) -> Option<&'a str> {
    let facts = case.exchange.facts;
    let at = facts.server_headers.binary_search_by_key(&case.life.flow.server, |entry| entry.0).ok()?;
    Some(facts.name(facts.server_headers[at].1))
}

/// Q1: a whole response came before the request's end, and then a RST, which may destroy the response.
fn early_response_reset(case: &Case<'_>) -> Option<Certainty> {
    early_response(case, EventKind::Rst)
}

/// Q1: a whole response came before the request's end, and the server closed without reading the rest.
fn early_response_closed(case: &Case<'_>) -> Option<Certainty> {
    if case.raw.request.is_complete() {
        // Read to the end after all.
        return None;
    }
    early_response(case, EventKind::Fin)
}

/// Q1: a proxy was refused before it had passed the whole request on, and stopped there.
fn early_response_passed_on(case: &Case<'_>) -> Option<Certainty> {
    let refused = case.status().is_some_and(|status| status >= 400);
    let stopped = case.raw.request.state == MessageState::Partial && case.life.client_ended().is_some();
    (is_early(case) && refused && stopped && case.parent().is_some() && !stopped_passing_on(case))
        .then_some(Certainty::Certain)
}

/// Whether the whole answer came while the request's body was still under way, and the client had not asked first.
fn is_early(case: &Case<'_>) -> bool {
    // Who answers that the request, or what waits for its end, takes too long has waited for it.
    let stopped = || case.life.never_finished(case.exchange.connection(), &case.raw.request);
    let waited = || case.silence_ns().is_some_and(|silence| silence >= SHORTEST_UNFINISHED_NS);
    let timed_out = case.status() == Some(408) || case.status() == Some(504) && waited() && stopped();
    let early = case.has(ExchangeFlags::EARLY_RESPONSE) && case.raw.response.is_complete() && !timed_out;
    let asked_first = case.has(ExchangeFlags::EXPECTS_CONTINUE) && case.raw.request.body_bytes == 0;
    early && !asked_first && case.request_has_body() && case.is_whole() && !case.has(ExchangeFlags::TUNNEL)
}

fn early_response(case: &Case<'_>, end: EventKind) -> Option<Certainty> {
    if !is_early(case) {
        return None;
    }
    let response_end = case.raw.response.last_frame;
    let by_server = match end {
        EventKind::Rst => case.life.server_rst.filter(|rst| rst.frame > response_end),
        _ => case.life.server_ended(),
    };
    // A client that leaves because it has its answer is no fault of the server's.
    by_server.filter(|event| case.life.client_fin.is_none_or(|fin| fin.frame > event.frame))?;
    (!stopped_passing_on(case)).then_some(Certainty::Certain)
}

/// Q3, where the snap length hides whether the request was whole: the status says so, or a proxy passed nothing on and
/// closed when a timer would.
fn timeout_of_cut(case: &Case<'_>) -> Option<Certainty> {
    if !case.head_is_cut() || !case.has_known_method() {
        return None;
    }
    let children = case.analysis.trees.children(case.exchange.id);
    let passed_on = || children.iter().any(|&child| case.analysis.exchange(child).status() == Some(408));
    if case.status() == Some(408) {
        return (!passed_on()).then_some(Certainty::Certain);
    }
    if !children.is_empty() {
        return None;
    }
    let unanswered = !case.raw.response.is_present() && !case.has_unread_answer();
    let end = case.life.server_ended().filter(|_| unanswered && case.server_role() == Role::Proxy)?;
    let timer = is_usual_timeout(case.silence_before(end)) && !case.around.may_have_asked(case.exchange);
    timer.then_some(Certainty::Possible)
}

fn timeout_in_head(case: &Case<'_>) -> Option<Certainty> {
    if case.raw.request.head_bytes == 0 && case.has_known_method() { request_timeout(case) } else { None }
}

fn timeout_in_body(case: &Case<'_>) -> Option<Certainty> {
    if case.raw.request.head_bytes > 0 { request_timeout(case) } else { None }
}

/// Q3: the client stopped in the middle of its request, and the server closed or said so after a silence.
fn request_timeout(case: &Case<'_>) -> Option<Certainty> {
    let request = &case.raw.request;
    let unfinished = case.life.never_finished(case.exchange.connection(), request);
    // Traffic Server says 504: what it waited for from behind could not come.
    let told = case.status().filter(|status| matches!(status, 408 | 504));
    let answered = case.raw.response.is_present();
    if !unfinished || answered && told.is_none() || !case.is_whole() {
        return None;
    }
    let heard = || case.life.client_ended().is_none_or(|end| end.frame > case.raw.response.first_frame);
    let decided = match answered {
        true if heard() => case.raw.response.start,
        true => return None,
        false => case.life.server_ended()?.at,
    };
    let (silence, total) = (case.silence_ns()?, decided.0.saturating_sub(request.start.0));
    if silence < SHORTEST_TIMER_NS && told != Some(408) {
        return None;
    }
    let timer = told == Some(408) || is_usual_timeout(silence) || is_usual_timeout(total);
    Some(if timer { Certainty::Certain } else { Certainty::Likely })
}

/// Whether the client side left this exchange of its own will, as far as can be told.
fn left(case: &Case<'_>) -> bool {
    let gone = match case.outcome {
        Outcome::Aborted => true,
        // A user's timer; between hops it is the server that did not answer.
        Outcome::TimedOut => case.server_role() == Role::Proxy,
        _ => false,
    };
    let known = case.has_known_method() && !case.has_unread_answer();
    gone && known
        && case.on_user_link()
        && !case.is_inherited()
        && !is_end_of_run(case)
        && !may_be_a_hop(case)
}

/// Whether the client may be a proxy as well as a user: it stands on the server's own host, where all hops have one
/// address, and the snap length cut off what would tell its requests from those that it only passes on.
fn may_be_a_hop(case: &Case<'_>) -> bool {
    let flow = case.life.flow;
    let cut = flow.directions.iter().any(|direction| direction.cut_bytes > 0);
    cut && flow.client.ip() == flow.server.ip() && case.raw.request.head_bytes == 0
}

/// Whether the client was about to end anyway: a load generator at the end of its run drops what is under way.
fn is_end_of_run(case: &Case<'_>) -> bool {
    let connection = case.exchange.connection();
    let around = case.around.link(connection.inner.link);
    let Some(&(last_start, answered)) = around.clients.get(&connection.inner.client.ip()) else {
        return false;
    };
    let Some(end) = case.life.client_ended() else { return false };
    let (closed, waited) =
        (connection.time(end.at, end.frame), end.at.0.saturating_sub(case.raw.request.start.0));
    // It had its answers until then, asked nothing more, and had not waited longer than for those.
    answered >= 10 && last_start <= closed && waited <= around.slow_ns()
}

/// Q6: the client closed its sending side right behind the request; it may well have gone on reading. Clients that leave
/// while they wait, as a load generator does at its end, do so at any time: then a few are as quick by chance.
fn half_close(case: &Case<'_>) -> Option<Certainty> {
    let after_ns = closed_after_ns(case.exchange)?;
    let half_closed = matches!(case.outcome, Outcome::Aborted | Outcome::TimedOut)
        && case.raw.request.is_complete()
        && !case.raw.response.is_present()
        && !case.has_unread_answer()
        && (0..=RIGHT_BEHIND_NS).contains(&after_ns)
        && case.life.client_rst.is_none();
    // The server took the FIN for a goodbye and closed as well.
    let taken_for_abort = case.life.server_fin.is_some() || case.life.server_rst.is_some();
    if !half_closed || !taken_for_abort || !case.on_user_link() {
        return None;
    }
    let (all, at_once) = case.around.link(case.exchange.link_id()).closed_waiting;
    (at_once * 10 >= all * 9).then_some(Certainty::Likely)
}

/// Q5: the client left before any byte of the answer.
fn left_waiting(case: &Case<'_>) -> Option<Certainty> {
    let waiting = case.raw.request.is_complete() && !case.raw.response.is_present();
    (waiting && left(case)).then_some(Certainty::Certain)
}

/// Q5: the client left before any byte of the answer, and the snap length hides whether its request was whole.
fn left_cut(case: &Case<'_>) -> Option<Certainty> {
    (case.head_is_cut() && !case.raw.response.is_present() && left(case)).then_some(Certainty::Certain)
}

/// Q5: the client left before its request was whole.
fn left_sending(case: &Case<'_>) -> Option<Certainty> {
    let sending = case.raw.request.state == MessageState::Partial && !case.raw.response.is_complete();
    (sending && left(case)).then_some(Certainty::Certain)
}

/// Q5: the client left before the answer was whole. An answer of unknown length may have been a stream.
fn left_reading(case: &Case<'_>) -> Option<Certainty> {
    // An answer whose end nobody can see is the server's fault (P12).
    if !case.raw.response.is_present() || case.has(ExchangeFlags::UNFRAMED) || !left(case) {
        return None;
    }
    let counted = matches!(case.raw.response.framing, Framing::Length(_));
    Some(if counted { Certainty::Certain } else { Certainty::Possible })
}
