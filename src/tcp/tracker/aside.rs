//! Connections whose answers come from another address than the one asked.
//!
//! Where a machine redirects what it sends itself (the `REDIRECT` target of iptables in `OUTPUT`, as sidecars have it),
//! the loopback interface shows requests to where they were redirected, and answers from where they had been meant for.
//! The number of the SYN, which the answer acknowledges, tells: it has 32 random bits.

use hashbrown::HashMap;

use crate::capture::Segment;

use super::{Handler, Key, Tracker};

/// The last connections that began with a SYN, among which one is looked for whose answer comes from another address.
const RECENT: usize = 32;
/// Most addresses that answers come from in place of the one asked.
const MAX_ASIDE: usize = 65_536;

/// The connections that were found, and those that one may be found among.
pub(super) struct Aside {
    /// Slots of the last connections that began with a SYN, in a ring, and where the next one goes.
    recent: ([u32; RECENT], usize),
    /// Slot and first packet of each connection, by both ends of its answers.
    known: HashMap<Key, (u32, u32), foldhash::fast::FixedState>,
}

impl Default for Aside {
    fn default() -> Self {
        Self { recent: ([u32::MAX; RECENT], 0), known: HashMap::default() }
    }
}

impl Aside {
    /// Notes a connection that begins with a SYN.
    pub(super) fn note_syn(&mut self, slot: u32) {
        let (slots, next) = &mut self.recent;
        slots[*next] = slot;
        *next = (*next + 1) % RECENT;
    }

    /// Whether a segment with unknown ends may be of such a connection.
    #[inline]
    pub(super) fn may_have(&self, segment: &Segment<'_>) -> bool {
        !self.known.is_empty() || answers_syn(segment)
    }
}

/// Whether a segment accepts a connection or refuses it.
#[inline]
fn answers_syn(segment: &Segment<'_>) -> bool {
    segment.flags.ack() && (segment.flags.syn() || segment.flags.rst())
}

impl<H: Handler> Tracker<H> {
    /// The connection that a segment with unknown ends answers all the same, and whether its server is the lower end.
    #[cold]
    pub(super) fn answered_aside(&mut self, key: &Key, segment: &Segment<'_>) -> Option<(u32, bool)> {
        let live = |slot: u32| self.slots.get(slot as usize).and_then(Option::as_ref);
        let is_known = |&&(slot, first): &&(u32, u32)| {
            live(slot).is_some_and(|live| live.first.1 == first && live.client() == segment.dst)
        };
        let Aside { recent: (recent, _), known } = &self.aside;
        let slot = match known.get(key).filter(is_known) {
            Some(&(slot, _)) => slot,
            None if answers_syn(segment) && known.len() < MAX_ASIDE => {
                let awaits = |&slot: &u32| live(slot).is_some_and(|live| live.awaits_answer(segment));
                recent.iter().copied().find(awaits)?
            }
            None => return None,
        };
        let live = self.slots.get_mut(slot as usize)?.as_mut()?;
        live.meant_for = Some(segment.src);
        self.aside.known.insert(*key, (slot, live.first.1));
        Some((slot, live.server_is_low()))
    }
}
