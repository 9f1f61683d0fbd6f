//! Facts of an exchange that are yes or no: what was seen of it, not what it means.

/// Facts of an exchange that are yes or no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeFlags(pub u32);

impl ExchangeFlags {
    /// The request said `Connection: close`, or was HTTP/1.0 without `keep-alive`.
    pub const CLIENT_CLOSES: u32 = 1;
    /// The response said `Connection: close`, or was HTTP/1.0 without `keep-alive`.
    pub const SERVER_CLOSES: u32 = 1 << 1;
    /// The request began before the response before it had ended.
    pub const PIPELINED: u32 = 1 << 2;
    /// The request carried `Expect: 100-continue`.
    pub const EXPECTS_CONTINUE: u32 = 1 << 3;
    /// At least one interim (1xx) response came before the final one.
    pub const INTERIM: u32 = 1 << 4;
    /// The connection leaves HTTP with this exchange (CONNECT answered 2xx, 101).
    pub const TUNNEL: u32 = 1 << 5;
    /// A hole in the capture touches this exchange or its neighbours: its pairing may be off.
    pub const NEAR_HOLE: u32 = 1 << 6;
    /// Both `Content-Length` and `Transfer-Encoding` were present in one of the messages
    /// (RFC 9112, section 6.3); see [`Self::RESPONSE_CONFLICTING_FRAMING`] for which.
    pub const CONFLICTING_FRAMING: u32 = 1 << 7;
    /// The response began before the request had ended.
    pub const EARLY_RESPONSE: u32 = 1 << 8;
    /// A final response began while no request waited for one, on a request stream that is known whole up to
    /// there (no hole, and its start or an earlier request was captured): such as a 408 on an idle connection.
    pub const UNSOLICITED: u32 = 1 << 9;
    /// Bytes that start no response came behind this complete response, while no request waited for one.
    pub const EXTRA_BYTES: u32 = 1 << 10;
    /// The first bytes of the answer are no status line. The response is present without a status, and holds
    /// all that the server sent from there on.
    pub const NOT_HTTP_RESPONSE: u32 = 1 << 11;
    /// The response's head holds a line that is no header field (RFC 9112, section 5): no colon, whitespace
    /// before the colon, a control byte, no name, or a `Content-Length` that is no single number.
    pub const INVALID_HEADER: u32 = 1 << 12;
    /// Servers may refuse the request as malformed: a request line or a header field that is none, a method that
    /// is no token or not in upper case, HTTP/1.1 with no or several `Host` (RFC 9112, section 3.2), both
    /// `Content-Length` and `Transfer-Encoding`, or lengths that contradict each other.
    pub const REQUEST_INVALID: u32 = 1 << 13;
    /// An interim (1xx) response other than 101 came though the request held no `Expect: 100-continue`. That is
    /// legal (103 Early Hints), and there are proxies that take it for the final response.
    pub const UNASKED_INTERIM: u32 = 1 << 14;
    /// A `100 Continue` came.
    pub const CONTINUED: u32 = 1 << 15;
    /// The request asked to leave HTTP by an `Upgrade` header that its `Connection` header names
    /// (RFC 9110, section 7.8). Whether it was granted tells [`Self::TUNNEL`].
    pub const UPGRADE: u32 = 1 << 16;
    /// Both `Content-Length` and `Transfer-Encoding` were present in the response.
    pub const RESPONSE_CONFLICTING_FRAMING: u32 = 1 << 17;
    /// An HTTP/1.1 response with a body said neither where it ends (`Content-Length`, `chunked`) nor
    /// `Connection: close`: it ends when the server closes, and the client cannot know that it will.
    pub const UNFRAMED: u32 = 1 << 18;
    /// Two readers may find the end of one of the messages in different places: the shapes that request
    /// smuggling uses. The capture's problems name them.
    pub const AMBIGUOUS_FRAMING: u32 = 1 << 19;
    /// The response is a 400 whose body says, in the words of a well-known server, that a plain HTTP request came to
    /// a port where TLS is spoken.
    pub const PLAIN_TO_TLS: u32 = 1 << 24;

    /// A FastCGI application ended the request without a byte of output (FastCGI Specification, section 5.5).
    pub const NO_OUTPUT: u32 = 1 << 23;
    /// A FastCGI application ended the request with FCGI_CANT_MPX_CONN: it serves one request at a time on a
    /// connection, and another one was open.
    pub const CANNOT_MULTIPLEX: u32 = 1 << 25;
    /// A FastCGI application ended the request with FCGI_OVERLOADED.
    pub const OVERLOADED: u32 = 1 << 26;
    /// A FastCGI application ended the request with FCGI_UNKNOWN_ROLE.
    pub const UNKNOWN_ROLE: u32 = 1 << 27;
    /// A FastCGI application ended the request with a protocol status that the specification does not have.
    pub const REFUSED_OTHERWISE: u32 = 1 << 28;

    /// The client asked a FastCGI application to abort the request.
    pub const ABORT_ASKED: u32 = 1 << 29;

    /// The response says that it comes from a cache: of this hop or of one behind it.
    pub const FROM_CACHE: u32 = 1 << 30;

    /// The response is a stream without an end of its own, which goes on until its client leaves: server-sent events
    /// (`text/event-stream`; WHATWG HTML, section 9.2) or pictures that replace each other (`multipart/x-mixed-replace`).
    pub const ENDLESS: u32 = 1 << 31;

    /// A response that ends with the connection ([`Self::UNFRAMED`]), and the server's FIN came a second or more
    /// after its last byte.
    pub const LATE_CLOSE: u32 = 1 << 20;
    /// The capture misses bytes inside the body of one of the messages and its end is known all the same: packets
    /// cut by the snap length, or lost ones. `body_bytes` counts them; a request's `body_crc` is 0 then.
    pub const BODY_HOLE: u32 = 1 << 21;
    /// The head of one of the messages was cut in the capture: what its first line tells was kept.
    pub const HEAD_CUT: u32 = 1 << 22;

    /// How a FastCGI application ended the request that it did not serve, as the specification calls it.
    pub fn refusal(self) -> Option<&'static str> {
        let all = [
            (Self::CANNOT_MULTIPLEX, "FCGI_CANT_MPX_CONN"),
            (Self::OVERLOADED, "FCGI_OVERLOADED"),
            (Self::UNKNOWN_ROLE, "FCGI_UNKNOWN_ROLE"),
            (Self::REFUSED_OTHERWISE, "a status of its own"),
        ];
        all.into_iter().find(|&(flag, _)| self.has(flag)).map(|(_, name)| name)
    }

    /// Whether the flag is set.
    #[inline]
    pub fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// Takes the flag back.
    #[inline]
    pub fn clear(&mut self, flag: u32) {
        self.0 &= !flag;
    }

    /// Sets the flag.
    #[inline]
    pub fn set(&mut self, flag: u32) {
        self.0 |= flag;
    }
}
