//! Which of two endpoints is above the other.
//!
//! By chance a slow request below holds a quick one above, and clocks that agree to some microseconds only let a child
//! seem to begin before its parent. So the order of two endpoints is found first: from addresses, from how long the same
//! requests take at each, which no clock offset changes (who waits for the other takes longer), where each got other
//! requests from how closely those of one lie inside those of the other ([`super::closer`]), and, where nobody answered,
//! from who asked first.

use std::cmp::Ordering;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::cause::{Causes, Request};
use super::closer::Closeness;
use super::lanes::reaches;
use super::votes::CLEAR;

type FixedMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Endpoints compared for one key.
pub(super) const MOST_COMPARED: usize = 16;
/// Requests with one key count no more than so many.
const MOST_WEIGHED: usize = 64;
/// Hosts up to which it is reckoned who is above whom by their addresses.
const MOST_HOSTS: usize = 128;
/// What addresses tell outweighs all that durations do.
const BY_ADDRESS: i64 = 1 << 40;
/// How far times of one capture may be off: it stamps packets at different points of the host's stack.
pub(super) const SAME_CAPTURE_NS: i64 = 2_000;

/// Quantiles in which requests that wait for others must take longer, where each waits for one.
const QUANTILES: usize = 16;
/// Of so many requests in a hundred each endpoint may have some that the other has not: they are the same ones.
const SAME_PERCENT: usize = 90;

/// Which of two endpoints is above the other, as far as known.
#[derive(Debug, Default)]
pub(super) struct Orders(FixedMap<(u32, u32), Order>);

/// What is known of two endpoints: numbers are positive where the first (lower) index is above.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    /// What addresses tell, or the durations of the same request, or who asked first.
    known: i64,
    /// What the durations of many equal requests tell.
    durations: i64,
    /// The same where both endpoints seem to have got the same ones.
    same: i64,
    /// How closely requests lie inside each other by one clock.
    closeness: Closeness,
}

impl Order {
    fn value(self) -> i64 {
        let otherwise = if self.closeness.is_enough() { self.same } else { self.durations };
        self.known + self.closeness.verdict().unwrap_or(otherwise)
    }
}

impl Orders {
    /// What addresses tell: who is called at the address that a call comes from is above the one called, over however
    /// many such steps. Hosts that call each other tell nothing, nor do processes of one host.
    pub(super) fn by_address(causes: &Causes) -> Self {
        let mut hosts: Vec<IpAddr> = causes.endpoints.iter().map(|endpoint| endpoint.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let place = |address: IpAddr| hosts.binary_search(&address).ok();
        let mut calls: Vec<Vec<usize>> = vec![Vec::new(); hosts.len()];
        for leg in causes.legs.iter().filter(|leg| !leg.client.is_loopback()) {
            let to = place(causes.endpoints[leg.endpoint].host);
            if let (Some(from), Some(to)) = (place(leg.host), to) {
                calls[from].push(to);
            }
        }
        let mut orders = Self::default();
        if hosts.len() > MOST_HOSTS || calls.iter().all(Vec::is_empty) {
            return orders;
        }
        let reached =
            |from: usize, to: usize| from != to && reaches(from, to, |at| calls[at].iter().copied());
        let above: Vec<Vec<bool>> =
            (0..hosts.len()).map(|from| (0..hosts.len()).map(|to| reached(from, to)).collect()).collect();
        let host_of: Vec<usize> =
            causes.endpoints.iter().filter_map(|endpoint| place(endpoint.host)).collect();
        for (one, &a) in host_of.iter().enumerate() {
            for (other, &b) in host_of.iter().enumerate().skip(one + 1) {
                let known = i64::from(above[a][b]) - i64::from(above[b][a]);
                if known != 0 {
                    let order = Order { known: known * BY_ADDRESS, ..Order::default() };
                    orders.0.insert((one as u32, other as u32), order);
                }
            }
        }
        orders
    }

    /// Compares, key by key, how long the same requests take at each endpoint, and which comes first.
    pub(super) fn learn(&mut self, requests: &[Request], causes: &Causes, by_id: bool) {
        let weight = if by_id { CLEAR as i64 } else { 1 };
        let mut taken: Vec<Taken<'_>> = Vec::new();
        for same in requests.chunk_by(|a, b| a.key == b.key) {
            if same.iter().all(|request| request.endpoint == same[0].endpoint) {
                continue;
            }
            taken.clear();
            for request in same {
                match taken.iter().position(|known| known.first.endpoint == request.endpoint) {
                    Some(known) => taken[known].add(request),
                    None if taken.len() < MOST_COMPARED => taken.push(Taken::of(request)),
                    None => {}
                }
            }
            for one in &mut taken {
                one.durations.sort_unstable();
                one.spans.sort_unstable();
            }
            for (at, one) in taken.iter().enumerate() {
                for other in &taken[at + 1..] {
                    let swap = one.first.endpoint > other.first.endpoint;
                    let (low, high) = if swap { (other, one) } else { (one, other) };
                    let order = self.0.entry((low.first.endpoint, high.first.endpoint)).or_default();
                    if order.known.abs() < BY_ADDRESS / 2 {
                        low.compare(high, causes, weight, order);
                    }
                }
            }
        }
    }

    /// `Greater` when the first is above the second.
    pub(super) fn of(&self, upper: u32, lower: u32) -> Ordering {
        let sign = if upper < lower { 1 } else { -1 };
        let known = self.0.get(&(upper.min(lower), upper.max(lower))).copied().unwrap_or_default();
        (known.value() * sign).cmp(&0)
    }
}

/// The requests with one key at one endpoint.
struct Taken<'a> {
    first: &'a Request,
    /// When each began, the earliest first.
    starts: Vec<i64>,
    /// How long those took of which that is known.
    durations: Vec<i64>,
    /// Start and end of those that were answered.
    spans: Vec<(i64, i64)>,
    answered: bool,
}

