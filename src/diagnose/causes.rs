//! Why a server rejected requests on reused connections: each request sorted by what its server's habits show.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::analysis::Analysis;
use crate::http::ExchangeFlags;
use crate::topology::LinkId;

use super::burst::{self, Burst};
use super::habits::{Close, Habits, IdleTimeout};
use super::life::at_least;
use super::texts::{self, Words};
use super::words::{counted, duration, grouped, listed};
use super::{Certainty, RejectForm, Rejection};

/// A connection that was idle for less than this is forgotten by no middlebox.
const SHORTEST_FORGOTTEN_NS: i64 = 1_000_000_000;

const SECOND_NS: i64 = 1_000_000_000;

/// Just above 60 s, for which nginx keeps idle connections where nobody says otherwise.
const LONGEST_KEPT_NS: i64 = 61 * SECOND_NS;

/// A cause with the figures that its words need.
pub(super) struct Cause {
    pub(super) words: &'static Words,
    pub(super) values: Vec<(&'static str, String)>,
    pub(super) certainty: Certainty,
}

/// What a request's rejection is put down to, in the order in which causes are reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    AfterEarly,
    AfterEach,
    /// Behind a close that its sender had been told of.
    Announced,
    /// Sent before its sender could know of that.
    Pipelined,
    Limit(u32),
    Idle(Scope),
    Restart(usize),
    Middlebox,
    Vanished,
    Recycled,
    Unknown,
}

/// Whose habits decide: all servers of the link alike, or one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    All,
    One(SocketAddr),
}

/// The causes of a link's rejections, each with its cases, by what the link's habits and bursts show.
pub(super) fn by_cause<'a>(
    analysis: &'a Analysis,
    link: LinkId,
    rejections: Vec<&'a Rejection>,
    habits: &'a Habits,
    bursts: &'a [Burst],
) -> Vec<(Cause, Vec<&'a Rejection>)> {
    let judge = Judge::new(analysis, link, &rejections, habits, bursts);
    let mut groups: BTreeMap<Kind, Vec<&Rejection>> = BTreeMap::new();
    for rejection in rejections {
        groups.entry(judge.kind(rejection)).or_default().push(rejection);
    }
    // One worker that was recycled is a guess; several are a habit.
    if groups.get(&Kind::Recycled).is_some_and(|cases| cases.len() < 2)
        && let Some(cases) = groups.remove(&Kind::Recycled)
    {
        groups.entry(Kind::Unknown).or_default().extend(cases);
    }
    groups.into_iter().map(|(kind, cases)| (judge.cause(kind, &cases), cases)).collect()
}

struct Judge<'a> {
    analysis: &'a Analysis,
    all: &'a Habits,
    by_server: BTreeMap<SocketAddr, Habits>,
    bursts: &'a [Burst],
}

impl<'a> Judge<'a> {
    fn new(
        analysis: &'a Analysis,
        link: LinkId,
        rejections: &[&Rejection],
        all: &'a Habits,
        bursts: &'a [Burst],
    ) -> Self {
        let mut by_server = BTreeMap::new();
        if analysis.link(link).servers.len() > 1 {
            for rejection in rejections {
                let server = analysis.exchange(rejection.exchange).connection().inner.server;
                by_server
                    .entry(server)
                    .or_insert_with(|| Habits::where_server(analysis, link, |other| other == server));
            }
        }
        Self { analysis, all, by_server, bursts }
    }

    fn habits(&self, scope: Scope) -> &Habits {
        match scope {
            Scope::All => self.all,
            Scope::One(server) => self.by_server.get(&server).unwrap_or(self.all),
        }
    }

    /// All servers of the link together where they show the habit, else the one server.
    fn scope(&self, server: SocketAddr, shows: impl Fn(&Habits) -> bool) -> Option<Scope> {
        let scopes = [Scope::All, Scope::One(server)];
        scopes.into_iter().find(|&scope| shows(self.habits(scope)))
    }

    /// Whether the server closes each connection right after its first response, be it as all of the link do.
    fn keeps_none(&self, server: SocketAddr) -> bool {
        self.scope(server, Habits::closes_after_each).is_some()
    }

