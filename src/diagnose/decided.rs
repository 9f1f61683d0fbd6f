//! Requests that their server always closes on: it answers others meanwhile, so that it is the request that makes it
//! close. A rule says so (nginx `return 444`, a filter), or the code for it crashes each time.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::analysis::{Analysis, ExchangeView};
use crate::capture::SessionTime;
use crate::topology::{ExchangeId, LinkId};

use super::Outcome;
use super::life::Life;

/// One request of a kind may have met a crash of its own.
const FEWEST: usize = 2;

/// What became of the requests of one kind at one server.
#[derive(Default)]
struct Kind {
    /// The requests of users that ended without an answer there, each once for all its attempts.
    roots: BTreeSet<ExchangeId>,
    /// The first and the last time that one did.
    span: Option<(SessionTime, SessionTime)>,
    /// How often that was the first request of its connection, which meets no stale one.
    first: usize,
    answered: usize,
    /// The shortest time from the end of such a request to the server's close, in nanoseconds.
    quickest_ns: Option<i64>,
}

/// A kind of requests at a server: method and path, without digits.
type Key = (LinkId, SocketAddr, u64);

/// The kinds of requests that were closed on without an answer.
#[derive(Default)]
pub(super) struct Decided {
    kinds: HashMap<Key, Kind, foldhash::fast::FixedState>,
    /// When each of their servers answered anything, sorted.
    answers: BTreeMap<(LinkId, SocketAddr), Vec<SessionTime>>,
}

/// What is asked for: method and path, without digits.
pub(super) fn kind_of(exchange: ExchangeView<'_>) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(exchange.method().as_bytes());
    let target = exchange.target();
    let path = target.split('?').next().unwrap_or_default();
    path.bytes().filter(|byte| !byte.is_ascii_digit()).for_each(|byte| hasher.write_u8(byte));
    hasher.finish()
}

fn key(exchange: ExchangeView<'_>) -> Key {
    let connection = exchange.connection();
    (connection.inner.link, connection.inner.server, kind_of(exchange))
}

