//! The session file as it lies on disk: structs of its own, so that the program's facts can change freely.
//!
//! Times are nanoseconds since the Unix epoch, by the capture's own clock unless said otherwise. Exchanges and
//! connections are named by their place in this file: connections count from 0 in the order of the list,
//! exchanges from 0 through all connections. Fields may be added with a default; anything else raises the
//! schema's number.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::wire::FileWire;
use crate::capture::ProblemKind;
use crate::diagnose::{Board, Certainty, Fix, Outcome, RejectForm, Severity};
use crate::http::{Framing, MessageState, Version};
use crate::logs::LogLine;
use crate::tcp::{Closing, EventKind, Opening, Side};
use crate::topology::{ClockMethod, ClockStep, Overrides, Remark, Role};

/// What the schema field of every version begins with.
pub(super) const SCHEMA_PREFIX: &str = "hopscope/session/";
/// The version that this program writes, and the newest that it reads.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Only the schema, read before all else.
#[derive(Deserialize)]
pub(super) struct SchemaOnly {
    pub schema: String,
}

/// A whole session file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct File {
    pub schema: String,
    /// The program that wrote it.
    #[serde(default)]
    pub program: String,
    pub captures: Vec<FileCapture>,
    /// Paths of the servers' logs that were given beside them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    /// By log: the `log_format` that was given for it, or nothing. Absent when none was given for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_formats: Vec<String>,
    #[serde(default)]
    pub totals: Totals,
    #[serde(default)]
    pub overrides: Overrides,
    #[serde(default)]
    pub annotations: Vec<FileNote>,
    /// Left and right edge in session time.
    #[serde(default)]
    pub view: Option<(i64, i64)>,
    #[serde(default)]
    pub selection: FileSelection,
    #[serde(default)]
    pub filter: String,
    #[serde(default)]
    pub lanes: Vec<FileLane>,
    #[serde(default)]
    pub links: Vec<FileLink>,
    #[serde(default)]
    pub findings: Vec<FileFinding>,
    #[serde(default)]
    pub retries: Vec<FileRetries>,
    #[serde(default)]
    pub failures: FileFailures,
    #[serde(default)]
    pub board: Board,
    /// What has to be said of the captures as a set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
    #[serde(default)]
    pub connections: Vec<FileConnection>,
}

/// How much the captures held in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Totals {
    pub connections: u64,
    pub exchanges: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FileCapture {
    pub path: String,
    /// Bytes of the file.
    pub size: u64,
    /// Lower-case hex; empty when it was not known.
    #[serde(default)]
    pub sha256: String,
    /// The files behind the first one, where one recording was written to several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<FilePart>,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub link_types: Vec<String>,
    #[serde(default)]
    pub packets: u64,
    #[serde(default)]
    pub first: Option<i64>,
    #[serde(default)]
    pub last: Option<i64>,
    #[serde(default)]
    pub clock: Option<FileClock>,
    #[serde(default)]
    pub problems: Vec<FileProblem>,
    /// The links of which it holds connections, also such as the file leaves out.
    #[serde(default)]
    pub links: Vec<u16>,
}

