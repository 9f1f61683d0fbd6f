//! What a message is: its method, version, framing, and how much of it was seen.

use crate::capture::CaptureTime;

/// What a connection carries, by its content and not by its port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.0 requests only.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// A TLS handshake opens it.
    Tls,
    /// An HTTP/2 preface opens it, or HTTP/1 handed over to it (`Upgrade: h2c`).
    Http2,
    /// HTTP/0.9: a line `GET target`, and raw bytes for an answer.
    Http09,
    /// HTTP/1 handed over to WebSocket (RFC 6455).
    WebSocket,
    /// HTTP/1 handed over to bytes of any kind: CONNECT, or an upgrade to another protocol.
    Tunnel,
    /// The uwsgi binary protocol.
    Uwsgi,
    /// FastCGI.
    FastCgi,
    /// No payload was seen.
    Empty,
    /// Something else.
    #[default]
    Unknown,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Http10,
        Self::Http11,
        Self::Tls,
        Self::Http2,
        Self::Http09,
        Self::WebSocket,
        Self::Tunnel,
        Self::Uwsgi,
        Self::FastCgi,
        Self::Empty,
        Self::Unknown,
    ];

    /// The one of this name; one that this program does not know is unknown.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name).unwrap_or_default()
    }

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Tls => "tls",
            Self::Http2 => "http/2",
            Self::Http09 => "http/0.9",
            Self::WebSocket => "websocket",
            Self::Tunnel => "tunnel",
            Self::Uwsgi => "uwsgi",
            Self::FastCgi => "fastcgi",
            Self::Empty => "empty",
            Self::Unknown => "unknown",
        }
    }
}

/// An interned name of one capture (a header name, a method, a host).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u16);

/// A text in the capture's arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Byte position in the arena.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A request method (RFC 9110, section 9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants are the methods' own names")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token, by its name in the capture's name table.
    Other(NameId),
    /// The capture holds a response whose request it does not hold.
    #[default]
    Missing,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/0.9: no version on the wire.
    Http09,
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

impl Version {
    /// `1.0` or `1.1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http09 => "0.9",
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
        }
    }
}

/// How the end of a message's body is found (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Until the sender closes.
    UntilClose,
    /// The connection leaves HTTP here (CONNECT, 101).
    Tunnel,
}

/// How much of a message the capture holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageState {
    /// No byte of it was seen.
    #[default]
    Absent,
    /// It began and did not end by its framing.
    Partial,
    /// It ended by its framing. Bytes inside its body may be missing ([`ExchangeFlags::BODY_HOLE`]).
    Complete,
    /// The capture misses bytes of it, so its end is a guess.
    Lossy,
}

/// A request or a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message {
    /// Time of the packet with its first byte.
    pub start: CaptureTime,
    /// Time of the packet with its last byte seen.
    pub end: CaptureTime,
    /// Number of the packet with its first byte; 0 when absent.
    pub first_frame: u32,
    /// Number of the packet with its last byte; 0 when absent.
    pub last_frame: u32,
    /// Absolute TCP sequence number of its first byte.
    pub seq: u32,
    /// Absolute acknowledgement number of the packet with its first byte.
    pub ack: u32,
    /// Bytes of the head (start line, headers, empty line).
    pub head_bytes: u32,
    /// Number of header lines in the head.
    pub header_lines: u16,
    /// CRC-32 of the head's bytes as sent: equal heads have equal ones. For requests only; 0 for responses.
    pub head_crc: u32,
    /// CRC-32 of the body without chunk framing. For requests only; 0 for responses.
    pub body_crc: u32,
    /// Position of its extents in the capture's extent arena (see [`CaptureFacts::extents`]).
    pub extents: u32,
    /// Number of its extents.
    pub extent_count: u32,
    /// How much of it was seen.
    pub state: MessageState,
    /// Its version.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
    /// Bytes seen on the wire, head and chunk framing included.
    pub wire_bytes: u64,
    /// Bytes of the body, without chunk framing; those that the capture misses inside it count.
    pub body_bytes: u64,
}

impl Message {
    /// Whether any byte of it was seen.
    #[inline]
    pub fn is_present(&self) -> bool {
        self.state != MessageState::Absent
    }

    /// Whether a packet of it was seen, so that it has times: one that lay in a hole whole is present without.
    #[inline]
    pub fn is_seen(&self) -> bool {
        self.first_frame > 0
    }

    /// Whether it was seen whole.
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.state == MessageState::Complete
    }

    /// Absolute TCP sequence number after its last byte seen.
    #[inline]
    pub fn end_seq(&self) -> u32 {
        self.seq.wrapping_add(self.wire_bytes as u32)
    }
}
