//! Who asks for whose sake where requests have nothing in common but the time, as behind a proxy that rewrites them: what a
//! client asks, always inside the requests of one endpoint, is asked there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cause::{Causes, Leg, Sample, ends};
use super::inside::{FEWEST_OF_STRANGERS, LUCK_OF_STRANGERS, is_steady, lie_inside, may_lie_inside};
use super::lanes::Seen;

/// An endpoint that more addresses ask has users, and no proxy before it.
const MOST_CLIENTS: usize = 8;
/// Pairs of a client and an endpoint that are compared at most.
const MOST_PAIRS: usize = 4_096;

/// Start and end in session time, nanoseconds.
type Span = (i64, i64);

/// Finds parents for legs that have none.
pub(super) fn follow(seen: &Seen<'_>, causes: &mut Causes, sample: &Sample) {
    follow_loopback(seen, causes, sample);
    follow_addresses(seen, causes, sample);
}

fn is_open(leg: &Leg) -> bool {
    leg.exchanges > 0 && leg.parents.is_empty()
}

/// On a loopback address everybody is the same client, and each machine has one of its own.
fn follow_loopback(seen: &Seen<'_>, causes: &mut Causes, sample: &Sample) {
    let open: Vec<bool> = causes.legs.iter().map(|leg| leg.client.is_loopback() && is_open(leg)).collect();
    let spans = Spans::of(seen, causes, sample, &open, |at| seen.capture(at).index());
    for (&(leg, capture), inner) in &spans.inner {
        let own = causes.legs[leg].endpoint;
        let others = spans.outer.iter().filter(|((endpoint, of), _)| *endpoint != own && *of == capture);
        // Those above hold them too, but begin earlier.
        let holding =
            others.filter_map(|((endpoint, _), outer)| Some((lie_inside(inner, outer)?, *endpoint)));
        if let Some((_, endpoint)) = holding.max_by(|a, b| a.0.total_cmp(&b.0)) {
            causes.legs[leg].parents = vec![(endpoint, inner.len())];
        }
    }
}

/// A machine may ask from another address than the one it is asked at, and nothing need tell that both are its own.
fn follow_addresses(seen: &Seen<'_>, causes: &mut Causes, sample: &Sample) {
    let hosts: BTreeSet<IpAddr> = causes.endpoints.iter().map(|endpoint| endpoint.host).collect();
    let mut clients = vec![0usize; causes.endpoints.len()];
    causes.legs.iter().for_each(|leg| clients[leg.endpoint] += 1);
    let may_be_proxy = |leg: &Leg| {
        let stranger = !leg.client.is_loopback() && !hosts.contains(&leg.host);
        stranger
            && is_open(leg)
            && leg.exchanges >= FEWEST_OF_STRANGERS
            && clients[leg.endpoint] <= MOST_CLIENTS
    };
    let open: Vec<bool> = causes.legs.iter().map(may_be_proxy).collect();
    let group = |at: usize| usize::from(seen.clocks[seen.capture(at).index()].group);
    let spans = Spans::of(seen, causes, sample, &open, group);
    let mut pairs = 0;
    for (&(leg, group), inner) in &spans.inner {
        let own = causes.legs[leg].endpoint;
        if inner.len() < FEWEST_OF_STRANGERS || is_steady(inner) {
            continue;
        }
        let asks = |upper: usize, lower: usize| {
            let parents = causes.legs.iter().filter(|leg| leg.endpoint == lower).flat_map(|leg| &leg.parents);
            parents.into_iter().any(|parent| parent.0 == upper)
        };
        let mut best: Option<(f64, usize)> = None;
        for (&(endpoint, of), outer) in &spans.outer {
            // Who asks both has reasons of its own.
            if endpoint == own || of != group || causes.is_asked_by(endpoint, causes.legs[leg].client) {
                continue;
            }
            pairs += 1;
            if pairs > MOST_PAIRS {
                return;
            }
            let luck = || lie_inside(inner, outer).filter(|luck| *luck >= LUCK_OF_STRANGERS);
            if may_lie_inside(inner, outer)
                && !asks(own, endpoint)
                && let Some(luck) = luck().filter(|luck| best.is_none_or(|best| *luck > best.0))
            {
                best = Some((luck, endpoint));
            }
        }
        if let Some((_, endpoint)) = best {
            causes.legs[leg].parents = vec![(endpoint, inner.len())];
        }
    }
}

/// The answered requests of the sample, sorted; those of open legs, and of all endpoints, by what else they must share.
#[derive(Default)]
struct Spans {
    /// By leg and place.
    inner: BTreeMap<(usize, usize), Vec<Span>>,
    /// By endpoint and place.
    outer: BTreeMap<(usize, usize), Vec<Span>>,
}

impl Spans {
    /// `place` tells for a connection within which times are compared; nothing is gathered when no leg is open.
    fn of(
        seen: &Seen<'_>,
        causes: &Causes,
        sample: &Sample,
        open: &[bool],
        place: impl Fn(usize) -> usize,
    ) -> Self {
        let mut all = Self::default();
        if !open.contains(&true) {
            return all;
        }
        for at in 0..seen.len() {
            let (facts, flow, place) = (seen.facts(at), seen.flow(at), place(at));
            let leg = causes.leg_of[at];
            for exchange in facts.exchanges_of(flow).iter().filter(|x| x.request.is_present()) {
                let start = seen.time(at, exchange.request.start, exchange.request.first_frame);
                let end = ends(facts, flow, exchange).0.map(|end| seen.time(at, end.0, end.1));
                if let Some(end) = end.filter(|_| sample.holds(start)) {
                    all.outer.entry((causes.legs[leg].endpoint, place)).or_default().push((start, end));
                    if open[leg] {
                        all.inner.entry((leg, place)).or_default().push((start, end));
                    }
                }
            }
        }
        all.inner.values_mut().chain(all.outer.values_mut()).for_each(|spans| spans.sort_unstable());
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    const MS: i64 = 1_000_000;

    /// The addresses of each lane where an edge rewrites every request, and asks the application from another address so
    /// long after it was asked.
    fn lanes(requests: i64, asked_after: i64, at_a_pace: bool) -> Vec<Vec<String>> {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.1.1:3000", "10.0.1.2:80", 100);
        let app = script.connection(0, "10.0.2.1:4000", "10.0.2.2:8000", 100);
        for n in 1..=requests {
            let at = n * 100 * MS + if at_a_pace { 0 } else { n * n % 7 * 40 * MS };
            script.request(user, at, "GET", &format!("/shop/{n}"), &[], "");
            script.request(app, at + asked_after, "GET", &format!("/index.php?id={n}"), &[], "");
            script.response(app, at + asked_after + 3 * MS, 200, 20);
            script.response(user, at + 5 * MS, 200, 20);
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        let addresses =
            |lane: &crate::topology::Lane| lane.addresses.iter().map(ToString::to_string).collect();
        lanes.iter().map(addresses).collect()
    }

    #[test]
    fn a_proxy_that_rewrites_and_asks_from_another_address_is_found_by_time() {
        let chain = [vec!["10.0.1.1"], vec!["10.0.1.2", "10.0.2.1"], vec!["10.0.2.2"]];
        assert_eq!(lanes(40, MS, false), chain);
        assert_ne!(lanes(40, 3 * MS, false), chain, "they outlast what they would be for");
        assert_ne!(lanes(15, MS, false), chain, "too few");
        assert_ne!(lanes(40, MS, true), chain, "two who ask at the same pace");
    }
}
