//! Servers whose workers are all busy with slow requests again and again, while answers go out: quick requests wait until
//! one of the slow ones is done, and many are given up before. (Where nobody at all is answered meanwhile: [`super::stall`].)
//!
//! ```text
//!   worker 1   |----- /report -----|i|----- /report -----|
//!   worker 2        |----- /report -----|i|i|----- /report ----- …
//!                     /item ··········>|i|            answered, once a worker was free
//!                              /item ·····> GIVEN UP
//! ```

use hashbrown::HashMap;

use crate::topology::ExchangeId;

use super::exhaustion::{STARVED_NS, STARVED_TIMES};
use super::stall::Ask;

/// Fewer requests that were given up are no proof, fewer answers show nothing usual.
const FEWEST: usize = 3;

/// What takes at least this long can hold a worker while others wait.
const SLOW_NS: i64 = 100_000_000;

/// In this share of the time in which requests starve the same number of slow ones is in hand, in percent.
const HELD_PERCENT: i64 = 90;

/// More in hand than that is a slip of the reckoning, in percent of the same time.
const ABOVE_PERCENT: i64 = 2;

/// Of the quick requests that come meanwhile at most so many are answered at once, in percent.
const PROMPT_PERCENT: usize = 10;

/// A quick request is answered at once within so many of its usual times, or within this time.
const PROMPT_TIMES: i64 = 5;
const PROMPT_NS: i64 = 20_000_000;

/// What a busy server shows.
pub(super) struct Busy {
    /// Requests whose clients gave up while all workers were held.
    pub(super) starved: Vec<ExchangeId>,
    /// Slow requests that held the workers.
    pub(super) holders: Vec<ExchangeId>,
    pub(super) workers: usize,
    pub(super) usual_ns: i64,
    /// How long the slow ones take at least.
    pub(super) slow_ns: i64,
    pub(super) longest_ns: i64,
}

/// How many slow requests are in hand, from each moment on.
struct InHand(Vec<(i64, usize)>);

impl InHand {
    fn new(spans: &[(i64, i64)]) -> Self {
        let mut changes: Vec<(i64, i64)> =
            spans.iter().flat_map(|&(from, to)| [(from, 1), (to, -1)]).collect();
        changes.sort_unstable();
        let mut open = 0;
        let step = |(at, step): (i64, i64)| {
            open += step;
            (at, usize::try_from(open).unwrap_or_default())
        };
        Self(changes.into_iter().map(step).collect())
    }

    fn at(&self, at: i64) -> usize {
        self.0.partition_point(|one| one.0 <= at).checked_sub(1).map_or(0, |place| self.0[place].1)
    }

    /// For how long how many are in hand within these spans, which follow each other.
    fn times(&self, spans: &[(i64, i64)]) -> Vec<i64> {
        let mut times: Vec<i64> = Vec::new();
        let mut add = |count: usize, ns: i64| {
            if times.len() <= count {
                times.resize(count + 1, 0);
            }
            times[count] = times[count].saturating_add(ns);
        };
        for &(from, to) in spans {
            let (mut last, mut count) = (from, self.at(from));
            let first = self.0.partition_point(|one| one.0 <= from);
            for &(at, next) in self.0[first..].iter().take_while(|one| one.0 < to) {
                add(count, at.saturating_sub(last));
                (last, count) = (at, next);
            }
            add(count, to.saturating_sub(last));
        }
        times
    }
}

