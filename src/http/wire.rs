//! What a connection carries beside its exchanges: its first bytes, a PROXY header, what it became, what TLS leaves to
//! see, and what an application said apart from its answers.

use std::net::SocketAddr;

use crate::capture::CaptureTime;
use crate::tcp::Side;

use super::{Protocol, TlsFacts};

/// What the first bytes are that a side of a connection sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FirstBytes {
    /// The side sent no payload.
    #[default]
    None,
    /// The capture does not hold them: it begins in the middle of the connection, or misses them.
    Missing,
    /// An HTTP/0.9, 1.0 or 1.1 request line.
    HttpRequest,
    /// An HTTP/1 status line.
    HttpResponse,
    /// A TLS handshake record (RFC 8446, section 5.1).
    TlsHandshake,
    /// Records of encrypted data (RFC 8446, section 5.2): the connection is older than the capture.
    TlsData,
    /// A TLS alert record (RFC 8446, section 6).
    TlsAlert,
    /// The HTTP/2 connection preface (RFC 9113, section 3.4).
    Http2Preface,
    /// An HTTP/2 frame as servers open with: SETTINGS or GOAWAY (RFC 9113, section 6).
    Http2Frames,
    /// A PROXY protocol header of version 1 (text).
    ProxyV1,
    /// A PROXY protocol header of version 2 (binary).
    ProxyV2,
    /// A uwsgi packet.
    Uwsgi,
    /// A FastCGI record.
    FastCgi,
    /// Anything else.
    Other,
}

impl FirstBytes {
    /// What it is, in words for a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Missing => "bytes that the capture misses",
            Self::HttpRequest => "an HTTP request",
            Self::HttpResponse => "an HTTP response",
            Self::TlsHandshake => "a TLS handshake",
            Self::TlsData => "encrypted data",
            Self::TlsAlert => "a TLS alert",
            Self::Http2Preface => "an HTTP/2 preface",
            Self::Http2Frames => "HTTP/2 frames",
            Self::ProxyV1 => "a PROXY header (version 1)",
            Self::ProxyV2 => "a PROXY header (version 2)",
            Self::Uwsgi => "a uwsgi packet",
            Self::FastCgi => "a FastCGI record",
            Self::Other => "bytes of another protocol",
        }
    }
}

/// A PROXY header in front of a stream: the connection of which this one carries the bytes, as its sender accepted it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// 1 (text) or 2 (binary).
    pub version: u8,
    /// When its last byte came.
    pub at: CaptureTime,
    /// In which packet.
    pub frame: u32,
    /// The sender speaks for itself (`LOCAL`), such as in a health check, or does not know (`UNKNOWN`).
    pub own: bool,
    /// Source and destination, where it names TCP addresses.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// What version 2 adds, by names such as `authority` and `alpn`, in the header's order.
    pub extras: Box<[(&'static str, Box<str>)]>,
    /// Headers that follow this one: a proxy that puts its own before what it passes on leaves them to the server.
    pub further: Vec<ProxyHeader>,
}

/// How a connection came to carry another protocol than HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HandOverWay {
    /// The client asked with `Upgrade`, and the server answered 101 (RFC 9110, section 7.8).
    Upgrade,
    /// The client asked with CONNECT, and the server answered 2xx (RFC 9110, section 9.3.6).
    Connect,
    /// The client began in HTTP/2 without asking (RFC 9113, section 3.3).
    PriorKnowledge,
    /// What came before is not in the capture: it may have been asked for, or not.
    Unseen,
}

impl HandOverWay {
    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Connect => "connect",
            Self::PriorKnowledge => "prior-knowledge",
            Self::Unseen => "unseen",
        }
    }
}

/// HTTP/1 ends here: what the connection carries from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// How it came about.
    pub way: HandOverWay,
    /// What the connection became.
    pub protocol: Protocol,
    /// The protocol as the answer names it (`websocket`), or the host and port of CONNECT.
    pub to: Box<str>,
    /// The exchange that asked for it, by its place on the connection; 0 where none did.
    pub ordinal: u32,
    /// When it was agreed: the answer's last byte, or the client's first.
    pub at: CaptureTime,
    /// In which packet.
    pub frame: u32,
    /// Bytes that each side sent from there on.
    pub bytes: [u64; 2],
}

/// What an application wrote apart from its answer: FastCGI's STDERR stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidAside {
    /// The exchange, by its place on the connection.
    pub ordinal: u32,
    /// When its first byte came.
    pub at: CaptureTime,
    /// In which packet.
    pub frame: u32,
    /// The text, or as much of it as is kept; control characters as they came.
    pub text: Box<str>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What one capture saw of a connection besides exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireFacts {
    /// What each side's first bytes were, indexed by [`Side`].
    pub first_bytes: [FirstBytes; 2],
    /// The PROXY header in front of the client's stream.
    pub proxy: Option<Box<ProxyHeader>>,
    /// What the connection became.
    pub hand_over: Option<Box<HandOver>>,
    /// What TLS leaves to see, where the connection or a tunnel in it is encrypted.
    pub tls: Option<Box<TlsFacts>>,
    /// What the application said apart from its answers, in order.
    pub aside: Box<[SaidAside]>,
}

impl WireFacts {
    /// What the first bytes of a side were.
    #[inline]
    pub fn first(&self, side: Side) -> FirstBytes {
        self.first_bytes[side as usize]
    }

    /// Source and destination by the PROXY header, where one with addresses came.
    #[inline]
    pub fn proxied(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.proxy.as_ref()?.addresses
    }
}
