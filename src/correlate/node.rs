//! What matching needs to know of an exchange, gathered once.

use super::home;
use crate::analysis::{Analysis, ExchangeView};
use crate::capture::CaptureId;
use crate::http::{Exchange, ExchangeFlags, HeaderDigest, Message, MessageState, NameId};
use crate::topology::keys::{request_key, suffix_key, text_hash};
use crate::topology::{ConnectionId, ExchangeId, LinkId, SLACK_NS, tolerance_ns};

/// What a hop waits at least before it asks a second server, in nanoseconds.
const HEDGE_NS: i64 = 500_000;

/// An exchange as the matching sees it. Times are session time in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub id: ExchangeId,
    pub link: LinkId,
    pub connection: ConnectionId,
    /// Method, target and body; equal requests have equal ones.
    pub key: u64,
    /// Method and the target's end.
    pub suffix: u64,
    /// Method, body and what is left of the target behind the prefixes of this pair of links; 0 where none are known.
    pub rest: u64,
    /// Method and target alone.
    pub bare: u64,
    /// Nothing is known of its body, not even the length: the capture cut its head, or lost where a chunk ends. As a child
    /// also where the body was never sent whole.
    pub unmeasured: bool,
    /// Method, target and the length of a body; 0 without one.
    pub sized: u64,
    /// The capture misses bytes of its body, so that only the length can be compared.
    pub holed: bool,
    /// Whether it was gathered as a parent.
    pub is_parent: bool,
    /// Hash of the headers that this lane passes on and that tell requests apart; 0 when there are none.
    pub kept: u64,
    pub method: u32,
    /// CRC of the request's head: attempts of one request have equal ones.
    pub head: u32,
    /// The request id chosen for this pair of links; 0 for none, or where many requests have it.
    pub request_id: u64,
    /// The same where several requests have it, few or many: it tells which may belong together, and not which do.
    pub shared_id: u64,
    pub authority: u64,
    /// As a parent: what its target is called in headers such as `X-Original-URI`. As a child: what it names so.
    pub original: u64,
    /// As a parent: hash of its client's address. As a child: hash of the client address that it names; 0 for none.
    pub client: u64,
    pub start: i64,
    /// When the hop began to ask: it opened the connection for this request, where that is seen; else `start`. A busy
    /// hop writes the request later, but opens the connection at once when it has a reason to.
    pub begun: i64,
    /// When its fate was known.
    pub settled: i64,
    /// When the hop was done with it: it closed the connection after a failure, where that is seen; else `settled`.
    pub left: i64,
    /// When the news of a failure came: the server's FIN or RST, which may lie before the request; else `settled`.
    pub news: i64,
    /// The hop closed the connection while this waited for its answer, before the server did.
    pub dropped: bool,
    /// What its children must not outlast; `i64::MAX` when its own end was not seen.
    pub limit: i64,
    pub tolerance: i64,
    /// As a child without an answer: how long it may have been under way when the capture saw it. What the hop learnt in
    /// the meantime, such as the server's FIN, it learnt before this `start`.
    pub travel: i64,
    pub capture: CaptureId,
    /// As a parent: hash of its client's address and port. As a child: that of the source by a PROXY header; 0 for none.
    pub socket: u64,
    /// Hash of what stands for the machine of the hop whose lane this is about: as a parent its server's, as a child its
    /// client's.
    pub host: u64,
    /// As a parent: its client asks for itself, from the address that it has.
    pub is_first_hand: bool,
    /// The group of captures whose clocks agree with its own.
    pub group: u16,
    pub status: u16,
    /// A whole answer was seen.
    pub answered: bool,
    /// It was answered, and the capture cut the answer's head: nothing says where it ended. `settled` is its beginning then.
    pub cut_answer: bool,
    pub near_hole: bool,
    /// Method and body; 0 without a body.
    pub body: u64,
    pub response_bytes: u64,
}

impl Node {
    /// Whether it was answered, and with no failure.
    pub(super) fn went_well(&self) -> bool {
        self.answered && self.status < 400
    }