    fn kind(&self, rejection: &Rejection) -> Kind {
        let connection = self.analysis.exchange(rejection.exchange).connection();
        let server = connection.inner.server;
        let close = self.all.close_of(connection.id);
        if let Some(known) = self.announcement(rejection)
            && !self.keeps_none(server)
        {
            return if known { Kind::Announced } else { Kind::Pipelined };
        }
        if let Some(at) = self.bursts.iter().position(|burst| burst.holds(connection.id)) {
            return Kind::Restart(burst::told_for(self.bursts, at));
        }
        if matches!(rejection.form, RejectForm::IdleReset | RejectForm::BlackHole) {
            return self.forgotten(rejection, server, close);
        }
        if self.follows_early_answer(rejection) {
            return Kind::AfterEarly;
        }
        if self.keeps_none(server) {
            return Kind::AfterEach;
        }
        let Some(close) = close else { return Kind::Unknown };
        if self.scope(server, |habits| habits.by_limit(close)).is_some() {
            return Kind::Limit(close.responses);
        }
        let unseen = |habits: &Habits| habits.may_be_by_limit(close);
        if let Some((limit, _)) = self.scope(server, unseen).and_then(|scope| self.habits(scope).limit) {
            return Kind::Limit(limit);
        }
        if let Some(scope) = self.scope(server, |habits| habits.by_timer(close)) {
            return Kind::Idle(scope);
        }
        if let Some(at) = self.bursts.iter().position(|burst| burst.covers(server, close.at)) {
            return Kind::Restart(burst::told_for(self.bursts, at));
        }
        // A server that only ever closes when it was asked may answer so.
        let unasked = self.all.closes.iter().any(|close| !close.crossed);
        let after_response = (close.at_once() || close.queued) && !close.announced;
        let recycled = unasked && after_response && self.all.answered_reused > 0;
        if recycled { Kind::Recycled } else { Kind::Unknown }
    }

    /// Whether the sender of a rejected request knew that the exchange before it was the connection's last (RFC 9112,
    /// section 9.6): `None` where nobody had said so, `Some(false)` where the answer that says it was still under way.
    fn announcement(&self, rejection: &Rejection) -> Option<bool> {
        let exchange = self.analysis.exchange(rejection.exchange);
        let before = exchange.connection().exchanges().take_while(|x| x.id < rejection.exchange);
        let answered: Vec<_> = before.filter(|x| x.raw.response.is_complete()).collect();
        if answered.iter().any(|x| x.raw.flags.has(ExchangeFlags::CLIENT_CLOSES)) {
            return Some(true);
        }
        let last = answered.iter().find(|x| x.raw.flags.has(ExchangeFlags::SERVER_CLOSES))?;
        let head = last.raw.response.seq.wrapping_add(last.raw.response.head_bytes.max(1));
        Some(at_least(exchange.raw.request.ack, head))
    }

    /// Whether the answer before the rejected request came before its own request was read: then the server closes
    /// because it does not read the rest.
    fn follows_early_answer(&self, rejection: &Rejection) -> bool {
        let exchange = self.analysis.exchange(rejection.exchange);
        let before = exchange.connection().exchanges().take_while(|x| x.id < rejection.exchange).last();
        before.is_some_and(|x| x.raw.flags.has(ExchangeFlags::EARLY_RESPONSE))
            && !matches!(rejection.form, RejectForm::IdleReset | RejectForm::BlackHole)
    }

    /// Nobody closed, and the server's side knows the connection no more.
    fn forgotten(&self, rejection: &Rejection, server: SocketAddr, close: Option<&Close>) -> Kind {
        if let Some(close) = close
            && let Some(scope) = self.scope(server, |habits| habits.by_timer(close))
        {
            return Kind::Idle(scope);
        }
        // Its FIN, which each of its connections gets, was missed.
        if rejection.form == RejectForm::IdleReset && self.keeps_none(server) {
            return Kind::AfterEach;
        }
        let longest = self.all.longest_answered_ns;
        if rejection.idle_ns >= SHORTEST_FORGOTTEN_NS && rejection.idle_ns > longest {
            Kind::Middlebox
        } else {
            Kind::Vanished
        }
    }

    fn cause(&self, kind: Kind, cases: &[&Rejection]) -> Cause {
        match kind {
            Kind::AfterEarly => plain(&texts::AFTER_EARLY_ANSWER, Certainty::Certain),
            Kind::AfterEach => self.closes_after_each(),
            Kind::Announced => Cause {
                words: &texts::CLOSE_IGNORED,
                values: vec![
                    (
                        "said_last",
                        "The exchange before had said that it was the connection's last".to_owned(),
                    ),
                    ("close_gap", ", and {from} had it".to_owned()),
                ],
                certainty: Certainty::Certain,
            },
            Kind::Pipelined => plain(&texts::PIPELINED_BEHIND_CLOSE, Certainty::Certain),
            Kind::Limit(limit) => self.request_limit(limit, cases),
            Kind::Idle(scope) => self.idle_timeout(scope, cases),
            Kind::Restart(at) => self.restart(at),
            Kind::Middlebox => self.middlebox(cases),
            Kind::Vanished => plain(&texts::VANISHED, Certainty::Possible),
            Kind::Recycled => plain(&texts::RECYCLED, Certainty::Possible),
            Kind::Unknown => self.unknown(),
        }
    }