impl<'a> Taken<'a> {
    fn of(request: &'a Request) -> Self {
        let mut taken = Self {
            first: request,
            starts: Vec::new(),
            durations: Vec::new(),
            spans: Vec::new(),
            answered: false,
        };
        taken.add(request);
        taken
    }

    fn add(&mut self, request: &Request) {
        self.starts.push(request.start);
        self.answered |= request.end.is_some();
        self.spans.extend(request.end.map(|end| (request.start, end)));
        if let Some(end) = request.end.or(request.over) {
            self.durations.push(end.saturating_sub(request.start));
        }
    }

    /// Notes who is above whom by the requests of this key.
    fn compare(&self, other: &Self, causes: &Causes, weight: i64, order: &mut Order) {
        if let Some(above) = self.comes_before(other, causes) {
            order.known += above * weight;
            return;
        }
        let above = self.takes_longer(other) * weight;
        let (a, b) = (self.first, other.first);
        if self.starts.len() == 1 && other.starts.len() == 1 {
            order.known += above;
            return;
        }
        order.durations += above;
        let compared = a.group == b.group && order.closeness.add(&self.spans, &other.spans, may_differ(a, b));
        if !compared || self.may_be_those_of(other) && self.always_takes(other, above.signum()) {
            order.same += above;
        }
    }

    /// Whether there are as many as at the other endpoint: it may be for each of these that one of those is made.
    fn may_be_those_of(&self, other: &Self) -> bool {
        let (a, b) = (self.starts.len(), other.starts.len());
        a.min(b) * 100 >= a.max(b) * SAME_PERCENT
    }

    /// Whether requests take longer here (`sign` 1) or there (-1), all over: where each waits for another one they do.
    fn always_takes(&self, other: &Self, sign: i64) -> bool {
        let at = |sorted: &[i64], part: usize| {
            sorted.get(sorted.len().saturating_sub(1) * part / QUANTILES).copied().unwrap_or_default()
        };
        let longer = (0..=QUANTILES)
            .filter(|&part| {
                let more = at(&self.durations, part).saturating_sub(at(&other.durations, part));
                more.signum() * sign >= 0
            })
            .count();
        longer >= QUANTILES
    }

    /// How many began before those of the other, where all did and it holds as many; negative the other way round. Only
    /// one clock shows that. It counts where durations do not: who leaves because its own client left does so at the
    /// same time, or stays. What one client asks of two does not stand above the other.
    fn comes_before(&self, other: &Self, causes: &Causes) -> Option<i64> {
        let (a, b) = (self.first, other.first);
        let client = |request: &Request| causes.legs[request.leg as usize].client;
        let tells = self.starts.len() == other.starts.len() && !(self.answered && other.answered);
        if !tells || a.group != b.group || client(a) == client(b) && !client(a).is_loopback() {
            return None;
        }
        let slack = may_differ(a, b);
        let apart = || self.starts.iter().zip(&other.starts).map(|(one, other)| other.saturating_sub(*one));
        let count = self.starts.len().min(MOST_WEIGHED) as i64;
        if apart().all(|apart| apart > slack) {
            return Some(count);
        }
        apart().all(|apart| apart < -slack).then_some(-count)
    }

