//! The chain of hops as data: connections seen once, lanes, links, clocks.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::capture::{CaptureId, CaptureTime, SessionTime};
use crate::tcp::FlowId;

/// A TCP connection of the session, counted once however many captures hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u32);

/// An exchange of the session, counted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExchangeId(pub u32);

/// A lane: a hop of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneId(pub u16);

/// A link: two neighbouring lanes that talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkId(pub u16);

/// Where a fact of the session lies: the capture, and the index in its list of exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeKey {
    /// The capture.
    pub capture: CaptureId,
    /// Index into [`crate::http::CaptureFacts::exchanges`].
    pub index: u32,
}

/// One capture's view of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The capture.
    pub capture: CaptureId,
    /// The connection in that capture.
    pub flow: FlowId,
}

/// A TCP connection with all its sightings.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The captures that hold it; the first is the best one (fewest missing bytes), and exchanges, events
    /// and verdicts come from it.
    pub sightings: Vec<Sighting>,
    /// The end that opened it.
    pub client: SocketAddr,
    /// The end that accepted it.
    pub server: SocketAddr,
    /// The link that it belongs to.
    pub link: LinkId,
    /// Its exchanges in order, as a range of [`Topology::exchanges`].
    pub exchanges: Range<u32>,
    /// Time of its first packet in the best sighting.
    pub first: SessionTime,
    /// Time of its last packet in the best sighting.
    pub last: SessionTime,
}

/// What a lane does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It only asks.
    Client,
    /// It is asked, and asks on.
    Proxy,
    /// It only answers.
    Server,
}

/// A hop: a process (or replicas of one) that accepts on some addresses and connects from others.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Its name, found from the traffic or given by the user.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// All its addresses, sorted.
    pub addresses: Vec<IpAddr>,
    /// Where it listens, sorted.
    pub serves: Vec<SocketAddr>,
    /// How far from the user: 0 for the lanes that nobody calls.
    pub depth: u16,
    /// What traffic and captures call it, whatever the user does.
    pub found: String,
    /// What its name rests on, in words; empty where that is not known any more.
    pub named_by: String,
    /// It was not captured itself: what others sent shows that it is there.
    pub inferred: bool,
    /// Users are here, as far as the traffic tells: it only asks, its requests show no proxy's headers, and it does
    /// not pass a hop by as health checks do.
    pub users: bool,
}

/// Two lanes that talk, with the connections between them.
#[derive(Clone, Debug)]
pub struct Link {
    /// The lane that connects.
    pub from: LaneId,
    /// The lane that accepts.
    pub to: LaneId,
    /// The addresses that it accepts on, sorted.
    pub servers: Vec<SocketAddr>,
    /// The connections, sorted.
    pub connections: Vec<ConnectionId>,
}

/// How a clock offset was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockMethod {
    /// The same TCP segments were seen in this capture and in one already aligned.
    SameSegment,
    /// Exchanges of one link must lie inside those of the link before it.
    Containment,
    /// The user gave it.
    Declared,
    /// The captures come from one host, or there is only one.
    SameHost,
    /// Nothing ties this clock to the others; offset 0 is a guess.
    None,
}

/// Where a capture's clock was set while it recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStep {
    /// The capture's time from which on the step counts.
    pub at: CaptureTime,
    /// Nanoseconds that are added to the offset from there on.
    pub by_ns: i64,
    /// The first packet after it: of a clock that was set back, some times mean two moments. 0 where not known.
    #[serde(default)]
    pub frame: u32,
    /// Nothing tells which of two clocks was set, or as many captures say that it was the others.
    #[serde(default)]
    pub is_relative: bool,
}

/// Steps kept for each clock.
pub const MOST_CLOCK_STEPS: usize = super::fit::MOST_STEPS;

/// The clock of one capture against session time (that of the reference capture).
///
/// The offset at a time `t` of the capture is `offset_ns + drift · (t − pivot)`, and what steps before `t` add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds to add to the capture's timestamps to get session time: computed and manual together.
    pub offset_ns: i64,
    /// The part of the offset that was computed, in nanoseconds.
    pub computed_ns: i64,
    /// The part of the offset that the user gave, in nanoseconds.
    pub manual_ns: i64,
    /// Half-width of what the evidence allows, in nanoseconds, while there is any; `None` when it is not known.
    pub band_ns: Option<i64>,
    /// From when to when the clock was compared; `None` where it holds at all times.
    pub compared_in: Option<[SessionTime; 2]>,
    /// By how much the band grows outside that time, in nanoseconds a second: the clock goes on to drift.
    pub outside_ppb: i64,
    /// How the offset was found.
    pub method: ClockMethod,
    /// The capture's time that `offset_ns` is for.
    pub pivot: CaptureTime,
    /// By how much the offset grows, in nanoseconds a second (parts in 10⁹); 0 where no drift was found.
    pub drift_ppb: i64,
    /// Steps noticed, in time order.
    pub steps: [Option<ClockStep>; MOST_CLOCK_STEPS],
    /// The capture that this clock was compared with.
    pub against: Option<CaptureId>,
    /// Packets or exchanges that were compared.
    pub compared: u32,
    /// Captures of one group have clocks that are tied to each other; 0 is the group of session time.
    pub group: u16,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            offset_ns: 0,
            computed_ns: 0,
            manual_ns: 0,
            band_ns: None,
            compared_in: None,
            outside_ppb: 0,
            method: ClockMethod::None,
            pivot: CaptureTime(0),
            drift_ppb: 0,
            steps: [None; MOST_CLOCK_STEPS],
            against: None,
            compared: 0,
            group: 0,
        }
    }
}