    fn unknown(&self) -> Cause {
        let worked = match self.all.answered_reused {
            0 => "",
            _ => "Reused connections worked otherwise.",
        };
        let values = vec![("worked", worked.to_owned())];
        Cause { words: &texts::UNKNOWN_CAUSE, values, certainty: Certainty::Likely }
    }

    fn closes_after_each(&self) -> Cause {
        let mut gaps: Vec<i64> = self.all.closes.iter().map(|close| close.gap_ns).collect();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        let closed = counted(gaps.len() as u64, "connection");
        let announced = self.all.closes.iter().filter(|close| close.announced).count();
        let words =
            if announced * 2 > gaps.len() { &texts::CLOSE_IGNORED } else { &texts::CLOSES_AFTER_EACH };
        let cut = self.all.closes.iter().filter(|close| close.cut).count();
        let is_hidden = cut * 2 > gaps.len();
        let certainty = match gaps.len() {
            ..=2 => Certainty::Possible,
            3..5 => Certainty::Likely,
            _ if is_hidden => Certainty::Likely,
            _ => Certainty::Certain,
        };
        let unsaid = if is_hidden {
            "; whether it says so ('Connection: close') the snap length cut off"
        } else {
            " without saying so (no 'Connection: close')"
        };
        let close_gap = format!(": {closed}, {} after the response (median)", duration(median));
        let said_last = "{to} closes each connection after one response, and that was announced".to_owned();
        Cause {
            words,
            values: vec![("said_last", said_last), ("unsaid", unsaid.to_owned()), ("close_gap", close_gap)],
            certainty,
        }
    }

    fn request_limit(&self, limit: u32, cases: &[&Rejection]) -> Cause {
        let reached = |close: &&Close| close.at_once() && close.responses == limit;
        let samples = self.all.closes.iter().filter(reached).count() as u64;
        Cause {
            words: &texts::MAX_REQUESTS,
            values: vec![
                ("k", grouped(u64::from(limit))),
                ("k1", grouped(u64::from(limit) + 1)),
                ("k_below", (limit.saturating_sub(1)).to_string()),
                ("samples", counted(samples, "connection")),
            ],
            certainty: if samples >= 5 || cases.len() >= 3 { Certainty::Certain } else { Certainty::Likely },
        }
    }

    fn idle_timeout(&self, scope: Scope, cases: &[&Rejection]) -> Cause {
        let habits = self.habits(scope);
        let Some(idle) = habits.idle else {
            return self.unknown();
        };
        let tight = idle.samples >= 3 && idle.spread_ns() <= idle.timeout_ns / 10;
        let whose = match scope {
            Scope::One(server) => format!("at {server}"),
            Scope::All => String::new(),
        };
        Cause {
            words: &texts::IDLE_TIMEOUT,
            values: [
                vec![
                    ("t", duration(idle.timeout_ns)),
                    ("spread", spread(&idle)),
                    ("samples", counted(idle.samples, "connection")),
                    ("whose", whose),
                    ("known", known_timeout(&idle)),
                    ("keeps", self.client_keeps(&idle)),
                    ("sure", self.sure(&idle, cases)),
                ],
                below(idle.timeout_ns),
            ]
            .concat(),
            certainty: match idle.samples {
                1 => Certainty::Possible,
                _ if tight => Certainty::Certain,
                _ => Certainty::Likely,
            },
        }
    }

    /// `for at least 60.0 s`, or the client's own timeout where its closes show it.
    fn client_keeps(&self, server: &IdleTimeout) -> String {
        match self.all.client_idle.filter(|client| client.timeout_ns > server.range_ns.0) {
            Some(client) => format!(
                "and itself closes them only after {} (seen on {})",
                duration(client.timeout_ns),
                counted(client.samples, "connection")
            ),
            None => format!("for at least {}", duration(self.all.client_kept_ns)),
        }
    }

