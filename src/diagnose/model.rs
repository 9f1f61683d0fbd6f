//! Verdicts as data.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{HandOverFigures, TlsFigures};
use crate::capture::Frame;
use crate::logs::LogLine;
use crate::topology::{ConnectionId, ExchangeId, LaneId, LinkId};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A whole response came.
    Complete,
    /// A request on a reused connection that the server turned away without a response byte.
    Rejected,
    /// The server closed or reset without a response byte, and it is no rejected reuse.
    NoResponse,
    /// The response ended before its framing said so.
    Truncated,
    /// The client gave up before the response was whole.
    Aborted,
    /// The client gave up after a long silence.
    TimedOut,
    /// The capture does not tell (loss, start or end of the capture).
    Unknown,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Complete,
        Self::Rejected,
        Self::NoResponse,
        Self::Truncated,
        Self::Aborted,
        Self::TimedOut,
        Self::Unknown,
    ];

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Rejected => "rejected",
            Self::NoResponse => "no-response",
            Self::Truncated => "truncated",
            Self::Aborted => "aborted",
            Self::TimedOut => "timed-out",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the exchange failed for sure.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Rejected | Self::NoResponse | Self::Truncated | Self::Aborted | Self::TimedOut)
    }
}

/// The wire form of a rejected request on a reused connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectForm {
    /// R1: the client's kernel had acknowledged the server's FIN when the request went out.
    StalePick,
    /// R2: FIN and request crossed on the wire.
    FinInFlight,
    /// R3: no FIN; the server reset with the request unread.
    QueuedReset,
    /// R4: the server acknowledged the request, closed, and sent nothing.
    Swallowed,
    /// R5: reset after a long idle time, no FIN ever.
    IdleReset,
    /// R6: the request was retransmitted into silence.
    BlackHole,
    /// R7: a reset came before the request was fully sent.
    WriteToDead,
}

impl RejectForm {
    /// All forms in the catalogue's order.
    pub const ALL: [Self; 7] = [
        Self::StalePick,
        Self::FinInFlight,
        Self::QueuedReset,
        Self::Swallowed,
        Self::IdleReset,
        Self::BlackHole,
        Self::WriteToDead,
    ];

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::StalePick => "stale-pick",
            Self::FinInFlight => "fin-in-flight",
            Self::QueuedReset => "queued-reset",
            Self::Swallowed => "swallowed",
            Self::IdleReset => "idle-reset",
            Self::BlackHole => "black-hole",
            Self::WriteToDead => "write-to-dead",
        }
    }

    /// The rule of the fault catalogue.
    pub fn rule(self) -> &'static str {
        match self {
            Self::StalePick => "R1",
            Self::FinInFlight => "R2",
            Self::QueuedReset => "R3",
            Self::Swallowed => "R4",
            Self::IdleReset => "R5",
            Self::BlackHole => "R6",
            Self::WriteToDead => "R7",
        }
    }

    /// What nginx's error log says of it.
    pub fn logged(self) -> &'static str {
        match self {
            Self::StalePick | Self::FinInFlight | Self::Swallowed => {
                "upstream prematurely closed connection while reading response header from upstream"
            }
            Self::QueuedReset | Self::IdleReset => {
                "recv() failed (104: Connection reset by peer) while reading response header from upstream"
            }
            Self::BlackHole => {
                "upstream timed out (110: Connection timed out) while reading response header from upstream"
            }
            Self::WriteToDead => "writev() failed (32: Broken pipe) while sending request to upstream",
        }
    }
}

/// A rejected request on a reused connection, with the packets that prove it.
#[derive(Clone, Copy, Debug)]
pub struct Rejection {
    /// The rejected exchange.
    pub exchange: ExchangeId,
    /// The form.
    pub form: RejectForm,
    /// The server's FIN, where there is one.
    pub fin: Option<Frame>,
    /// The server's RST, where there is one.
    pub rst: Option<Frame>,
    /// From the end of the response before it to the request, in nanoseconds.
    pub idle_ns: i64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know; says what was not judged.
    Note,
    /// Worth a look.
    Warning,
    /// Requests failed.
    Error,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// One of several explanations.
    Possible,
    /// The best explanation.
    Likely,
    /// The packets prove it.
    Certain,
}

/// A change that mends a fault, for one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// The product to change.
    pub product: String,
    /// The change, as it is typed there.
    pub change: String,
    /// What to know before making it; may be empty.
    #[serde(default)]
    pub note: String,
}

/// A packet that proves a part of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The packet.
    pub frame: Frame,
    /// The connection's client end.
    pub client: SocketAddr,
    /// The connection's server end.
    pub server: SocketAddr,
    /// What the packet shows.
    pub note: String,
    /// The exchange it belongs to, where there is one.
    pub exchange: Option<ExchangeId>,
    /// The connection it belongs to, where there is one.
    pub connection: Option<ConnectionId>,
}

