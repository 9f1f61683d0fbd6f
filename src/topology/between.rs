//! Hops whose requests the vote passed over: ids tell who asked first and who was asked last, and not who stood between
//! them where their own requests show no id (cut heads, TLS, another header).
//!
//! ```text
//!   nginx:80   id 7         asks squid
//!   squid:3128  —           what it asks the app comes from the address that nginx asks
//!   app:8000   id 7
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::cause::Causes;

/// Puts legs below who is asked at the address that they come from, where the one found above them asks that one.
pub(super) fn step_in(causes: &mut Causes) {
    if causes.legs.iter().all(|leg| leg.parents.is_empty()) {
        return;
    }
    // By machine the endpoints that others ask there.
    let mut served: BTreeMap<IpAddr, Vec<usize>> = BTreeMap::new();
    for (at, endpoint) in causes.endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.exchanges > 0) {
        served.entry(endpoint.host).or_default().push(at);
    }
    // By machine and endpoint how often the one asked there.
    let mut asks: BTreeMap<(IpAddr, usize), usize> = BTreeMap::new();
    for leg in &causes.legs {
        *asks.entry((leg.host, leg.endpoint)).or_default() += leg.exchanges;
    }
    let between = |at: usize| {
        let leg = &causes.legs[at];
        let &(upper, votes) = leg.parents.first()?;
        let host = causes.endpoints[upper].host;
        let own = served.get(&leg.host).filter(|_| !leg.client.is_loopback() && leg.host != host)?;
        let asked_by_upper = |middle: usize| asks.get(&(host, middle)).copied().unwrap_or_default();
        // Nobody asks on for more than he was asked: a port beside it (metrics) is another matter.
        let (asked, Reverse(middle)) =
            own.iter().map(|&middle| (asked_by_upper(middle), Reverse(middle))).max()?;
        (asked * 2 >= leg.exchanges && middle != leg.endpoint).then_some((at, middle, votes))
    };
    let found: Vec<(usize, usize, usize)> = (0..causes.legs.len()).filter_map(between).collect();
    for (at, middle, votes) in found {
        causes.legs[at].parents = vec![(middle, votes)];
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Script;
    use crate::topology::{Overrides, build};

    const MS: i64 = 1_000_000;

    /// What each lane serves where nginx asks 10.0.0.3 `often` of 20 times, and from there the app is asked for the same.
    fn served(often: i64) -> Vec<String> {
        let mut script = Script::new("any.pcap");
        let user = script.connection(0, "10.0.0.1:3000", "10.0.0.2:80", 100);
        let asks = script.connection(0, "10.0.0.2:4000", "10.0.0.3:3128", 500);
        let app = script.connection(0, "10.0.0.3:5000", "10.0.0.4:8000", 900);
        for n in 0..20i64 {
            let (at, target, id) = (MS + n * 20 * MS, format!("/item/{n}"), format!("id-{n}"));
            let id: &[(&str, &str)] = &[("x-request-id", &id)];
            script.request(user, at, "GET", &target, id, "");
            if n < often {
                script.request(asks, at + MS, "GET", &target, &[], "");
                script.response(asks, at + 9 * MS, 200, 20);
            }
            script.request(app, at + 2 * MS, "GET", &target, id, "");
            script.response(app, at + 8 * MS, 200, 20);
            script.response(user, at + 10 * MS, 200, 20);
        }
        let lanes = build(&[script.finish()], &Overrides::default()).lanes;
        lanes.iter().map(|lane| lane.serves.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn a_hop_without_ids_stands_between_those_that_have_them() {
        assert_eq!(served(20), ["", "10.0.0.2:80", "10.0.0.3:3128", "10.0.0.4:8000"]);
        // Who is asked now and then is not asked for this.
        let lanes = served(3);
        assert_eq!((lanes.len(), &*lanes[1]), (4, "10.0.0.2:80"));
    }
}
