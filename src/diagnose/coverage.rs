//! Links of which only a part of the time was captured: the files of several hops seldom begin and end together.
//!
//! ```text
//!   edge capture     ├──────────────────────────┤   300 requests on edge → ingress
//!   ingress capture      ├─────────┤                of these, 160 came while nobody recorded ingress → app
//! ```
//!
//! A file that ends early may only have had nothing more to record. So the neighbouring links decide: a request of
//! theirs that lies outside should have had its part here.

use crate::analysis::{Analysis, ExchangeView};
use crate::topology::LinkId;

use super::Coverage;

/// Fewer requests that should have shown here are no proof that the capture had not begun, or had ended.
const FEWEST: u64 = 6;
/// A request may take this long from one link to the next, besides what the clocks leave open.
const PASSING_NS: i64 = 5_000_000;
/// Files that a capturing program writes one after the other leave gaps of this length at most.
const ROTATION_NS: i64 = 100_000_000;

/// What was captured of each link's time, where that is only a part.
pub(super) fn by_link(analysis: &Analysis) -> Vec<Option<Coverage>> {
    let links = 0..analysis.topology.links.len() as u16;
    let spans: Vec<Spans> = links.clone().map(|at| Spans::of(analysis, LinkId(at))).collect();
    links.map(|at| partial(analysis, LinkId(at), &spans)).collect()
}

/// When the captures ran that hold a link, in session time.
#[derive(Default)]
struct Spans {
    spans: Vec<(i64, i64)>,
    /// What their clocks leave open, and how long a request takes to pass.
    slack_ns: i64,
    /// The clocks that they are in: times of two groups cannot be compared.
    groups: Vec<u16>,
}

impl Spans {
    fn of(analysis: &Analysis, link: LinkId) -> Self {
        let mut captures: Vec<_> = Vec::new();
        for &id in &analysis.link(link).connections {
            for sighting in &analysis.connection(id).inner.sightings {
                if !captures.contains(&sighting.capture) {
                    captures.push(sighting.capture);
                }
            }
        }
        let mut all = Self { slack_ns: PASSING_NS, ..Self::default() };
        for capture in captures {
            let Some((first, last)) = analysis.capture_span(capture) else { continue };
            let clock = &analysis.topology.clocks[capture.index()];
            all.spans.push((first.0, last.0));
            all.slack_ns = all.slack_ns.max(PASSING_NS.saturating_add(clock.band_ns.unwrap_or_default()));
            if !all.groups.contains(&clock.group) {
                all.groups.push(clock.group);
            }
        }
        all.spans.sort_unstable();
        all.spans.dedup_by(|later, earlier| {
            let joined = later.0 <= earlier.1.saturating_add(ROTATION_NS);
            if joined {
                earlier.1 = earlier.1.max(later.1);
            }
            joined
        });
        all
    }

    fn holds(&self, at: i64) -> bool {
        self.spans.iter().any(|&(from, to)| (from..=to).contains(&at))
    }

    fn is_far_from(&self, at: i64) -> bool {
        let far = |&(from, to): &(i64, i64)| {
            at < from.saturating_sub(self.slack_ns) || at > to.saturating_add(self.slack_ns)
        };
        self.spans.iter().all(far)
    }

    /// Whether the other link was never recorded while this one was not.
    fn contains(&self, other: &Self) -> bool {
        other.spans.iter().all(|&(from, to)| !self.is_far_from(from) && !self.is_far_from(to))
            && self.spans.len() == 1
    }
}