/// A further file of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePart {
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileClock {
    pub offset_ns: i64,
    /// The user's part of the offset.
    #[serde(default)]
    pub manual_ns: i64,
    #[serde(default)]
    pub band_ns: Option<i64>,
    /// From when to when the band holds, in session time, and by how much it grows in a second outside.
    #[serde(default)]
    pub compared_in: Option<[i64; 2]>,
    #[serde(default)]
    pub outside_ppb: i64,
    pub method: ClockMethod,
    /// The capture's time that the offset is for.
    #[serde(default)]
    pub pivot: i64,
    #[serde(default)]
    pub drift_ppb: i64,
    #[serde(default)]
    pub steps: Vec<ClockStep>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileProblem {
    pub kind: ProblemKind,
    pub detail: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileNote {
    pub target: FileTarget,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FileTarget {
    Exchange(u32),
    Connection(u32),
    /// Session time.
    Moment(i64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileSelection {
    pub finding: Option<usize>,
    pub connection: Option<u32>,
    pub exchange: Option<u32>,
    pub step: Option<usize>,
    /// Session time.
    pub cursor: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileLane {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    #[serde(default)]
    pub serves: Vec<SocketAddr>,
    #[serde(default)]
    pub depth: u16,
    #[serde(default)]
    pub found: String,
    #[serde(default)]
    pub named_by: String,
    #[serde(default)]
    pub inferred: bool,
    #[serde(default)]
    pub users: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileLink {
    pub from: u16,
    pub to: u16,
    #[serde(default)]
    pub servers: Vec<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileFinding {
    pub kind: String,
    #[serde(default)]
    pub rule: String,
    #[serde(default)]
    pub cause: String,
    pub severity: Severity,
    pub confidence: Certainty,
    #[serde(default)]
    pub link: Option<u16>,
    pub count: u64,
    pub summary: String,
    #[serde(default)]
    pub explanation: String,
    #[serde(default)]
    pub fixes: Vec<Fix>,
    #[serde(default)]
    pub log_line: String,
    #[serde(default)]
    pub doubt: String,
    #[serde(default)]
    pub evidence: Vec<FileProof>,
    #[serde(default)]
    pub exchanges: Vec<u32>,
    #[serde(default)]
    pub connections: Vec<u32>,
    /// The lines of the servers' logs that it explains.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_lines: Vec<LogLine>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileProof {
    pub capture: u16,
    pub frame: u32,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub note: String,
    #[serde(default)]
    pub exchange: Option<u32>,
    #[serde(default)]
    pub connection: Option<u32>,
}

/// Counts by name.
type Counts = BTreeMap<String, u64>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileRetries {
    pub lane: Option<u16>,
    pub retried: BTreeMap<String, u64>,
    pub attempts: u64,
    pub saved: BTreeMap<String, u64>,
    pub failed: BTreeMap<String, u64>,
    pub unsure: u64,
    /// The log's name, what it says was retried, and saved.
    pub logged: Option<(String, Counts, Counts)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileFailures {
    pub visible: BTreeMap<String, BTreeMap<String, u64>>,
    pub masked: BTreeMap<String, u64>,
    pub unsure: u64,
    /// Link and count.
    pub origin: Vec<(u16, u64)>,
}

/// A connection as its best sighting shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileConnection {
    pub capture: u16,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub link: u16,
    /// As reports name it; a name this program does not know reads as `unknown`.
    pub protocol: String,
    #[serde(with = "OpeningName")]
    pub opening: Opening,
    #[serde(with = "ClosingName")]
    pub closing: Closing,
    /// Time and frame of the first packet.
    pub first: (i64, u32),
    /// Time and frame of the last packet.
    pub last: (i64, u32),
    #[serde(default)]
    pub from_client: FileDirection,
    #[serde(default)]
    pub from_server: FileDirection,
    #[serde(default)]
    pub events: Vec<FileEvent>,
    #[serde(default)]
    pub exchanges: Vec<FileExchange>,
    /// What it carries beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<FileWire>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileDirection {
    pub isn: Option<u32>,
    pub packets: u32,
    pub bytes: u64,
    pub retransmitted: u32,
    pub out_of_order: u32,
    pub missing_bytes: u64,
    pub uncaptured_bytes: u64,
    pub unarrived_bytes: u64,
    pub cut_bytes: u64,
    pub segments: u32,
    pub copies: u32,
    pub largest_acked: u32,
    pub largest_unacked: u32,
    pub window_scale: Option<u8>,
    pub acked: Option<u32>,
    pub end_seq: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileEvent {
    pub at: i64,
    pub frame: u32,
    #[serde(with = "EventName")]
    pub kind: EventKind,
    #[serde(with = "SideName")]
    pub from: Side,
    #[serde(default)]
    pub seq: u32,
    /// Absent when the packet's acknowledgement number does not count.
    #[serde(default)]
    pub ack: Option<u32>,
    #[serde(default)]
    pub len: u32,
    #[serde(default)]
    pub quiet_us: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileExchange {
    pub ordinal: u32,
    /// `?` when the request was not captured.
    pub method: String,
    pub target: String,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub status: Option<u16>,
    pub outcome: Outcome,
    #[serde(default)]
    pub flags: u32,
    #[serde(default)]
    pub request: Option<FileMessage>,
    #[serde(default)]
    pub response: Option<FileMessage>,
    #[serde(default)]
    pub parent: Option<FileParent>,
    /// The exchange where the failure began.
    #[serde(default)]
    pub origin: Option<u32>,
    #[serde(default)]
    pub rejection: Option<FileRejection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileMessage {
    pub start: i64,
    pub end: i64,
    /// First and last packet.
    pub frames: (u32, u32),
    pub seq: u32,
    #[serde(default)]
    pub ack: u32,
    #[serde(default)]
    pub head_bytes: u32,
    #[serde(default)]
    pub head_crc: u32,
    #[serde(default)]
    pub body_crc: u32,
    #[serde(with = "StateName")]
    pub state: MessageState,
    #[serde(with = "VersionName")]
    pub version: Version,
    #[serde(with = "FramingName")]
    pub framing: Framing,
    #[serde(default)]
    pub wire_bytes: u64,
    #[serde(default)]
    pub body_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileParent {
    pub exchange: u32,
    /// `ambiguous`, `likely` or `certain`.
    pub confidence: String,
    /// As reports name it.
    #[serde(default)]
    pub evidence: Vec<String>,
    pub attempt: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRejection {
    pub form: RejectForm,
    /// Frames in the connection's capture.
    #[serde(default)]
    pub fin: Option<u32>,
    #[serde(default)]
    pub rst: Option<u32>,
    #[serde(default)]
    pub idle_ns: i64,
}

// The stable names of the facts' enums. `remote` makes the compiler say when a variant is added there.

#[derive(Serialize, Deserialize)]
#[serde(remote = "Opening")]
enum OpeningName {
    Handshake,
    Unanswered,
    Refused,
    MidStream,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Closing")]
enum ClosingName {
    Open,
    Fin,
    Reset,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "EventKind")]
enum EventName {
    Syn,
    SynAck,
    Established,
    Fin,
    FinAcked,
    Rst,
    DataAfterFin,
    Hole,
    ZeroWindow,
    WindowOpened,
    Retransmission,
    KeepAlive,
    WindowProbe,
    Unreachable,
    StrayRst,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Side")]
pub(super) enum SideName {
    Client,
    Server,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "MessageState")]
enum StateName {
    Absent,
    Partial,
    Complete,
    Lossy,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Version")]
enum VersionName {
    Http09,
    Http10,
    Http11,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Framing")]
enum FramingName {
    None,
    Length(u64),
    Chunked,
    UntilClose,
    Tunnel,
}