impl Clock {
    /// A time of this capture, that of this packet, in session time.
    #[inline]
    pub fn session(&self, at: CaptureTime, frame: u32) -> SessionTime {
        if self.drift_ppb == 0 && self.steps[0].is_none() {
            return SessionTime(at.0.saturating_add(self.offset_ns));
        }
        SessionTime(at.0.saturating_add(self.offset_at(at, frame)))
    }

    /// The offset at a time of this capture, that of this packet (0 for none), in nanoseconds.
    #[cold]
    pub fn offset_at(&self, at: CaptureTime, frame: u32) -> i64 {
        let since = i128::from(at.0) - i128::from(self.pivot.0);
        let drifted = (since * i128::from(self.drift_ppb) / 1_000_000_000) as i64;
        let is_after =
            |step: &ClockStep| if step.frame > 0 && frame > 0 { frame >= step.frame } else { at >= step.at };
        // Where steps are told by their time alone, the offset at the pivot holds those before the pivot already.
        let is_in_offset = |step: &ClockStep| step.frame == 0 && self.pivot >= step.at;
        let stepped = self.steps.iter().flatten().fold(0i64, |sum, step| {
            let times = i64::from(is_after(step)) - i64::from(is_in_offset(step));
            sum.saturating_add(step.by_ns.saturating_mul(times))
        });
        self.offset_ns.saturating_add(drifted).saturating_add(stepped)
    }

    /// When a step happened, in session time. A clock that was set forward shows nothing between two times, of which the
    /// step names the middle: the moment was at the first of them, by the offset of before.
    pub fn moment_of(&self, step: &ClockStep) -> SessionTime {
        let after = self.session(step.at, step.frame);
        SessionTime(after.0.saturating_sub(step.by_ns.min(0) / 2))
    }

    /// Half-width in nanoseconds of what the evidence allows at this time; `None` when it is not known.
    pub fn band_at(&self, at: SessionTime) -> Option<i64> {
        let outside = self
            .compared_in
            .map_or(0, |[from, to]| from.0.saturating_sub(at.0).max(at.0.saturating_sub(to.0)).max(0));
        let more = i128::from(outside) * i128::from(self.outside_ppb) / 1_000_000_000;
        Some(self.band_ns?.saturating_add(i64::try_from(more).unwrap_or(i64::MAX)))
    }

    /// The widest band of the times from `first` to `last`, in nanoseconds; `None` when it is not known.
    pub fn widest_band_ns(&self, first: CaptureTime, last: CaptureTime) -> Option<i64> {
        // It is narrowest somewhere between and grows to both ends.
        self.band_at(self.session(first, 1)).max(self.band_at(self.session(last, u32::MAX)))
    }

    /// Half-width in nanoseconds around `offset_ns` that holds the offset at every time from `first` to `last`,
    /// for who adds one number to all timestamps; `None` when it is not known.
    pub fn whole_band_ns(&self, first: CaptureTime, last: CaptureTime) -> Option<i64> {
        let mut offsets = vec![self.offset_at(first, 1), self.offset_at(last, u32::MAX)];
        for step in self.steps.iter().flatten() {
            let after = self.offset_at(step.at, step.frame);
            offsets.extend([after.saturating_sub(step.by_ns), after]);
        }
        let off = offsets.into_iter().map(|offset| offset.saturating_sub(self.offset_ns).saturating_abs());
        let most = off.max().unwrap_or(0);
        Some(self.widest_band_ns(first, last)?.saturating_add(most))
    }

    /// What the offset rests on, in words, such as `812 packets that both captures hold`.
    pub fn basis(&self) -> String {
        match self.method {
            // A snapshot whose captures are gone does not know how many.
            ClockMethod::SameSegment if self.compared == 0 => "packets that both captures hold".to_owned(),
            ClockMethod::Containment if self.compared == 0 => {
                "exchanges, each inside the one that caused it".to_owned()
            }
            ClockMethod::SameSegment => format!("{} packets that both captures hold", self.compared),
            ClockMethod::Containment => {
                format!("{} exchanges, each inside the one that caused it", self.compared.div_ceil(2))
            }
            ClockMethod::Declared => "given by the user".to_owned(),
            ClockMethod::SameHost if self.against.is_some() => {
                "taken at the same hop as another capture, says the user".to_owned()
            }
            ClockMethod::SameHost => "the clock that the others are compared with".to_owned(),
            ClockMethod::None => "nothing ties this clock to the others".to_owned(),
        }
    }

