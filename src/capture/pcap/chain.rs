//! Whether bytes are a chain of records: nothing marks where a pcap record starts, but its neighbours.

use super::form::{FILE_HEADER, Form, Header};

/// Records in a row that tell a form of headers from another, or that a sound record does go on as it says.
const FEW: usize = 3;
/// Records in a row that are believed whatever their times: lengths alone are weaker evidence.
const WITHOUT_TIME: usize = 6;
/// Records in a row that make a place in broken data credible. A body that is itself a capture holds such chains too,
/// but they seldom go on from one packet into the next.
const AMID_BROKEN: usize = 5;
/// The same, where their times lie near each other's and far from those of the packets before.
const AMID_BROKEN_AT_ANOTHER_TIME: usize = 32;
/// Records after which a chain need not span more, so that data made for it do not cost their length squared.
const LONGEST: usize = 1024;
/// How far two neighbouring packets may lie apart in time without doubt. Sound captures may have longer gaps: then their
/// records must be a chain in other ways.
const NEAR_SECONDS: u32 = 24 * 60 * 60;

/// 1980, the year before which no packet is believed to have been captured where no other packet says so. A reader that
/// is four bytes off takes microseconds for seconds, less than twelve days of 1970, and the one length for the other:
/// that gives chains as good as the right ones.
const EARLIEST_SECOND: u32 = 315_532_800;

/// What is asked of each record of a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// All that a sound one has.
    Strict,
    /// Times near each other's, or none; lengths may be odd, as some tools write them.
    NearTimes,
    /// Lengths and fractions of a second that can be; any time that can be, or none.
    Lengths,
}

/// Bytes of a file in which chains are looked for.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    pub(super) data: &'a [u8],
    /// Whether the file ends where the data do.
    pub(super) ends: bool,
}

impl<'a> Stretch<'a> {
    /// What is left of it behind some bytes.
    pub(super) fn behind(self, len: usize) -> Self {
        Self { data: self.data.get(len..).unwrap_or_default(), ends: self.ends }
    }
}

/// A chain to be looked for.
#[derive(Clone, Copy)]
struct Chain {
    rule: Rule,
    /// Seconds of the packet before, where that is known.
    before: Option<u32>,
    /// How many records it must have, if the file does not end before.
    records: usize,
    /// How many it must have if it does.
    least: usize,
    /// How many bytes it must span, if the file does not end before.
    reach: usize,
    /// Whether the file may end within a record's header.
    may_be_cut: bool,
}

impl Header {
    /// Whether its time is near another, where there is one.
    pub(super) fn is_near(self, second: Option<u32>) -> bool {
        second.is_none_or(|second| self.second.abs_diff(second) <= NEAR_SECONDS)
    }
}

impl Form {
    /// Whether a record's header can be that of a record behind one of a time.
    #[inline]
    pub(super) fn is_sound(&self, header: Header, before: u32) -> bool {
        header.second.abs_diff(before) <= NEAR_SECONDS && self.has_sound_lengths(header)
    }

    /// Whether its lengths and its fraction of a second can be.
    #[inline]
    pub(super) fn has_sound_lengths(&self, header: Header) -> bool {
        header.fraction < self.fractions
            && (1..=self.largest).contains(&header.captured)
            && header.captured <= header.original
    }

    /// Whether its time and its length on the wire are those of a packet near others: what its record claims to hold
    /// may be wrong all the same.
    pub(super) fn is_genuine(&self, header: Header, near: Option<u32>) -> bool {
        header.fraction < self.fractions
            && (1..=self.largest).contains(&header.original)
            && header.is_near(near)
    }

    /// Whether its lengths can be, or its time.
    pub(super) fn is_possible(&self, header: Header, near: Option<u32>) -> bool {
        self.has_sound_lengths(header) || header.is_near(near)
    }

    /// Whether the first records of a file fit this form.
    pub(super) fn first_records_fit(&self, data: &[u8]) -> bool {
        let chain =
            Chain { rule: Rule::Strict, before: None, records: FEW, least: 1, reach: 0, may_be_cut: true };
        self.holds(Stretch { data, ends: true }, chain)
    }

    /// Whether what stands behind a record shows that the record ends there, although the next header is not as
    /// [`Self::is_sound`] wants it: captures have gaps, clocks jump, and tools write odd lengths.
    pub(super) fn goes_on(&self, rest: Stretch<'_>, before: u32) -> bool {
        let chain = |rule, before, records| {
            self.holds(rest, Chain { rule, before, records, least: 1, reach: 0, may_be_cut: true })
        };
        self.header(rest.data).is_some_and(Header::is_zero)
            || Self::further(rest.data).is_some()
            || chain(Rule::NearTimes, Some(before), FEW)
            || self.is_dated(rest, None) && chain(Rule::Strict, None, FEW)
            || chain(Rule::Lengths, None, WITHOUT_TIME)
    }

    /// Whether broken data end here: where records go on for a while, and for `reach` bytes, or to the end.
    pub(super) fn is_sound_again(&self, place: Stretch<'_>, before: Option<u32>, reach: usize) -> bool {
        let records = AMID_BROKEN;
        let strict = Chain { rule: Rule::Strict, before, records, least: 1, reach, may_be_cut: false };
        if let Some(form) = Self::further(place.data) {
            let behind = Chain { before: None, reach: reach.saturating_sub(FILE_HEADER), ..strict };
            return form.holds(place.behind(FILE_HEADER), behind);
        }
        self.is_dated(place, before) && self.holds(place, strict)
    }

    fn is_dated(&self, place: Stretch<'_>, before: Option<u32>) -> bool {
        before.is_some() || self.header(place.data).is_some_and(|header| header.second >= EARLIEST_SECOND)
    }

    /// The same where the times are others than those before, which asks for more.
    pub(super) fn is_sound_at_another_time(&self, place: Stretch<'_>, reach: usize) -> bool {
        let (records, least) = (AMID_BROKEN_AT_ANOTHER_TIME, AMID_BROKEN);
        let chain = Chain { rule: Rule::Strict, before: None, records, least, reach, may_be_cut: false };
        self.is_dated(place, None) && self.holds(place, chain)
    }

    fn holds(&self, place: Stretch<'_>, chain: Chain) -> bool {
        let Stretch { data, ends } = place;
        let (mut at, mut records, mut before) = (0, 0, chain.before);
        while records < chain.records || at < chain.reach && records < LONGEST {
            let Some(header) = self.header(&data[at..]) else {
                return records >= chain.least && (!ends || at == data.len() || chain.may_be_cut);
            };
            if !self.fits(header, chain.rule, before) {
                return records >= chain.least && at >= chain.reach && Self::further(&data[at..]).is_some();
            }
            before = if header.has_no_time() { before } else { Some(header.second) };
            at += self.record_header + header.captured as usize;
            if at > data.len() {
                return records >= chain.least;
            }
            records += 1;
        }
        true
    }

    fn fits(&self, header: Header, rule: Rule, before: Option<u32>) -> bool {
        let near = header.is_near(before);
        match rule {
            Rule::Strict => near && self.has_sound_lengths(header),
            Rule::NearTimes => {
                (near || header.has_no_time()) && header.captured <= self.largest && !header.is_zero()
            }
            Rule::Lengths => {
                (header.second >= EARLIEST_SECOND || header.has_no_time())
                    && header.fraction < self.fractions
                    && header.captured <= self.largest.min(header.original)
                    && !header.is_zero()
            }
        }
    }
}
