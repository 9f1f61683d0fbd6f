//! Who connects where no request is ever answered: a proxy answers 502 or 504 itself, and its attempts lie inside the
//! requests that it answers so.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::capture::CaptureId;

use super::cause::{Causes, Endpoint, Leg};
use super::inside::delay;
use super::lanes::Seen;

/// Fewer attempts prove nothing.
const LEAST: usize = 2;
/// What chance would need luck for: one in e to the power of this.
const LUCK: f64 = 10.0;
/// The same where attempts and answers are of two captures: that these were taken by one clock is part of what it says.
const LUCK_APART: f64 = 20.0;

/// Start and end in session time, nanoseconds.
type Span = (i64, i64);

/// Finds the endpoint whose failed answers explain the connections of each client that gets no answer at all. Times are
/// compared within one capture, or else as one machine takes two: by their stamps.
pub(super) fn follow(seen: &Seen<'_>, causes: &mut Causes) {
    let answered = answered_legs(seen, causes);
    let is_mute =
        |(at, leg): (usize, &Leg)| !answered[at] && leg.parents.is_empty() && !leg.client.is_loopback();
    let mut attempts: BTreeMap<IpAddr, Vec<(CaptureId, i64)>> = BTreeMap::new();
    for (at, &leg) in
        causes.leg_of.iter().enumerate().filter(|(_, leg)| is_mute((**leg, &causes.legs[**leg])))
    {
        let begun = (seen.capture(at), seen.first(at));
        attempts.entry(causes.legs[leg].client).or_default().push(begun);
    }
    attempts.retain(|_, all| all.len() >= LEAST);
    if attempts.is_empty() {
        return;
    }
    let failed = failed_answers(seen, causes);
    for (client, all) in attempts {
        let own = own_endpoints(causes, client);
        // Who serves somebody asks for those, and for nobody else; what it asks of itself goes through it twice.
        let may_ask = |endpoint: usize| {
            if own.is_empty() { !causes.is_asked_by(endpoint, client) } else { own.contains(&endpoint) }
        };
        let candidates = failed.iter().filter(|(endpoint, _)| may_ask(**endpoint));
        let lucky = candidates.filter_map(|(endpoint, spans)| Some((luck(&all, spans)?, *endpoint)));
        let best = lucky.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, endpoint)| vec![endpoint]);
        // One that listens on several ports fails at each of them.
        let together =
            || luck(&all, &joined(own.iter().filter_map(|own| failed.get(own)))).map(|_| own.clone());
        if let Some(endpoints) = best.or_else(together) {
            let parents: Vec<(usize, usize)> =
                endpoints.iter().map(|&endpoint| (endpoint, all.len())).collect();
            let legs = causes.legs.iter_mut().enumerate();
            for (_, leg) in legs.filter(|(at, leg)| leg.client == client && is_mute((*at, leg))) {
                leg.parents.clone_from(&parents);
            }
        }
    }
}

/// Endpoints at the address of a client where requests were seen.
fn own_endpoints(causes: &Causes, client: IpAddr) -> Vec<usize> {
    let is_own =
        |(_, endpoint): &(usize, &Endpoint)| endpoint.address.ip() == client && endpoint.exchanges > 0;
    causes.endpoints.iter().enumerate().filter(is_own).map(|(at, _)| at).collect()
}

/// The failed requests of several endpoints.
fn joined<'a>(all: impl Iterator<Item = &'a Failed>) -> Failed {
    let mut joined = Failed::new();
    for (capture, (spans, length)) in all.flatten() {
        let (known, longest) = joined.entry(*capture).or_default();
        known.extend(spans);
        *longest = (*longest).max(*length);
    }
    joined.values_mut().for_each(|(spans, _)| spans.sort_unstable());
    joined
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

/// By endpoint and capture: the requests that a gateway's error answered, in the order of their start, and how much
/// time the capture spans.
type Failed = BTreeMap<CaptureId, (Vec<Span>, i64)>;

fn failed_answers(seen: &Seen<'_>, causes: &Causes) -> BTreeMap<usize, Failed> {
    let mut all: BTreeMap<usize, Failed> = BTreeMap::new();
    for (at, &leg) in causes.leg_of.iter().enumerate() {
        let capture = seen.capture(at);
        for exchange in seen.facts(at).exchanges_of(seen.flow(at)) {
            let gateway = exchange.status.is_some_and(|status| matches!(status.get(), 502..=504))
                && exchange.response.is_complete();
            if gateway && exchange.request.is_present() {
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
fn luck(attempts: &[(CaptureId, i64)], failed: &Failed) -> Option<f64> {
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
    use crate::testing::Script;
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

    #[test]
    fn who_listens_on_two_ports_and_connects_in_vain_is_not_the_hop_before() {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let legs: Vec<_> = (0..2)
            .map(|n| {
                script.connection(
                    0,
                    &format!("10.0.1.2:{}", 5000 + n),
                    &format!("10.0.1.3:{}", 8080 + n),
                    500,
                )
            })
            .collect();
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
    fn so_it_is_in_two_captures_of_one_clock_where_it_happens_more_often() {
        let chain = [vec!["10.0.1.1"], vec!["10.0.1.2", "10.0.2.1"], vec!["10.0.2.2"]];
        assert_eq!(lanes(8, MS / 5, true), chain);
        assert_ne!(lanes(2, MS / 5, true), chain);
        assert_ne!(lanes(8, 20 * MS, true), chain);
    }
}