    /// Whether its answer came, whole or as far as the capture tells.
    pub(super) fn has_answer(&self) -> bool {
        self.answered || self.cut_answer
    }

    /// Whether it began when the failure of an earlier one was known, so that it may be another attempt.
    pub(super) fn follows_failure(&self, earlier: &Self) -> bool {
        !(earlier.went_well() || earlier.cut_answer && earlier.status < 400)
            && earlier.settled.min(earlier.news) <= self.start.saturating_add(earlier.slack(self))
    }

    /// Whether it asks for the same as an earlier one that still waits, so that the first answer counts: of the two one
    /// is given up. A copy for another purpose (mirroring) is sent at once, and both are answered.
    pub(super) fn hedges(&self, earlier: &Self) -> bool {
        let is_second = earlier.head == self.head
            && earlier.link == self.link
            && earlier.connection != self.connection
            && earlier.start.saturating_add(HEDGE_NS) <= self.start
            && self.start < earlier.settled.min(earlier.news);
        let (lost, won) = if earlier.answered { (self, earlier) } else { (earlier, self) };
        // One that the server closed has failed by itself, and what runs beside it is another request.
        is_second && won.answered && lost.dropped && won.settled <= lost.left.saturating_add(won.slack(lost))
    }

    /// How far the times of two nodes may be apart by their clocks.
    pub(super) fn slack(&self, other: &Self) -> i64 {
        if self.capture == other.capture { SLACK_NS } else { self.tolerance.saturating_add(other.tolerance) }
    }
}

/// The exchanges of these links whose requests were seen, with their times in the captures at `home`.
pub(super) fn gather(analysis: &Analysis, links: &[LinkId], as_parents: bool, home: &[bool]) -> Vec<Node> {
    let forwarded: Vec<[Option<NameId>; 2]> = analysis
        .captures
        .iter()
        .map(|facts| ["x-real-ip", "x-forwarded-for"].map(|name| facts.find_name(name)))
        .collect();
    let mut nodes = Vec::new();
    for link in links {
        let from = nodes.len();
        for &connection in &analysis.link(*link).connections {
            let view = analysis.connection(connection);
            let sighting = home::sighting(&view, home);
            let end = if as_parents { view.inner.server } else { view.inner.client };
            let capture = view.inner.sightings[0].capture;
            let host = address_hash(&analysis.topology.hosts.in_capture(end.ip(), capture).to_string());
            let source = view.flow().wire.proxied().map(|ends| ends.0);
            let socket = if as_parents { Some(view.inner.client) } else { source };
            let socket = socket.map_or(0, |socket| address_hash(&socket.to_string()));
            let client = if as_parents { address_hash(&view.inner.client.ip().to_string()) } else { 0 };
            let is_translated = view.flow().client.ip() != view.inner.client.ip();
            for exchange in view.exchanges().filter(|x| x.raw.request.is_present()) {
                let mut node = node(&exchange);
                let names = forwarded[exchange.capture.index()];
                let forwards =
                    || exchange.headers().iter().any(|digest| names.contains(&Some(digest.name())));
                node.is_first_hand = as_parents && !is_translated && source.is_none() && !forwards();
                if let Some(sighting) = sighting {
                    home::set_times(analysis, &mut node, &exchange, sighting);
                }
                if let Some(end) = answered_by(&exchange, sighting.is_some()) {
                    node.settled = node.settled.min(end);
                }
                (node.begun, node.left, node.news) = (node.start, node.settled, node.settled);
                if !as_parents {
                    node.unmeasured |= is_cut(exchange.raw);
                    home::set_edges(analysis, &mut node, &exchange, sighting);
                }
                (node.client, node.is_parent) = (client, as_parents);
                (node.host, node.socket) = (host, socket);
                if !as_parents {
                    let names = forwarded[exchange.capture.index()].iter().flatten();
                    // Each hop may add a line of its own: the last one is that of the hop before.
                    let named = |name: &NameId| exchange.headers().iter().rfind(|h| h.name() == *name);
                    node.client = names.filter_map(named).map(|digest| digest.value()).next().unwrap_or(0);
                }
                nodes.push(node);
            }
        }
        if !as_parents {
            home::set_travels(analysis, *link, &mut nodes[from..], home);
        }
    }
    nodes.sort_unstable_by_key(|node| (node.start, node.id));
    nodes
}