/// A fault, or something worth knowing, with its evidence and its fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable kebab-case name.
    pub kind: String,
    /// Rule ids of the fault catalogue (`R1`); several joined by `, `.
    pub rule: String,
    /// What makes it happen, kebab-case; empty where the kind says it all.
    pub cause: String,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Certainty,
    /// The link where it began.
    pub link: Option<LinkId>,
    /// How often.
    pub count: u64,
    /// One sentence: what broke, where, how often.
    pub summary: String,
    /// The figures that prove it and what they mean.
    pub explanation: String,
    /// Changes that mend it, best first.
    pub fixes: Vec<Fix>,
    /// The line an operator would find in the proxy's error log; may be empty.
    pub log_line: String,
    /// When this finding should not be believed; may be empty.
    pub doubt: String,
    /// The packets that prove it: complete for the first few cases.
    pub evidence: Vec<Proof>,
    /// All exchanges that it is about.
    pub exchanges: Vec<ExchangeId>,
    /// Connections that it is about and that carry no exchange of it.
    pub connections: Vec<ConnectionId>,
}

/// Counts by method name.
pub type ByMethod = BTreeMap<String, u64>;

/// What one lane retried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// The lane that made the attempts.
    pub lane: Option<LaneId>,
    /// Requests of which it made two attempts or more.
    pub retried: ByMethod,
    /// Attempts made for those requests, the first included.
    pub attempts: u64,
    /// Of those, requests whose user-side answer was no failure.
    pub saved: ByMethod,
    /// Of those, requests that failed all the same.
    pub failed: ByMethod,
    /// Failed attempts that are in none of these counts: nothing tells whose they were, nor whether they were made up for.
    pub unsure: u64,
    /// What the lane's own access log says, where it tells of as many requests and says otherwise.
    pub logged: Option<LoggedRetries>,
}

/// What an access log says of the retries of the lane that wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedRetries {
    /// The log's name.
    pub log: String,
    /// Requests with two attempts or more.
    pub retried: ByMethod,
    /// Of those, answered with a status below 500.
    pub saved: ByMethod,
}

/// What the client of the first link got, and where it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Failures the user saw: method → status (or outcome name) → count.
    pub visible: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests that failed below and were saved by a retry, by method.
    pub masked: ByMethod,
    /// Failed attempts of which nothing tells whether a retry hid them; they are not among the masked ones.
    pub unsure: u64,
    /// Failed attempts by the deepest link where each began.
    pub origin: Vec<(LinkId, u64)>,
}

impl Failures {
    /// How many requests failed because their client left before they were answered; `None` where any failed otherwise.
    pub fn only_left(&self) -> Option<u64> {
        let all = || self.visible.values().flatten();
        let left = |(name, _): &(&String, &u64)| *name == Outcome::Aborted.name();
        all().all(|one| left(&one)).then(|| all().map(|(_, count)| count).sum())
    }
}

/// The figures of one link: what the report prints, and what the window's board shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkFigures {
    /// Connections, each counted once.
    pub connections: u64,
    /// Connections that carried two requests or more.
    pub reused_connections: u64,
    /// Connections that the server closed after a single answer.
    pub closed_after_one: u64,
    /// Connections whose SYN was answered by a RST.
    pub refused_connections: u64,
    /// Connections by protocol name.
    pub protocols: BTreeMap<String, u64>,
    /// Requests seen.
    pub requests: u64,
    /// Requests whose cause is ambiguous: another request of the link before fits as well.
    pub ambiguous: u64,
    /// Those of them that failed and may have been retried: they are not among the retried ones.
    pub unsure: u64,
    /// Final responses seen.
    pub responses: u64,
    /// Those of them that no captured request asked for: they stand among the statuses, and not among the requests.
    pub unasked: u64,
    /// Method → status (`none` without a response) → count.
    pub status: BTreeMap<String, BTreeMap<String, u64>>,
    /// Requests that were not the first on their connection.
    pub reused_requests: u64,
    /// Rejected requests on reused connections, by method.
    pub rejected_by_method: ByMethod,
    /// The same by form name.
    pub rejected_by_form: BTreeMap<String, u64>,
    /// Median, 95th and 99th percentile and maximum of the latency, in nanoseconds; `None` without a response.
    pub latency_ns: Option<[i64; 4]>,
    /// The same of the handshakes, from SYN to the client's ACK: the round trip of the path. Those of which the SYN was
    /// sent again are left out.
    pub handshake_ns: Option<[i64; 4]>,
    /// Requests of which the link's client lane made two attempts or more on this link, by method.
    pub retried: ByMethod,
    /// Ordinal on the connection (index 0: first requests, 1: second, 2: third and later) → (requests, answered).
    pub ordinals: [(u64, u64); 3],
    /// How long the connection had been idle, by [`IDLE_BOUNDS_NS`] → (requests, answered); later requests only.
    pub idle_gaps: [(u64, u64); 8],
    /// By the address that accepted the connection.
    pub servers: BTreeMap<String, ServerFigures>,
    /// What was captured of the link's time; `None` where nothing tells that it is only a part.
    pub coverage: Option<Coverage>,
    /// Connections on which the client sent something, and of which the snap length left no request to read.
    pub cut_off: u64,
    /// What is seen of its connections with TLS, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<TlsFigures>>,
    /// What its connections came to carry in place of HTTP/1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hand_overs: Vec<HandOverFigures>,
}

