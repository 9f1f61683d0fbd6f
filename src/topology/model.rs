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

/// The clock of one capture against session time (that of the reference capture).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds to add to the capture's timestamps to get session time.
    pub offset_ns: i64,
    /// Half-width of what the evidence allows, in nanoseconds; `None` when it is not known.
    pub band_ns: Option<i64>,
    /// How the offset was found.
    pub method: ClockMethod,
}

impl Clock {
    /// A time of this capture in session time.
    #[inline]
    pub fn session(&self, at: CaptureTime) -> SessionTime {
        SessionTime(at.0.saturating_add(self.offset_ns))
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
}