/// When a request whose answer the capture misses had been answered: on one connection answers come in the order of the
/// requests (RFC 9112, section 9.3.2). Else it would seem to wait until the connection ends. A look from elsewhere has a
/// delay that may make this too early.
fn answered_by(exchange: &ExchangeView<'_>, elsewhere: bool) -> Option<i64> {
    let response = &exchange.raw.response;
    let lost =
        !response.is_seen() && (response.is_present() || exchange.raw.flags.has(ExchangeFlags::NEAR_HOLE));
    let next = ExchangeId(exchange.id.0 + 1);
    if !lost || elsewhere || next.0 >= exchange.connection().inner.exchanges.end {
        return None;
    }
    let next = exchange.analysis.exchange(next);
    let response = next.raw.response.is_seen().then_some(&next.raw.response)?;
    Some(exchange.analysis.session_time(next.capture, response.start, response.first_frame).0)
}

/// Whether a request has a head, and a body that its client did not send to its end.
fn is_cut(raw: &Exchange) -> bool {
    raw.request.state == MessageState::Partial && raw.request.head_bytes > 0
}

/// Whether the capture lacks so much of a request that it does not tell how long its body is.
fn is_unmeasured(request: &Message) -> bool {
    let is_holed = request.body_bytes > 0 && request.body_crc == 0;
    request.head_bytes == 0 || request.state == MessageState::Lossy && !is_holed
}

/// What a header that holds this address alone has as its digest.
fn address_hash(address: &str) -> u64 {
    HeaderDigest::new(NameId(0), address.as_bytes()).value()
}

/// Spreads the bits of a number over a hash (Fibonacci hashing).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn node(exchange: &ExchangeView<'_>) -> Node {
    let (facts, raw) = (exchange.facts, exchange.raw);
    let answered = raw.response.is_complete() && exchange.left_unheard().is_none();
    let body = u64::from(raw.request.body_crc).wrapping_add(raw.request.body_bytes << 32);
    let mixed = body.wrapping_mul(GOLDEN);
    let has_body = raw.request.body_bytes > 0;
    let sized = request_key(facts, raw) ^ (raw.request.body_bytes << 32).wrapping_mul(GOLDEN);
    let response = &raw.response;
    let cut_answer = facts.is_answer_cut(exchange.connection().flow(), raw);
    let settled = if cut_answer {
        exchange.analysis.session_time(exchange.capture, response.start, response.first_frame).0
    } else {
        exchange.settled().0
    };
    let clock = &exchange.analysis.topology.clocks[exchange.capture.index()];
    Node {
        id: exchange.id,
        link: exchange.link_id(),
        connection: exchange.connection_id(),
        key: request_key(facts, raw) ^ mixed,
        suffix: suffix_key(facts, raw) ^ mixed,
        rest: 0,
        bare: request_key(facts, raw),
        unmeasured: is_unmeasured(&raw.request),
        sized: if has_body { sized } else { 0 },
        holed: has_body && raw.request.body_crc == 0,
        is_parent: false,
        kept: 0,
        method: text_hash(exchange.method()) as u32,
        head: raw.request.head_crc,
        request_id: 0,
        shared_id: 0,
        authority: exchange.host().map_or(0, text_hash),
        original: 0,
        client: 0,
        host: 0,
        is_first_hand: false,
        start: exchange.started().0,
        begun: exchange.started().0,
        settled,
        left: settled,
        news: settled,
        dropped: false,
        limit: if answered { settled } else { i64::MAX },
        tolerance: tolerance_ns(clock),
        travel: 0,
        capture: exchange.capture,
        socket: 0,
        group: clock.group,
        status: exchange.status().unwrap_or(0),
        answered,
        cut_answer,
        near_hole: raw.flags.has(ExchangeFlags::NEAR_HOLE),
        body: if has_body { text_hash(exchange.method()) ^ mixed } else { 0 },
        response_bytes: raw.response.body_bytes,
    }
}

