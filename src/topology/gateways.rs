//! Who connects where no request is ever answered: a proxy answers 502 or 504 itself, and its attempts lie inside the
//! requests that it answers so.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::capture::CaptureId;
use crate::http::Exchange;

use super::cause::{Causes, Leg};
use super::inside::delay;
use super::lanes::Seen;

/// Fewer attempts prove nothing.
const LEAST: usize = 2;
/// What chance would need luck for: one in e to the power of this.
const LUCK: f64 = 10.0;
/// The same where attempts and answers are of two captures: that these were taken by one clock is part of what it says.
const LUCK_APART: f64 = 20.0;

/// Who connects in vain: a client's address, on the loopback with the machine and the server that it tries.
type Caller = (IpAddr, Option<(IpAddr, SocketAddr)>);

/// Start and end in session time, nanoseconds.
type Span = (i64, i64);

/// Finds the endpoint whose failed answers explain the connections of each client that gets no answer at all. Times are
/// compared within one capture, or else as one machine takes two: by their stamps.
pub(super) fn follow(seen: &Seen<'_>, causes: &mut Causes) {
    let answered = answered_legs(seen, causes);
    let is_mute = |(at, leg): (usize, &Leg)| !answered[at] && leg.parents.is_empty();
    // On the loopback all hops have one address: there nothing but the server tells attempts apart.
    let tried = |leg: &Leg| (leg.host, causes.endpoints[leg.endpoint].address);
    let caller = |leg: &Leg| (leg.client, leg.client.is_loopback().then(|| tried(leg)));
    let mut attempts: BTreeMap<Caller, Vec<(CaptureId, i64)>> = BTreeMap::new();
    for (at, &leg) in
        causes.leg_of.iter().enumerate().filter(|(_, leg)| is_mute((**leg, &causes.legs[**leg])))
    {
        let begun = (seen.capture(at), seen.first(at));
        attempts.entry(caller(&causes.legs[leg])).or_default().push(begun);
    }
    let callers: Vec<Caller> = causes.legs.iter().map(caller).collect();
    attempts.retain(|_, all| all.len() >= LEAST);
    if attempts.is_empty() {
        return;
    }
    let own = endpoints_at(causes);
    let failed = services(causes, answers(seen, causes, is_gateways_error));
    let served = OnceCell::new();
    for (caller, all) in attempts {
        let client = caller.0;
        let machine = caller.1.map(|tried| tried.0);
        let own = own.get(&(client, machine)).map(Vec::as_slice).unwrap_or_default();
        // Who serves somebody asks for those, and for nobody else; what it asks of itself goes through it twice.
        let may_ask = |endpoint: &usize| {
            if own.is_empty() { !causes.is_asked_by(*endpoint, client) } else { own.contains(endpoint) }
        };
        let best_of = |services: &[Service]| {
            let candidates = services.iter().filter(|(endpoints, _)| endpoints.iter().all(may_ask));
            let lucky = candidates.filter_map(|(endpoints, spans)| Some((luck(&all, spans)?, endpoints)));
            lucky.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, endpoints)| endpoints.clone())
        };
        // Of several services at one address the one that tried in vain may have found another server.
        let saved = || {
            let all = || services(causes, answers(seen, causes, |exchange| exchange.response.is_present()));
            (own.len() > 1).then(|| best_of(served.get_or_init(all))).flatten()
        };
        if let Some(endpoints) = best_of(&failed).or_else(saved) {
            let parents: Vec<(usize, usize)> =
                endpoints.iter().map(|&endpoint| (endpoint, all.len())).collect();
            let legs = causes.legs.iter_mut().enumerate();
            for (_, leg) in legs.filter(|(at, leg)| callers[*at] == caller && is_mute((*at, leg))) {
                leg.parents.clone_from(&parents);
            }
        }
    }
}

