//! What a connection carries below its exchanges: its first bytes, a PROXY header, what TLS leaves to see.

use std::net::SocketAddr;

use crate::tcp::Side;

use super::TlsFacts;

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

/// What one capture saw of a connection besides exchanges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireFacts {
    /// What each side's first bytes were, indexed by [`Side`].
    pub first_bytes: [FirstBytes; 2],
    /// Source and destination that a PROXY header in front of the stream gave: the connection of which this one
    /// carries the bytes, as the sender of the header accepted it.
    pub proxied: Option<Box<(SocketAddr, SocketAddr)>>,
    /// What TLS leaves to see, where the connection or a tunnel in it is encrypted.
    pub tls: Option<Box<TlsFacts>>,
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
        self.proxied.as_deref().copied()
    }
}