/// Headers in which a subrequest names the target of the request that it serves, and whether as a whole URL.
const ORIGINAL: [(&str, bool); 4] = [
    ("x-original-uri", false),
    ("x-original-url", true),
    ("x-forwarded-uri", false),
    ("x-rewrite-url", false),
];

/// Sets [`Node::original`], where children name the targets of the requests that they serve.
pub(super) fn set_originals(analysis: &Analysis, parents: &mut [Node], children: &mut [Node]) -> bool {
    for (name, whole) in ORIGINAL {
        if !analysis.captures.iter().any(|facts| facts.find_name(name).is_some()) {
            continue;
        }
        let mut found = false;
        for child in children.iter_mut() {
            child.original = analysis.exchange(child.id).header(name).unwrap_or(0);
            found |= child.original != 0;
        }
        if !found {
            continue;
        }
        for parent in parents {
            let exchange = analysis.exchange(parent.id);
            let target = exchange.target();
            let text = if whole {
                format!("http://{}{target}", exchange.host().unwrap_or(""))
            } else {
                target.into()
            };
            parent.original = HeaderDigest::new(NameId(0), text.as_bytes()).value();
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::analysis::analyse;
    use crate::correlate::Confidence;
    use crate::testing::Script;
    use crate::topology::{LinkId, Overrides};

    const MS: i64 = 1_000_000;

    #[test]
    fn a_request_whose_answer_lies_in_a_hole_holds_others_until_that_must_have_come_and_no_longer() {
        let mut script = Script::new("proxy.pcap");
        let users =
            [0, 1].map(|n| script.connection(0, &format!("10.0.0.1:{}", 3_000 + n), "10.0.0.2:80", 100));
        let asks =
            [0, 1].map(|n| script.connection(0, &format!("10.0.0.2:{}", 4_000 + n), "10.0.0.3:8000", 900));
        let mut lost = Vec::new();
        for n in 0..20i64 {
            let at = MS + n * 100 * MS;
            // The first user's answer is lost; the next one on its connection is not.
            for (user, at) in [(0, at), (0, at + 20 * MS), (1, at + 50 * MS)] {
                script.request(users[user], at, "GET", "/", &[], "");
                script.request(asks[user], at + MS, "GET", "/", &[], "");
                script.response(asks[user], at + 8 * MS, 200, 20);
                if user == 0 && at % (100 * MS) == MS {
                    script.lost_response(users[user], 80);
                    lost.push(at);
                } else {
                    script.response(users[user], at + 9 * MS, 200, 20);
                }
            }
        }
        let analysis = analyse(vec![script.finish()], &Overrides::default());
        let mut children = 0;
        for exchange in analysis.exchanges().filter(|x| x.connection().inner.server.port() == 8000) {
            let parentage = analysis.trees.parent(exchange.id).expect("a parent");
            let parent = analysis.exchange(parentage.parent);
            assert_eq!(exchange.started().0 - parent.started().0, MS, "{}", exchange.started().0);
            assert_ne!(parentage.confidence, Confidence::Ambiguous, "{}", exchange.started().0);
            children += 1;
        }
        assert_eq!((children, lost.len()), (60, 20));
        // The next answer on its connection came 29 ms after its request.
        let nodes = super::gather(&analysis, &[LinkId(0)], true, &[false]);
        for node in nodes.iter().filter(|node| lost.contains(&node.start)) {
            assert_eq!(node.settled, node.start + 29 * MS);
        }
        let unseen = analysis.exchanges().filter(|x| x.latency_ns().is_none());
        assert_eq!(unseen.count(), 20);
    }
}