/// By address, on the loopback with its machine, the endpoints there where requests were seen.
fn endpoints_at(causes: &Causes) -> BTreeMap<(IpAddr, Option<IpAddr>), Vec<usize>> {
    let mut all: BTreeMap<(IpAddr, Option<IpAddr>), Vec<usize>> = BTreeMap::new();
    for (at, endpoint) in causes.endpoints.iter().enumerate().filter(|(_, one)| one.exchanges > 0) {
        let address = endpoint.address.ip();
        all.entry((address, address.is_loopback().then_some(endpoint.host))).or_default().push(at);
    }
    all
}

/// Endpoints of one machine that are asked for the same others, and their requests together: one that listens on several
/// ports fails at each of them.
type Service = (Vec<usize>, Answers);

fn services(causes: &Causes, by_endpoint: BTreeMap<usize, Answers>) -> Vec<Service> {
    let mut parents: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for leg in &causes.legs {
        parents.entry(leg.endpoint).or_default().extend(leg.parents.iter().map(|parent| parent.0));
    }
    let mut all: BTreeMap<(IpAddr, BTreeSet<usize>), Service> = BTreeMap::new();
    for (at, answers) in by_endpoint {
        let key = (causes.endpoints[at].host, parents.remove(&at).unwrap_or_default());
        let (endpoints, joined) = all.entry(key).or_default();
        endpoints.push(at);
        for (capture, (spans, length)) in answers {
            let (known, longest) = joined.entry(capture).or_default();
            known.extend(spans);
            *longest = (*longest).max(length);
        }
    }
    let mut all: Vec<Service> = all.into_values().collect();
    for (spans, _) in all.iter_mut().flat_map(|(_, answers)| answers.values_mut()) {
        spans.sort_unstable();
    }
    all
}

/// Which legs got a response, if only once.
fn answered_legs(seen: &Seen<'_>, causes: &Causes) -> Vec<bool> {
    let mut answered = vec![false; causes.legs.len()];
    for (at, &leg) in causes.leg_of.iter().enumerate().filter(|(_, leg)| causes.legs[**leg].exchanges > 0) {
        let mut exchanges = seen.facts(at).exchanges_of(seen.flow(at)).iter();
        answered[leg] = answered[leg] || exchanges.any(|exchange| exchange.response.is_present());
    }
    answered
}

/// By capture: requests of one endpoint in the order of their start, and how much time the capture spans.
type Answers = BTreeMap<CaptureId, (Vec<Span>, i64)>;

/// A gateway's error, which tells that it has asked in vain.
fn is_gateways_error(exchange: &Exchange) -> bool {
    exchange.status.is_some_and(|status| matches!(status.get(), 502..=504)) && exchange.response.is_complete()
}

/// By endpoint: the requests that were answered so.
fn answers(seen: &Seen<'_>, causes: &Causes, wanted: impl Fn(&Exchange) -> bool) -> BTreeMap<usize, Answers> {
    let mut all: BTreeMap<usize, Answers> = BTreeMap::new();
    for (at, &leg) in causes.leg_of.iter().enumerate() {
        let capture = seen.capture(at);
        for exchange in seen.facts(at).exchanges_of(seen.flow(at)) {
            if exchange.request.is_present() && wanted(exchange) {
                let (request, response) = (&exchange.request, &exchange.response);
                let [start, end] =
                    [(request.start, request.first_frame), (response.end, response.last_frame)]
                        .map(|(time, frame)| seen.time(at, time, frame));
                let span = (start, end);
                all.entry(causes.legs[leg].endpoint).or_default().entry(capture).or_default().0.push(span);
            }
        }
    }
    let whole = seen.spans_by(|at| seen.capture(at));
    for (capture, (spans, length)) in all.values_mut().flatten() {
        spans.sort_unstable();
        *length = whole.get(capture).map_or(0, |(first, last)| last.saturating_sub(*first));
    }
    all
}

