//! How a proxy rewrites the requests that it passes on: the order and the names of headers tell nginx, whatever the
//! answers say.
//!
//! nginx writes what its configuration sets first, `Host` on top, and what the client sent behind it. HAProxy, Envoy,
//! Apache and Varnish leave what came in its place and append; Go's proxies sort.

use std::collections::BTreeSet;

use super::Role;
use super::lanes::{Chain, Seen};

/// Connections of each lane that are looked at on either side, and requests of each.
const SAMPLED: usize = 64;
/// Requests that must show a sign.
const LEAST: usize = 3;
/// Headers that a proxy writes anew, or drops, on every connection: their place tells nothing.
const PER_HOP: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "expect",
    "trailer",
    "via",
];
/// What ingress-nginx sets towards every service, and nobody else does (its `nginx.tmpl`).
const INGRESS: [&str; 2] = ["x-forwarded-scheme", "x-scheme"];

/// What the requests of one lane show of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// It puts what it adds before what it passes on, as nginx does.
    pub nginx: bool,
    /// It adds what ingress-nginx adds.
    pub ingress: bool,
}

/// The header names of requests, each in lower case and in the order sent.
type Requests<'a> = Vec<Vec<&'a str>>;

/// The signs of each lane; none for those that only ask or only answer.
pub(super) fn find(seen: &Seen<'_>, chain: &Chain, roles: &[Role], leg_of: &[usize]) -> Vec<Signs> {
    let count = chain.hops.len();
    let (mut came, mut went): (Vec<Requests<'_>>, Vec<Requests<'_>>) =
        (vec![vec![]; count], vec![vec![]; count]);
    let mut looked = vec![[0; 2]; count];
    for (at, &leg) in leg_of.iter().enumerate() {
        let (from, to) = chain.ends[leg];
        let facts = seen.facts(at);
        for (lane, side, into) in [(to, 0, &mut came), (from, 1, &mut went)] {
            if roles[lane] != Role::Proxy || looked[lane][side] >= SAMPLED {
                continue;
            }
            looked[lane][side] += 1;
            let exchanges = facts.exchanges_of(seen.flow(at)).iter().take(SAMPLED);
            let names = exchanges.map(|exchange| {
                facts.headers(exchange).iter().map(|h| facts.name(h.name())).collect::<Vec<_>>()
            });
            into[lane].extend(names.filter(|names| !names.is_empty()));
        }
    }
    came.iter().zip(&went).map(|(came, went)| signs(came, went)).collect()
}

fn signs(came: &[Vec<&str>], went: &[Vec<&str>]) -> Signs {
    if came.len() < LEAST || went.len() < LEAST {
        return Signs::default();
    }
    let known: BTreeSet<&str> = came.iter().flatten().copied().collect();
    let nearly_all = |shows: &dyn Fn(&[&str]) -> bool| {
        let count = went.iter().filter(|names| shows(names)).count();
        count * 10 >= went.len() * 9
    };
    Signs {
        nginx: nearly_all(&|names| is_nginx(&known, names)),
        ingress: !INGRESS.iter().any(|name| known.contains(name))
            && nearly_all(&|names| INGRESS.iter().all(|name| names.contains(name))),
    }
}

/// Whether `Host` is on top, and every header that the proxy added stands before every one that it passed on.
fn is_nginx(known: &BTreeSet<&str>, names: &[&str]) -> bool {
    let tells = |name: &&&str| !PER_HOP.contains(*name);
    let added = names.iter().rposition(|name| tells(&name) && !known.contains(name));
    let passed = names.iter().position(|name| tells(&name) && known.contains(name));
    names.first() == Some(&"host") && added.zip(passed).is_some_and(|(added, passed)| added < passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(came: &str, went: &str) -> Signs {
        let [came, went] = [came, went].map(|text| vec![text.split(' ').collect(); LEAST]);
        signs(&came, &went)
    }

    #[test]
    fn only_nginx_writes_what_it_adds_below_host_and_above_what_it_passes_on() {
        let came = "host user-agent accept";
        let nginx = Signs { nginx: true, ingress: false };
        assert_eq!(of(came, "host x-real-ip x-forwarded-for user-agent accept"), nginx);
        assert_eq!(of("user-agent host accept", "host x-real-ip connection user-agent accept"), nginx);
        for (other, went) in [
            ("HAProxy, Envoy, Apache append", "host user-agent accept x-forwarded-for"),
            ("Go sorts below the User-Agent", "host user-agent a-first accept x-forwarded-for"),
            (
                "Amazon's balancer has its own above Host",
                "x-forwarded-for host x-amzn-trace-id user-agent accept",
            ),
            ("nothing is added", "host user-agent accept"),
            ("nothing is passed on", "host x-forwarded-for"),
        ] {
            assert_eq!(of(came, went), Signs::default(), "{other}");
        }
        // HAProxy between two nginx passes on in place what the first one wrote.
        let written = "host x-real-ip x-forwarded-for user-agent accept";
        assert_eq!(of(written, written), Signs::default());
        assert_eq!(
            of(written, "host x-real-ip x-forwarded-for user-agent accept x-unique-id"),
            Signs::default()
        );
    }

    #[test]
    fn headers_of_ingress_nginx_tell_it_where_it_adds_them() {
        let with = "host x-forwarded-scheme x-scheme accept";
        assert_eq!(of("host accept", with), Signs { nginx: true, ingress: true });
        assert!(!of(with, with).ingress);
        assert!(!of("host accept", "host x-scheme accept").ingress);
    }
}