/// The neighbouring link that tells most of the time outside this one's captures.
fn partial(analysis: &Analysis, link: LinkId, spans: &[Spans]) -> Option<Coverage> {
    let own = &spans[usize::from(link.0)];
    let [group] = own.groups[..] else { return None };
    let here = analysis.link(link);
    let mut best: Option<Coverage> = None;
    for (at, other) in spans.iter().enumerate() {
        let beside = analysis.link(LinkId(at as u16));
        if other.groups != [group] || own.contains(other) {
            continue;
        }
        let outside = if beside.to == here.from {
            let asked = |x: ExchangeView<'_>| {
                analysis.trees.children(x.id).iter().any(|&child| analysis.exchange(child).link_id() == link)
            };
            outside(analysis, LinkId(at as u16), own, asked)
        } else if beside.from == here.to {
            let caused = |x: ExchangeView<'_>| {
                let parent = analysis.trees.parent(x.id);
                parent.is_some_and(|parent| analysis.exchange(parent.parent).link_id() == link)
            };
            outside(analysis, LinkId(at as u16), own, caused)
        } else {
            0
        };
        if outside > best.as_ref().map_or(0, |known| known.outside) {
            best = Some(Coverage { spans: own.spans.clone(), outside, beside: LinkId(at as u16) });
        }
    }
    best
}

/// How many requests of a neighbouring link came outside; 0 where those within show that few of them would have had
/// their part here.
fn outside(
    analysis: &Analysis,
    beside: LinkId,
    own: &Spans,
    related: impl Fn(ExchangeView<'_>) -> bool,
) -> u64 {
    let (mut within, mut matched, mut outside) = (0u64, 0u64, 0u64);
    for &id in &analysis.link(beside).connections {
        for exchange in analysis.connection(id).exchanges().filter(|x| x.raw.request.is_present()) {
            let at = exchange.started().0;
            if own.holds(at) {
                within += 1;
                matched += u64::from(related(exchange));
            } else if own.is_far_from(at) {
                outside += 1;
            }
        }
    }
    let expected = outside.saturating_mul(matched).checked_div(within).unwrap_or_default();
    if expected < FEWEST { 0 } else { outside }
}

/// `covers 12:00:03.104–12:00:09.007 only; 160 requests on edge → ingress came at other times`.
pub(crate) fn words(analysis: &Analysis, coverage: &Coverage) -> String {
    let spans: Vec<String> = coverage
        .spans
        .iter()
        .map(|&(from, to)| format!("{}–{}", super::words::time_of_day(from), super::words::time_of_day(to)))
        .collect();
    let beside = analysis.link_name(coverage.beside);
    let outside = super::words::counted(coverage.outside, "request");
    format!("covers {} only; {outside} on {beside} came at other times", super::words::listed(&spans))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::testkit::{Chain, MS};
    use crate::http::Method::Get;

    /// Requests at a proxy every 50 ms; it asks the app for all whose number passes, until the second capture ends.
    fn chain(asks: impl Fn(i64) -> bool) -> Analysis {
        let mut chain = Chain::new(&["user", "proxy", "app"]);
        let (user, app) = (chain.open(0, 0), chain.open(1, 0));
        let mut asked = 0;
        for number in 0..30 {
            let at = (number + 1) * 50 * MS;
            chain.conns[user].request(Get, "/x", at);
            if asks(number) {
                chain.conns[app].request(Get, "/x", at + MS).response(200, at + 2 * MS);
                chain.parent((app, asked), (user, number as usize), 1);
                asked += 1;
            }
            chain.conns[user].response(200, at + 3 * MS);
        }
        chain.analyse()
    }

    #[test]
    fn a_link_says_which_time_it_covers_where_its_neighbour_was_captured_for_longer() {
        let analysis = chain(|number| number < 10);
        let [user, app] = &analysis.diagnosis.board.links[..] else { panic!("two links") };
        assert_eq!(user.coverage, None);
        let coverage = app.coverage.as_ref().unwrap();
        assert_eq!((coverage.spans.as_slice(), coverage.outside), (&[(0, 502 * MS)][..], 20));
        assert_eq!(
            words(&analysis, coverage),
            "covers 00:00:00.000–00:00:00.502 only; 20 requests on user → proxy came at other times"
        );
    }

    #[test]
    fn a_proxy_that_answers_most_by_itself_does_not_make_its_link_a_partly_captured_one() {
        let told = |analysis: Analysis| analysis.diagnosis.board.links[1].coverage.clone();
        assert_eq!(told(chain(|_| true)), None);
        // Every fifth request is passed on: four that are not are nothing to speak of, and twenty are few.
        assert_eq!(told(chain(|number| number % 5 == 0 && number < 27)), None);
    }
}