/// How unlikely it is that all attempts begin inside these requests, and as soon after they do, by chance: one in e to
/// the power of this. `None` where one does not, or chance would do.
fn luck(attempts: &[(CaptureId, i64)], failed: &Answers) -> Option<f64> {
    let is_apart = attempts.iter().all(|(capture, _)| !failed.contains_key(capture));
    let answers = |capture: &CaptureId| {
        // Which of several captures the answers are of, when they are not of this one, nothing says.
        if is_apart { failed.values().next().filter(|_| failed.len() == 1) } else { failed.get(capture) }
    };
    let delays = attempts.iter().map(|(capture, at)| delay((*at, *at), &answers(capture)?.0));
    let delays: Vec<i64> = delays.collect::<Option<_>>()?;
    let longest = delays.into_iter().max()?;
    let mut luck = 0.0;
    for (capture, _) in attempts {
        let (spans, length) = answers(capture)?;
        let soon: i64 = spans
            .iter()
            .map(|(start, end)| longest.min(end.saturating_sub(*start)))
            .fold(0, i64::saturating_add);
        luck -= ((soon + 1) as f64 / (length + 1) as f64).min(1.0).ln();
    }
    (luck >= if is_apart { LUCK_APART } else { LUCK }).then_some(luck)
}

#[cfg(test)]
mod tests {
    use crate::tcp::{Opening, Side};
    use crate::testing::{Conn, Script};
    use crate::topology::{Overrides, build};

    const MS: i64 = 1_000_000;

    /// The addresses of each lane of a chain in which the edge answers 502 to requests every so often, and as soon after
    /// each tries a server that refuses. The attempts are in a capture of their own, if `apart`.
    fn lanes(requests: i64, refused_after: i64, apart: bool) -> Vec<Vec<String>> {
        let mut scripts = vec![Script::new("edge.pcap")];
        if apart {
            scripts.push(Script::new("edge-out.pcap"));
        }
        let user = scripts[0].connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        for n in 1..=requests {
            // At no pace: what is moved by one then meets nothing.
            let at = (n * 100 + n * n * 7) * MS;
            scripts[0].request(user, at, "GET", &format!("/{n}"), &[], "");
            scripts[0].response(user, at + MS, 502, 20);
            let client = format!("10.0.2.1:{}", 4000 + n);
            let out = scripts.last_mut().unwrap();
            let attempt = out.connection(at + refused_after, &client, "10.0.2.2:8000", 100);
            out.rst(attempt, at + refused_after + MS / 10, Side::Server);
            out.flow(attempt).opening = Opening::Refused;
        }
        let captures: Vec<_> = scripts.into_iter().map(Script::finish).collect();
        let lanes = build(&captures, &Overrides::default()).lanes;
        let addresses =
            |lane: &crate::topology::Lane| lane.addresses.iter().map(ToString::to_string).collect();
        lanes.iter().map(addresses).collect()
    }

    #[test]
    fn who_connects_in_vain_whenever_the_edge_answers_502_is_the_edge() {
        let chain = [vec!["10.0.1.1"], vec!["10.0.1.2", "10.0.2.1"], vec!["10.0.2.2"]];
        assert_eq!(lanes(2, MS / 5, false), chain);
        assert_ne!(lanes(2, 20 * MS, false), chain);
    }

    /// A connection to each of two ports of one server, those that follow each other from these on.
    fn to_two_ports(script: &mut Script, client: (&str, u16), server: (&str, u16)) -> [Conn; 2] {
        let address = |(host, port): (&str, u16), n: u16| format!("{host}:{}", port + n);
        [0, 1].map(|n| script.connection(0, &address(client, n), &address(server, n), 500))
    }