    /// How surely requests take longer here than there: negative the other way round.
    fn takes_longer(&self, other: &Self) -> i64 {
        // A proxy that answers for the one behind may close the connection to it later than it answered.
        match (self.answered, other.answered) {
            (false, false) => return 0,
            (true, false) if self.first.is_error => return 1,
            (false, true) if other.first.is_error => return -1,
            _ => {}
        }
        let count = self.durations.len().min(other.durations.len()).min(MOST_WEIGHED) as i64;
        quartiles(&self.durations).saturating_sub(quartiles(&other.durations)).signum() * count
    }
}

/// How far the times of two requests may be off against each other, in nanoseconds.
pub(super) fn may_differ(one: &Request, other: &Request) -> i64 {
    if one.capture == other.capture {
        return SAME_CAPTURE_NS;
    }
    one.tolerance.saturating_add(other.tolerance)
}

/// Sum of the quartiles of a sorted list.
fn quartiles(sorted: &[i64]) -> i64 {
    let last = sorted.len().saturating_sub(1);
    let at = |quarter: usize| sorted.get(last * quarter / 4).copied().unwrap_or_default();
    at(1).saturating_add(at(2)).saturating_add(at(3))
}

#[cfg(test)]
mod tests {
    use crate::tcp::Side;
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    #[test]
    fn who_answers_with_an_error_is_above_who_did_not_answer_however_late_that_ends() {
        const MS: i64 = 1_000_000;
        // Two captures that nothing ties.
        let (mut outer, mut inner) = (Script::new("in.pcap"), Script::new("out.pcap"));
        for n in 0..4 {
            let at = n * 100 * MS;
            let user = outer.connection(at, &format!("10.0.1.1:{}", 3000 + n), "10.0.1.2:80", 100);
            outer.request(user, at + MS, "GET", &format!("/{n}"), &[], "");
            outer.response(user, at + 5 * MS, 502, 20);
            let asked = inner.connection(at + MS, &format!("10.0.2.1:{}", 4000 + n), "10.0.2.2:8000", 100);
            inner.request(asked, at + 2 * MS, "GET", &format!("/{n}"), &[], "");
            inner.fin(asked, at + 30 * MS, Side::Client);
        }
        let lanes = build(&[outer.finish(), inner.finish()], &Overrides::default()).lanes;
        let addresses: Vec<usize> = lanes.iter().map(|lane| lane.addresses.len()).collect();
        assert_eq!(addresses, [1, 2, 1]);
        assert_eq!(lanes[0].addresses[0].to_string(), "10.0.1.1");
    }

    /// Where each lane listens when an edge asks one proxy or the other in turn, these one application or the other,
    /// all on one host and always for the same.
    #[test]
    fn replicas_that_get_other_requests_each_are_not_put_above_each_other_by_how_long_those_take() {
        const US: i64 = 1_000;
        let mut script = Script::new("any.pcap");
        let mut open = |client: u16, server: u16| {
            script.connection(0, &format!("127.0.0.1:{client}"), &format!("127.0.0.1:{server}"), 100)
        };
        let user = open(3000, 9480);
        let proxies = [open(3001, 9481), open(3002, 9482)];
        let apps = [[open(3003, 9490), open(3004, 9491)], [open(3005, 9490), open(3006, 9491)]];
        for n in 0..80usize {
            let at = (1 + n as i64) * 20_000 * US;
            // The first application gets the long ones.
            let which = usize::from(n / 2 % 2 == 1);
            let took = (n as i64 * 7_919 % 4_000) * US + if which == 0 { 4_000 * US } else { 0 };
            let chain = [user, proxies[n % 2], apps[n % 2][which]];
            for (depth, &conn) in chain.iter().enumerate() {
                script.request(conn, at + depth as i64 * 100 * US, "GET", "/same", &[], "");
            }
            for (depth, &conn) in chain.iter().enumerate().rev() {
                script.response(conn, at + took + (9 - depth as i64) * 100 * US, 200, 20);
            }
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        let ports =
            |lane: &crate::topology::Lane| lane.serves.iter().map(std::net::SocketAddr::port).collect();
        let ports: Vec<Vec<u16>> = lanes.iter().map(ports).collect();
        assert_eq!(ports, [vec![], vec![9480], vec![9481, 9482], vec![9490, 9491]]);
    }
}
