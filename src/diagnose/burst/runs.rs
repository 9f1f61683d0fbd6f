//! Runs of closes of one server that may be a restart. Three rules look for them, each for what the others cannot see:
//!
//! | rule | looks at | apart at most | a run is what |
//! |---|---|---|---|
//! | [`outside_of_habits`] | closes that no timer and no limit explains | 300 ms | had served somebody, and no timer explains together |
//! | [`one_event`] | all closes, also those of a timer | 300 ms | came far closer together than the idle times before them differ |
//! | [`before_refusal`] | closes that no timer and no limit explains | 50 ms | was followed by a refusal, whoever had been served |
//!
//! The second is for the end of a load, when what had gone idle together looks like a timer; the third for servers of which
//! each connection ends with its answer, or was new: there nothing but the refusal tells an end from a crash.

use crate::diagnose::habits::Habits;
use crate::diagnose::verdict::{is_usual_timeout, may_be_coarse_timer};

use super::FEWEST_UNASKED;
use super::book::Book;
use super::odd::Odd;

/// Closes that follow each other within this time belong together.
pub(super) const NEXT_NS: i64 = 300_000_000;

/// Those of a server that ends follow each other within this time.
const MOMENT_NS: i64 = 50_000_000;

/// A server whose unexpected closes go on for longer than this is faulty, not restarted.
pub(super) const LONGEST_NS: i64 = 3_000_000_000;

/// Idle times that differ by less than this may come from one timer.
const ONE_EVENT_NS: i64 = 300_000_000;

/// Fewer closes are no burst.
const FEWEST: usize = 3;

/// So many closed connections must have been of use, where nothing else shows that the server went away.
const FEWEST_SERVED: usize = 2;

/// Runs of closes that no habit of the server explains.
pub(super) fn outside_of_habits<'a>(unusual: &'a [Odd], habits: &Habits) -> Vec<&'a [Odd]> {
    chains(unusual, NEXT_NS, |chain| were_served(chain) && !is_timer(chain, habits) || is_cut(chain))
}

/// Runs of closes that are one event, whatever their idle times look like: at the end of a load all timers fire together, as
/// far apart as the last answers were, and these came closer together than that.
pub(super) fn one_event<'a>(odd: &'a [Odd], habits: &Habits) -> Vec<&'a [Odd]> {
    chains(odd, NEXT_NS, |chain| {
        is_one_event(chain) && were_served(chain) && !is_timer(chain, habits) || is_cut(chain)
    })
}

/// Runs of closes behind which the next to connect was refused: that shows the end of a server whatever went before, and
/// that it came at one moment.
pub(super) fn before_refusal<'a>(
    unusual: &'a [Odd],
    book: impl Fn(&Odd) -> Option<&'a Book>,
) -> Vec<&'a [Odd]> {
    chains(unusual, MOMENT_NS, |chain| book(&chain[0]).is_some_and(|book| book.ends_behind(chain)))
}

/// Whether a timer that looks around now and then, known or not, may have closed all these.
fn is_timer(chain: &[Odd], habits: &Habits) -> bool {
    is_coarse_timer(chain) || is_late_timer(chain, habits)
}

/// The runs of closes of one server that may be a restart.
fn chains(odd: &[Odd], next_ns: i64, fits: impl Fn(&[Odd]) -> bool) -> Vec<&[Odd]> {
    let together = |a: &Odd, b: &Odd| a.server == b.server && b.at.since_ns(a.at) <= next_ns;
    let chains = odd
        .chunk_by(together)
        .filter(|chain| chain.len() >= FEWEST && lasts_ns(chain) <= LONGEST_NS && fits(chain));
    chains.collect()
}

/// Whether the server had answered on some of these connections before.
fn were_served(chain: &[Odd]) -> bool {
    chain.iter().filter(|one| one.gap_ns.is_some()).count() >= FEWEST_SERVED
}

pub(super) fn lasts_ns(chain: &[Odd]) -> i64 {
    chain[chain.len() - 1].at.since_ns(chain[0].at)
}

/// Whether a timer that is looked at once a second (uwsgi's router) may have found all these at one look, most of them with
/// a request in hand.
pub(super) fn may_be_one_look(chain: &[Odd]) -> bool {
    let asked = chain.iter().filter(|one| one.asked.is_some()).count();
    let waits = || chain.iter().filter_map(|one| one.asked.map(|asked| asked.age_ns).or(one.gap_ns));
    let (shortest, longest) = (waits().min().unwrap_or_default(), waits().max().unwrap_or_default());
    asked * 2 >= chain.len() && may_be_coarse_timer(shortest, longest)
}

/// Whether the server went away with most of these in hand: it left what it had asked for them at the same moment.
pub(super) fn is_cut(chain: &[Odd]) -> bool {
    chain.iter().filter(|one| one.dropped).count() * 2 > chain.len()
}

/// Whether the closes lie much closer together than the idle times before them.
fn is_one_event(chain: &[Odd]) -> bool {
    let gaps = || chain.iter().filter_map(|one| one.gap_ns);
    let spread = gaps().max().unwrap_or_default().saturating_sub(gaps().min().unwrap_or_default());
    spread >= ONE_EVENT_NS && spread / 10 >= lasts_ns(chain)
}

/// Whether a timer that looks around now and then may have closed all these: each was idle for a usual timeout, and none
/// for much longer. (lighttpd closes together what went idle within a second or two.)
fn is_coarse_timer(chain: &[Odd]) -> bool {
    let gaps = chain.iter().map(|one| one.gap_ns.unwrap_or_default());
    let (shortest, longest) = gaps.fold((i64::MAX, 0), |(low, high), gap| (low.min(gap), high.max(gap)));
    is_usual_timeout(shortest) && longest < shortest.saturating_mul(2)
}

/// Whether a server's known timer may have closed all these, each up to a look around late.
fn is_late_timer(chain: &[Odd], habits: &Habits) -> bool {
    chain.iter().all(|one| one.gap_ns.is_some_and(|gap| habits.by_late_timer(gap)))
}

/// A timer that shows nowhere but amid a burst of closes is none: those connections had been left idle together.
pub(super) fn doubt_timers(odd: &mut [Odd]) {
    let unusual: Vec<Odd> = odd.iter().filter(|one| !one.usual).copied().collect();
    let ends = |chain: &[Odd]| (chain[0].server, chain[0].at, chain[chain.len() - 1].at);
    let bursts: Vec<_> = chains(&unusual, NEXT_NS, |chain| were_served(chain) || is_cut(chain))
        .into_iter()
        .map(ends)
        .collect();
    let amid = |one: &Odd| {
        let within = |&(server, from, to): &_| one.server == server && (from..=to).contains(&one.at);
        one.usual && bursts.iter().any(within)
    };
    if odd.iter().filter(|one| one.usual && !amid(one)).count() < FEWEST_UNASKED {
        odd.iter_mut().filter(|one| amid(one)).for_each(|one| one.usual = false);
    }
}