/// Looks at the requests of one server, sorted by time.
pub(super) fn judge(asks: &[Ask]) -> Option<Busy> {
    let mut kinds: HashMap<u64, Vec<i64>, foldhash::fast::FixedState> = HashMap::default();
    for ask in asks {
        if let Some(at) = ask.answered {
            kinds.entry(ask.kind).or_default().push(at.saturating_sub(ask.from));
        }
    }
    kinds.retain(|_, times| times.len() >= FEWEST);
    // The shortest has waited for nobody.
    let least: HashMap<u64, i64, foldhash::fast::FixedState> =
        kinds.into_iter().filter_map(|(kind, times)| Some((kind, times.into_iter().min()?))).collect();
    let takes = |ask: &Ask| least.get(&ask.kind).copied();
    let quick = |ask: &&Ask| takes(ask).is_some_and(|ns| ns < SLOW_NS);
    let slow = |ask: &&Ask| takes(ask).is_some_and(|ns| ns >= SLOW_NS);
    let until = |ask: &Ask| ask.left.or(ask.answered);
    let starves = |ask: &&Ask| {
        let waited = until(ask).map(|until| until.saturating_sub(ask.from));
        let limit = takes(ask).map(|ns| STARVED_NS.max(ns.saturating_mul(STARVED_TIMES)));
        waited.zip(limit).is_some_and(|(waited, limit)| waited >= limit)
    };
    let starving: Vec<&Ask> = asks.iter().filter(quick).filter(starves).collect();
    if starving.iter().filter(|ask| ask.left.is_some()).count() < FEWEST {
        return None;
    }
    let work = |ask: &Ask| Some((ask.answered?.saturating_sub(takes(ask)?), ask.answered?));
    let in_hand = InHand::new(&asks.iter().filter(slow).filter_map(work).collect::<Vec<_>>());
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for ask in &starving {
        let until = until(ask).unwrap_or(ask.from);
        match spans.last_mut().filter(|last| ask.from <= last.1) {
            Some(last) => last.1 = last.1.max(until),
            None => spans.push((ask.from, until)),
        }
    }
    let times = in_hand.times(&spans);
    let all = times.iter().fold(0, |all: i64, ns| all.saturating_add(*ns));
    let workers = (1..times.len()).max_by_key(|&count| times[count])?;
    let above = times[workers + 1..].iter().fold(0, |all: i64, ns| all.saturating_add(*ns));
    if times[workers].saturating_mul(100) < all.saturating_mul(HELD_PERCENT)
        || above.saturating_mul(100) > all.saturating_mul(ABOVE_PERCENT)
    {
        return None;
    }
    // A server with a free worker answers quick requests at once.
    let arrived = |ask: &&Ask| in_hand.at(ask.from) >= workers;
    let prompt = |ask: &&Ask| {
        let soon = takes(ask).map_or(0, |ns| PROMPT_NS.max(ns.saturating_mul(PROMPT_TIMES)));
        ask.answered.is_some_and(|at| at.saturating_sub(ask.from) <= soon && in_hand.at(at) >= workers)
    };
    let meanwhile: Vec<&Ask> = asks.iter().filter(quick).filter(arrived).collect();
    let prompt = meanwhile.iter().copied().filter(|ask| prompt(ask)).count();
    let starved: Vec<&Ask> =
        starving.iter().copied().filter(|ask| ask.left.is_some() && arrived(ask)).collect();
    if prompt * 100 > meanwhile.len() * PROMPT_PERCENT || starved.len() < FEWEST {
        return None;
    }
    let holders: Vec<&Ask> = asks.iter().filter(slow).filter(|ask| ask.answered.is_some()).collect();
    let waits = starved.iter().filter_map(|ask| Some(until(ask)?.saturating_sub(ask.from)));
    Some(Busy {
        longest_ns: waits.max()?,
        usual_ns: starved.iter().filter_map(|ask| takes(ask)).max()?,
        slow_ns: holders.iter().filter_map(|ask| takes(ask)).min()?,
        starved: starved.iter().map(|ask| ask.id).collect(),
        holders: holders.iter().map(|ask| ask.id).collect(),
        workers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const QUICK: u64 = 1;
    const SLOW: u64 = 2;

    /// Requests every 40 ms, each fifth a slow one of 700 ms, at a server with so many workers that takes them in
    /// turn, or with one more that only quick ones get; clients of quick ones leave after a second.
    fn asks(workers: usize, spare: bool) -> Vec<Ask> {
        let mut free = vec![0; workers];
        let ask = |n: i64| {
            let from = n * 40 * MS;
            let kind = if n % 5 == 3 { SLOW } else { QUICK };
            let at = (0..workers).min_by_key(|&at| free[at]).unwrap();
            let begins = free[at].max(from);
            let takes = if kind == SLOW { 700 * MS } else { 3 * MS };
            let answered = if spare && kind == QUICK { from + takes } else { begins + takes };
            if !(spare && kind == QUICK) {
                free[at] = answered;
            }
            let left = (kind == QUICK && answered - from > 1_000 * MS).then_some(from + 1_000 * MS);
            Ask { id: ExchangeId(n as u32), from, answered: Some(answered), left, over: answered, kind }
        };
        (0..100).map(ask).collect()
    }

    #[test]
    fn the_number_of_slow_requests_in_hand_is_that_of_the_workers() {
        for workers in [1, 2] {
            let busy = judge(&asks(workers, false)).unwrap();
            assert_eq!(busy.workers, workers);
            assert!(busy.starved.len() > 20 && busy.usual_ns == 3 * MS && busy.slow_ns == 700 * MS);
        }
    }

    #[test]
    fn where_others_are_answered_meanwhile_no_worker_is_wanted() {
        assert!(judge(&asks(9, false)).is_none(), "nobody waits");
        // Somebody leaves now and then although all the others are answered at once.
        let mut some = asks(2, true);
        for ask in some.iter_mut().filter(|ask| ask.kind == QUICK && ask.id.0 % 10 == 7) {
            (ask.left, ask.answered) = (Some(ask.from + 1_000 * MS), Some(ask.from + 1_200 * MS));
        }
        assert!(judge(&some).is_none());
        // The whole server stands still: no slow request is in hand.
        let mut still = asks(9, true);
        for ask in still.iter_mut().filter(|ask| (20..60).contains(&ask.id.0)) {
            ask.kind = QUICK;
            (ask.left, ask.answered) = (Some(ask.from + 1_000 * MS), Some(4_000 * MS));
        }
        assert!(judge(&still).is_none());
    }
}