impl Decided {
    /// Looks at what became of all requests of the kinds that a server closed on; `also` are some that may be so.
    pub(super) fn find(
        analysis: &Analysis,
        outcomes: &[Outcome],
        also: impl Iterator<Item = ExchangeId>,
    ) -> Self {
        let mut decided = Self::default();
        let closed = |x: &ExchangeView<'_>| outcomes[x.id.0 as usize] == Outcome::NoResponse;
        let closed = analysis.exchanges().filter(closed).chain(also.map(|id| analysis.exchange(id)));
        for exchange in closed.filter(|x| x.raw.request.is_present() && !x.raw.response.is_present()) {
            let key = key(exchange);
            let kind = decided.kinds.entry(key).or_default();
            kind.roots.insert(analysis.trees.root(exchange.id));
            kind.first += usize::from(exchange.raw.ordinal == 1);
            if let Some(end) = Life::of(exchange.connection()).server_ended() {
                let after_ns = end.at.0.saturating_sub(exchange.raw.request.end.0);
                kind.quickest_ns = Some(kind.quickest_ns.map_or(after_ns, |least| least.min(after_ns)));
            }
            let at = exchange.started();
            kind.span = Some(kind.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            decided.answers.entry((key.0, key.1)).or_default();
        }
        if decided.kinds.is_empty() {
            return decided;
        }
        for connection in analysis.connections() {
            let Some(answers) = decided.answers.get_mut(&(connection.inner.link, connection.inner.server))
            else {
                continue;
            };
            for exchange in connection.exchanges().filter(|x| x.raw.response.is_present()) {
                answers.push(exchange.started());
                if let Some(kind) = decided.kinds.get_mut(&key(exchange)) {
                    kind.answered += 1;
                }
            }
        }
        decided.answers.values_mut().for_each(|times| times.sort_unstable());
        decided
    }

    /// Whether the server closed on such a request as the first of a connection too, and never answered one.
    pub(super) fn also_as_first(&self, exchange: ExchangeView<'_>) -> bool {
        self.kinds.get(&key(exchange)).is_some_and(|kind| kind.first > 0 && kind.answered == 0)
    }

    /// Whether the server closed on each request of this kind, of several, and answered others in between.
    pub(super) fn always(&self, exchange: ExchangeView<'_>) -> bool {
        let key = key(exchange);
        let Some(kind) = self.kinds.get(&key).filter(|kind| kind.answered == 0) else { return false };
        let Some((first, last)) = kind.span.filter(|_| kind.roots.len() >= FEWEST) else { return false };
        let answers = self.answers.get(&(key.0, key.1));
        let between = |times: &Vec<SessionTime>| {
            times.partition_point(|&at| at <= first) < times.partition_point(|&at| at < last)
        };
        answers.is_some_and(between)
    }

    /// How long the server had each request of this kind at least before it closed on it, in nanoseconds.
    pub(super) fn quickest_ns(&self, exchange: ExchangeView<'_>) -> i64 {
        self.kinds.get(&key(exchange)).and_then(|kind| kind.quickest_ns).unwrap_or_default()
    }

    /// How many requests the server of this one answered.
    pub(super) fn answered_others(&self, exchange: ExchangeView<'_>) -> usize {
        let key = key(exchange);
        self.answers.get(&(key.0, key.1)).map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::{Get, Post};
    use crate::tcp::Side::{Client, Server};

    fn told(then: impl FnOnce(&mut Chain)) -> Vec<String> {
        let mut chain = Chain::new(&["nginx", "app"]);
        then(&mut chain);
        let findings = chain.analyse().diagnosis.findings;
        findings.iter().map(|f| format!("{}/{} ×{}", f.kind, f.cause, f.count)).collect()
    }

    /// Requests on a connection of its own each, answered or closed on.
    fn fresh(chain: &mut Chain, all: &[(&'static str, bool)]) {
        for (n, &(target, answered)) in all.iter().enumerate() {
            let at = n as i64 * 100 * MS;
            let conn = chain.open(0, at);
            let conn = &mut chain.conns[conn];
            conn.request(Get, target, at + MS).sync();
            if answered {
                conn.response(200, at + 2 * MS).fin(Client, at + 3 * MS);
            } else {
                conn.fin(Server, at + 2 * MS);
            }
        }
    }

    #[test]
    fn what_its_server_ends_only_after_a_while_may_have_met_a_limit() {
        let worked = |first_ms: i64| {
            told(|chain| {
                for (n, ms) in [first_ms, 2_300, 2_900].into_iter().enumerate() {
                    let at = n as i64 * 5_000 * MS;
                    let slow = chain.open(0, at);
                    chain.conns[slow].request(Get, "/report", at + MS).sync().fin(Server, at + (1 + ms) * MS);
                    let quick = chain.open(0, at);
                    chain.conns[quick].request(Get, "/a", at + MS).response(200, at + 2 * MS);
                }
            })
        };
        assert_eq!(worked(2_000), ["closed-before-response/time-limit ×3"]);
        // What also ends at once meets no limit.
        assert_eq!(worked(20), ["closed-before-response/this-request ×3"]);
    }

    #[test]
    fn what_is_never_answered_while_others_are_is_the_servers_decision() {
        let always = told(|chain| fresh(chain, &[("/.env", false), ("/a", true), ("/.env", false)]));
        assert_eq!(always, ["closed-before-response/this-request ×2"]);
        for once_answered in [
            &[("/x/1", false), ("/a", true), ("/x/2", false), ("/x/3", true)][..],
            // Nobody was answered in between: the server may have been down.
            &[("/a", true), ("/.env", false), ("/.env", false), ("/a", true)],
            // One may be a crash.
            &[("/a", true), ("/.env", false), ("/a", true)],
        ] {
            let told = told(|chain| fresh(chain, once_answered));
            assert!(told.iter().all(|one| one.starts_with("closed-before-response/ ")), "{told:?}");
            assert_eq!(told.len(), 1);
        }
    }

    /// A POST on a kept connection is closed on; another one is, or is not, as the first of its connection.
    fn kept(answered: bool) -> Vec<String> {
        told(|chain| {
            let conn = chain.open(0, 0);
            let conn = &mut chain.conns[conn];
            conn.request(Get, "/a", MS).response(200, 2 * MS);
            conn.request(Post, "/login", 30 * MS).sync().fin(Server, 31 * MS);
            let conn = chain.open(0, 40 * MS);
            let conn = &mut chain.conns[conn];
            conn.request(Post, "/login", 41 * MS).sync();
            if answered {
                conn.response(200, 42 * MS);
            } else {
                conn.fin(Server, 42 * MS);
            }
        })
    }

    #[test]
    fn a_close_that_new_connections_see_as_well_is_no_race() {
        let one = kept(false);
        assert_eq!(one, ["closed-before-response/ ×2"], "no second finding that blames a kept connection");
        assert!(kept(true)[0].starts_with("rejected-reused-request"), "{:?}", kept(true));
    }
}
