//! How often a client asks for the same by chance: what it does after good answers.

use std::collections::BTreeMap;

use super::{Ask, FEW, Fate, Pair};

/// Of those named so many may be chance.
const FALSE_SHARE: f64 = 0.02;

/// What is known of a client, or of one of its keys, after good answers.
#[derive(Clone, Debug, Default)]
struct Habit {
    /// Requests that were answered well.
    good: usize,
    /// Waits until the same was asked for again, in nanoseconds; sorted.
    waits: Vec<i64>,
    /// How long in all it did not ask for the same, in nanoseconds.
    quiet: f64,
    /// Good answers with another request behind them on their connection, and how many of these were for the same.
    followed: usize,
    same: usize,
}

impl Habit {
    /// How likely the same comes within this time; `more` counts that nobody saw.
    fn within(&self, wait: i64, more: f64) -> f64 {
        let count = self.waits.len() as f64 + more;
        if count == 0.0 {
            return 0.0;
        }
        let by_rate = 1.0 - (-(count / self.quiet.max(1.0)) * wait as f64).exp();
        let soon = self.waits.partition_point(|own| *own <= wait) as f64;
        by_rate.max(soon / self.good.max(1) as f64)
    }

    /// How likely the next request of a connection is for the same.
    fn next(&self, more: usize) -> f64 {
        let count = self.same + more;
        if count == 0 { 0.0 } else { count as f64 / (self.followed + more).max(1) as f64 }
    }
}

/// The habits of the clients of a link.
#[derive(Debug)]
pub(super) struct Chances {
    clients: BTreeMap<u64, Habit>,
    /// Those of keys that may have been sent again.
    keys: BTreeMap<(u64, u64), Habit>,
    /// Requests of each client.
    counts: BTreeMap<u64, usize>,
}

impl Chances {
    /// Learns from all requests, which are sorted by client, key and time.
    pub(super) fn learn(asks: &[Ask], pairs: &[Pair]) -> Self {
        let mut chances = Self { clients: BTreeMap::new(), keys: BTreeMap::new(), counts: BTreeMap::new() };
        for later in pairs.iter().map(|pair| &asks[pair.later]) {
            chances.keys.entry((later.who, later.key)).or_default();
        }
        let end = asks.iter().map(|ask| ask.settled.max(ask.start)).max().unwrap_or_default();
        let mut next: Vec<usize> = (0..asks.len()).collect();
        next.sort_unstable_by_key(|&at| (asks[at].connection, asks[at].ordinal));
        for two in next.windows(2) {
            let (own, other) = (&asks[two[0]], &asks[two[1]]);
            if own.fate == Fate::Good && own.connection == other.connection && own.who == other.who {
                let same = usize::from(own.key == other.key);
                chances.each(own, |habit| {
                    (habit.followed, habit.same) = (habit.followed + 1, habit.same + same);
                });
            }
        }
        let mut repeats = vec![false; asks.len()];
        pairs.iter().for_each(|pair| repeats[pair.later] = true);
        let mut from = 0;
        for same in asks.chunk_by(|a, b| (a.who, a.key) == (b.who, b.key)) {
            *chances.counts.entry(same[0].who).or_default() += same.len();
            for own in same.iter().filter(|own| own.fate == Fate::Good) {
                let then = same.partition_point(|other| other.start < own.settled);
                let quiet =
                    same.get(then).map_or(end, |other| other.start).saturating_sub(own.settled).max(0);
                // What repeats a failure says nothing of what comes after a good answer.
                let again = then < same.len() && !repeats[from + then];
                chances.each(own, |habit| {
                    habit.good += 1;
                    habit.quiet += quiet as f64;
                    habit.waits.extend(again.then_some(quiet));
                });
            }
            from += same.len();
        }
        chances
            .clients
            .values_mut()
            .chain(chances.keys.values_mut())
            .for_each(|habit| habit.waits.sort_unstable());
        chances
    }

    fn each(&mut self, own: &Ask, mut note: impl FnMut(&mut Habit)) {
        note(self.clients.entry(own.who).or_default());
        self.keys.get_mut(&(own.who, own.key)).map(note);
    }

    /// Whether a client asked too little to know what it does by chance, and never for the same after a good answer.
    pub(super) fn is_untold(&self, who: u64) -> bool {
        let few = self.counts.get(&who).is_none_or(|count| *count <= FEW);
        few && self.clients.get(&who).is_none_or(|habit| habit.waits.is_empty() && habit.same == 0)
    }

    /// Which pairs are more than chance, where so many requests failed: each is as likely as its wait is short, and chance
    /// alone spreads these evenly.
    pub(super) fn beyond(&self, asks: &[Ask], pairs: &[Pair], failed: usize) -> Vec<bool> {
        let chance: Vec<f64> = pairs.iter().map(|pair| self.of(asks, *pair)).collect();
        let mut sorted = chance.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        // Those after which the same did not come, or late, are of clients that do not repeat what failed.
        let late = failed.saturating_sub(sorted.partition_point(|own| *own <= 0.5));
        let by_chance = (2.0 * (1 + late) as f64).min(failed as f64);
        let holds =
            |(at, own): (usize, &f64)| (by_chance * own <= FALSE_SHARE * (at + 1) as f64).then_some(*own);
        let most = sorted.iter().enumerate().filter_map(holds).next_back();
        chance.iter().map(|own| most.is_some_and(|most| *own <= most)).collect()
    }

    /// How likely the later one of a pair comes so soon by chance.
    fn of(&self, asks: &[Ask], pair: Pair) -> f64 {
        let (later, failed) = (&asks[pair.later], &asks[pair.failed]);
        let none = Habit::default();
        let client = self.clients.get(&later.who).unwrap_or(&none);
        let key = self.keys.get(&(later.who, later.key)).unwrap_or(&none);
        let wait = pair.window(asks);
        let in_time = client.within(wait, 1.0).max(key.within(wait, 0.0));
        let by_place = || client.next(1).max(key.next(0));
        if later.is_next_of(failed) { (2.0 * in_time.min(by_place())).min(1.0) } else { in_time }
    }
}