    /// How many of the requests met the timer for certain, and how many only fit it.
    fn sure(&self, idle: &IdleTimeout, cases: &[&Rejection]) -> String {
        let margin = 10_000_000 + idle.timeout_ns / 50;
        let close_of = |r: &&&Rejection| {
            self.all.close_of(self.analysis.exchange(r.exchange).connection_id()).map(|close| close.gap_ns)
        };
        let met = |gap: i64| gap.abs_diff(idle.timeout_ns) <= margin.unsigned_abs();
        let sure = cases.iter().filter(|r| close_of(r).is_some_and(met)).count() as u64;
        let all = cases.len() as u64;
        if sure == all || idle.samples < 3 {
            return String::new();
        }
        format!(
            "For {} of {} the close came at this very idle time; for the rest it is the likely reading.",
            grouped(sure),
            counted(all, "request")
        )
    }

    fn restart(&self, at: usize) -> Cause {
        let before = match self.all.answered_reused {
            0 => "It",
            _ => "Before that, reused connections worked: it",
        };
        let mut values = burst::values(self.bursts, at);
        values.push(("before", before.to_owned()));
        Cause { words: &texts::RESTARTED, values, certainty: self.bursts[at].certainty() }
    }

    fn middlebox(&self, cases: &[&Rejection]) -> Cause {
        let shortest = cases.iter().map(|r| r.idle_ns).min().unwrap_or_default();
        let longest = self.all.longest_answered_ns;
        let worked = if longest > 0 {
            format!("Requests after shorter idle times, up to {}, were answered.", duration(longest))
        } else {
            String::new()
        };
        let forms = [(RejectForm::BlackHole, "no answer at all"), (RejectForm::IdleReset, "a reset")];
        let got = forms.iter().filter(|(form, _)| cases.iter().any(|r| r.form == *form));
        let got: Vec<String> = got.map(|(_, words)| (*words).to_owned()).collect();
        let values = vec![
            ("idle", format!("{} or more", duration(shortest))),
            ("worked", worked),
            ("got", listed(&got)),
        ];
        // The limit lies between the longest idle time that did no harm and the shortest one that did.
        let harmless = if longest >= SECOND_NS { longest + SECOND_NS } else { shortest / 2 };
        let values = [values, below(harmless.min(LONGEST_KEPT_NS))].concat();
        let certainty = if cases.len() >= 3 && longest > 0 { Certainty::Likely } else { Certainty::Possible };
        Cause { words: &texts::MIDDLEBOX, values, certainty }
    }
}

fn plain(words: &'static Words, certainty: Certainty) -> Cause {
    Cause { words, values: Vec::new(), certainty }
}

/// A timeout that ends idle connections before the other side does, as nginx, others in whole seconds, and Envoy write
/// it. Empty where it would have to be a fraction of a second and cannot be.
fn below(timeout_ns: i64) -> Vec<(&'static str, String)> {
    let seconds = (timeout_ns / SECOND_NS - 1).max(1);
    let (nginx, whole, envoy) = if timeout_ns >= SECOND_NS + SECOND_NS / 5 {
        (format!("{seconds}s"), seconds.to_string(), format!("{seconds}s"))
    } else {
        let ms = timeout_ns / 1_000_000 * 3 / 4;
        let step = if ms >= 100 { 100 } else { 10 };
        let ms = (ms / step * step).max(1);
        (format!("{ms}ms"), String::new(), format!("0.{ms:03}s"))
    };
    vec![("below", nginx), ("below_s", whole), ("below_envoy", envoy)]
}

/// `± 8.0 ms`, or the range of a coarse timer.
fn spread(idle: &IdleTimeout) -> String {
    if idle.spread_ns() > idle.timeout_ns / 4 {
        return format!("(to {}: its clock is coarse)", duration(idle.range_ns.1));
    }
    format!("± {}", duration((idle.spread_ns() + 1) / 2))
}

/// `; 5 s is the default of uvicorn`.
fn known_timeout(idle: &IdleTimeout) -> String {
    let seconds = (idle.timeout_ns + 500_000_000) / 1_000_000_000;
    texts::KNOWN_IDLE_TIMEOUTS
        .iter()
        .find(|known| known.0 == seconds && super::verdict::is_usual_timeout(idle.timeout_ns))
        .map_or(String::new(), |known| format!("; {} s is {}", known.0, known.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_timeout_lies_below_the_servers_in_units_that_it_reads() {
        let told = |ms: i64| below(ms * 1_000_000).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(told(701), ["500ms", "", "0.500s"]);
        assert_eq!(told(1_000), ["700ms", "", "0.700s"]);
        assert_eq!(told(101), ["70ms", "", "0.070s"]);
        assert_eq!(told(1_300), ["1s", "1", "1s"]);
        assert_eq!(told(5_010), ["4s", "4", "4s"]);
    }
}