/// The part of a link's time that was captured, where neighbouring links were captured for longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// First and last packet of the captures that hold it, in session time; captures that follow each other are one.
    pub spans: Vec<(i64, i64)>,
    /// Requests of a neighbouring link that came at other times.
    pub outside: u64,
    /// That link.
    pub beside: LinkId,
}

/// Upper bounds of the classes of [`LinkFigures::idle_gaps`], in nanoseconds; the last class has none. They lie around
/// the idle timeouts that servers and proxies have by default (5 s, 15 s, 60 s).
pub const IDLE_BOUNDS_NS: [i64; 7] =
    [1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 5_000_000_000, 15_000_000_000, 60_000_000_000];

/// The figures of one address of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerFigures {
    /// Connections that it accepted, or refused.
    pub connections: u64,
    /// Requests seen.
    pub requests: u64,
    /// Of those, failed: no whole answer, or a status of 500 and above.
    pub failed: u64,
    /// Of those, rejected on a reused connection.
    pub rejected: u64,
}

impl LinkFigures {
    /// Whether no request of the link can be read, though it carries some: all are encrypted, or cut off.
    pub fn is_unread(&self) -> bool {
        self.is_encrypted() || self.is_cut_off()
    }

    /// Whether all that the link carries is encrypted, so that no requests can be read.
    fn is_encrypted(&self) -> bool {
        self.requests == 0 && self.tls.as_ref().is_some_and(|tls| tls.failed < tls.connections)
    }

    /// Whether the snap length left no request to read.
    fn is_cut_off(&self) -> bool {
        self.requests == 0 && self.cut_off > 0
    }

    /// How many requests were seen, or why none can be read.
    pub fn requests_words(&self) -> String {
        if self.is_encrypted() {
            "encrypted".to_owned()
        } else if self.is_cut_off() {
            "cut off".to_owned()
        } else {
            super::words::grouped(self.requests)
        }
    }

    /// How many responses have no request, in words; `None` where all have theirs.
    pub fn unasked_words(&self) -> Option<String> {
        let words = || {
            format!("{} that no captured request asked for", super::words::counted(self.unasked, "response"))
        };
        (self.unasked > 0).then(words)
    }

    /// How many responses had this status, over all methods.
    pub fn with_status(&self, status: &str) -> u64 {
        self.status.values().filter_map(|by_status| by_status.get(status)).sum()
    }
}

/// "Where does it start?": the figures of all links, and the boundary between those that show the failure
/// and those that do not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Board {
    /// By link, in the order of the topology's links.
    pub links: Vec<LinkFigures>,
    /// The failure status that users saw most (`502`); `None` when they saw none.
    pub status: Option<String>,
    /// The last link, from the user's side, that shows the status while the next one shows it no more.
    pub boundary: Option<LinkId>,
}

impl Board {
    /// Requests on all links; 0 where the captures show none that can be read.
    pub fn requests(&self) -> u64 {
        self.links.iter().map(|link| link.requests).sum()
    }
}

/// All verdicts.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// The outcome of each exchange.
    pub outcomes: Vec<Outcome>,
    /// The deepest exchange where each failed exchange's failure began: itself, or one below it.
    pub origins: Vec<Option<ExchangeId>>,
    /// Failures that a finding about connections or a whole server explains, and the link where they began: they
    /// are no faults of their own.
    pub explained: BTreeMap<ExchangeId, LinkId>,
    /// Rejected requests on reused connections, ordered by exchange.
    pub rejections: Vec<Rejection>,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// By finding: the lines of the servers' logs that it explains; empty without logs.
    pub log_lines: Vec<Vec<LogLine>>,
    /// Requests that a lane surely made two attempts of or more, in order.
    pub retried: Vec<ExchangeId>,
    /// For each lane that retried.
    pub retries: Vec<Retries>,
    /// What the user got.
    pub failures: Failures,
    /// The figures of all links.
    pub board: Board,
}