    #[test]
    fn who_listens_on_two_ports_and_connects_in_vain_is_not_the_hop_before() {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let legs = to_two_ports(&mut script, ("10.0.1.2", 5000), ("10.0.1.3", 8080));
        for n in 1..=12 {
            let (at, target) = ((n * 100 + n * n * 7) * MS, format!("/{n}"));
            script.request(user, at, "GET", &target, &[], "");
            script.request(legs[n as usize % 2], at + MS, "GET", &target, &[], "");
            let attempt =
                script.connection(at + 2 * MS, &format!("10.0.1.3:{}", 4000 + n), "10.0.1.4:8000", 900);
            script.rst(attempt, at + 2 * MS + MS / 10, Side::Server);
            script.flow(attempt).opening = Opening::Refused;
            script.response(legs[n as usize % 2], at + 3 * MS, 502, 20);
            script.response(user, at + 4 * MS, 502, 20);
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        let addresses: Vec<usize> = lanes.iter().map(|lane| lane.addresses.len()).collect();
        assert_eq!(addresses, [1, 1, 1, 1], "{lanes:?}");
    }

    #[test]
    fn on_the_loopback_the_innermost_hop_whose_requests_hold_the_attempts_made_them() {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "127.0.0.1:3000", "127.0.0.1:80", 100);
        let edge = script.connection(0, "127.0.0.1:3001", "127.0.0.1:81", 500);
        let ingress = script.connection(0, "127.0.0.1:3002", "127.0.0.1:82", 900);
        for n in 1..=8 {
            let (at, target) = ((n * 100 + n * n * 7) * MS, format!("/{n}"));
            script.request(user, at, "GET", &target, &[], "");
            script.request(edge, at + MS, "GET", &target, &[], "");
            // Another server answers what the first one refused.
            let attempt =
                script.connection(at + 2 * MS, &format!("127.0.0.1:{}", 4000 + n), "127.0.0.1:83", 50);
            script.rst(attempt, at + 2 * MS + MS / 10, Side::Server);
            script.flow(attempt).opening = Opening::Refused;
            script.request(ingress, at + 3 * MS, "GET", &target, &[], "");
            for (time, conn) in [(4, ingress), (5, edge), (6, user)] {
                script.response(conn, at + time * MS, 200, 20);
            }
        }
        let topology = build(&[script.finish()], &Overrides::default());
        let refused = topology.links.iter().find(|link| link.servers.iter().any(|one| one.port() == 83));
        let asks = &topology.lanes[usize::from(refused.unwrap().from.0)];
        let serves: Vec<u16> = asks.serves.iter().map(std::net::SocketAddr::port).collect();
        assert_eq!(serves, [81]);
    }

    #[test]
    fn on_the_loopback_too_one_that_listens_on_two_ports_is_one() {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "127.0.0.1:3000", "127.0.0.1:80", 100);
        let legs = to_two_ports(&mut script, ("127.0.0.1", 3001), ("127.0.0.1", 81));
        for n in 1..=12 {
            let (at, target) = ((n * 100 + n * n * 7) * MS, format!("/{n}"));
            let leg = legs[n as usize % 2];
            script.request(user, at, "GET", &target, &[], "");
            script.request(leg, at + MS, "GET", &target, &[], "");
            let attempt =
                script.connection(at + 2 * MS, &format!("127.0.0.1:{}", 4000 + n), "127.0.0.1:90", 50);
            script.rst(attempt, at + 2 * MS + MS / 10, Side::Server);
            script.flow(attempt).opening = Opening::Refused;
            script.response(leg, at + 3 * MS, 503, 20);
            script.response(user, at + 4 * MS, 503, 20);
        }
        let topology = build(&[script.finish()], &Overrides::default());
        let refused = topology.links.iter().find(|link| link.servers.iter().any(|one| one.port() == 90));
        let asks = &topology.lanes[usize::from(refused.unwrap().from.0)];
        assert!(asks.serves.iter().all(|one| one.port() > 80) && !asks.serves.is_empty(), "{asks:?}");
    }

    #[test]
    fn so_it_is_in_two_captures_of_one_clock_where_it_happens_more_often() {
        let chain = [vec!["10.0.1.1"], vec!["10.0.1.2", "10.0.2.1"], vec!["10.0.2.2"]];
        assert_eq!(lanes(8, MS / 5, true), chain);
        assert_ne!(lanes(2, MS / 5, true), chain);
        assert_ne!(lanes(8, 20 * MS, true), chain);
    }
}