    /// Whether it drifts for sure: a drift that may as well be none is not told. The drift is known as well as the clock
    /// outside of the time in which it was compared, to [`outside_ppb`](Self::outside_ppb).
    pub fn drifts(&self) -> bool {
        self.drift_ppb.saturating_abs() > self.outside_ppb
    }

    /// Whether the offset is for sure not the same all the time.
    pub fn changes(&self) -> bool {
        self.drifts() || self.steps[0].is_some()
    }

    /// What the offset rests on, and how the clock went, in words.
    pub fn evidence(&self) -> String {
        let mut words = self.basis();
        if self.drifts() {
            let [by, about] = [-self.drift_ppb, self.outside_ppb].map(|ppb| ppb as f64 / 1e3);
            words.push_str(&format!("; it drifts by {by:.1} µs a second, give or take {about:.1}"));
        }
        for step in self.steps.iter().flatten() {
            let which = if step.is_relative { "it or the other" } else { "it" };
            let by = -step.by_ns as f64 / 1e6;
            words.push_str(&format!("; {which} was set by {by:.3} ms while it recorded"));
        }
        words
    }
}

/// A lane that the user names: `NAME=ADDR[:PORT],…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOverride {
    /// The lane's name.
    pub name: String,
    /// Addresses that are this lane's whatever the port.
    pub addresses: Vec<IpAddr>,
    /// Addresses with a port that this lane serves.
    pub serves: Vec<SocketAddr>,
}

/// What the user said about the chain; empty when nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Lanes from the user's side to the application's side.
    pub lanes: Vec<LaneOverride>,
    /// Names for lanes found from the traffic: the name found, the name to show.
    pub renamed: Vec<(String, String)>,
    /// Manual clock offsets in nanoseconds, added to the computed ones, by capture index.
    pub clock_ns: Vec<(u16, i64)>,
    /// Lanes that are one hop: the name of a lane, and that of the lane which takes it in.
    #[serde(default)]
    pub merged: Vec<(String, String)>,
    /// Lane names from the user's side to the application's; lanes not named stay where the traffic puts them.
    #[serde(default)]
    pub order: Vec<String>,
    /// The lane at which each capture was taken, by capture index and lane name.
    #[serde(default)]
    pub taken_at: Vec<(u16, String)>,
}

/// The chain of hops.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The clock of each capture.
    pub clocks: Vec<Clock>,
    /// All connections, each once, ordered by first packet, client and server.
    pub connections: Vec<Connection>,
    /// All exchanges, grouped by connection.
    pub exchanges: Vec<ExchangeKey>,
    /// The connection of each exchange.
    pub connection_of: Vec<ConnectionId>,
    /// Lanes from the user's side to the application's side.
    pub lanes: Vec<Lane>,
    /// Links ordered by lanes.
    pub links: Vec<Link>,
    /// First and last moment of the captures whose clocks were set, by capture.
    pub spans: Vec<Option<(SessionTime, SessionTime)>>,
    /// What has to be said of the captures as a set.
    pub remarks: Vec<super::Remark>,
    /// Of a snapshot without its captures: the links of which each of those held connections, also such as the snapshot
    /// leaves out. Empty where all connections are here.
    pub held_links: Vec<Vec<u16>>,
    /// Request headers that may name a request.
    pub(crate) id_headers: super::keys::IdHeaders,
    /// Which addresses are of one machine.
    pub(crate) hosts: super::hosts::Hosts,
}

impl Topology {
    /// Whether requests of one lane lead to the other, over however many hops.
    pub fn leads_to(&self, from: LaneId, to: LaneId) -> bool {
        let next = |lane| self.links.iter().filter(move |link| link.from == lane).map(|link| link.to);
        super::lanes::reaches(from, to, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_step_is_where_the_clock_was_set() {
        const HOUR: i64 = 3_600_000_000_000;
        let of = |at: i64, by_ns: i64| {
            let step = ClockStep { at: CaptureTime(at), by_ns, ..ClockStep::default() };
            let clock = Clock { offset_ns: 7, steps: [Some(step), None, None, None], ..Clock::default() };
            clock.moment_of(&step).0
        };
        // Set forward by an hour when it showed HOUR: the middle of what it never showed is half an hour later.
        assert_eq!(of(HOUR + HOUR / 2, -HOUR), HOUR + 7);
        // Set back by an hour when it showed two: from then on it shows one.
        assert_eq!(of(HOUR, HOUR), 2 * HOUR + 7);
    }
}
