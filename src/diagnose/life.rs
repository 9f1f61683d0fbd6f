//! How a connection ended and who ended it, told by acknowledgement numbers.

use crate::analysis::ConnectionView;
use crate::http::{Exchange, ExchangeFlags, Framing, Message, MessageState};
use crate::tcp::{Event, EventKind, Flow, Opening, Side};

/// Whether sequence number `a` is at or after `b`; numbers wrap (RFC 9293, section 3.4).
#[inline]
pub(super) fn at_least(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

/// Whether the server's window was closed when the connection ended.
pub(super) fn window_is_closed(connection: ConnectionView<'_>) -> bool {
    let is_window = |event: &&Event| {
        event.from == Side::Server && matches!(event.kind, EventKind::ZeroWindow | EventKind::WindowOpened)
    };
    let last = connection.events().iter().rfind(is_window);
    last.is_some_and(|event| event.kind == EventKind::ZeroWindow)
}

/// A request that its sender still repeats after so long, in nanoseconds, has not arrived: three timers have passed that
/// begin at 200 ms and double (RFC 6298, section 5).
const LONG_UNHEARD_NS: i64 = 700_000_000;

/// Whether the server's side had not got a request when its client gave it up: until then it was sent again and again.
pub(super) fn went_unheard(connection: ConnectionView<'_>, request: &Message, left: &Event) -> bool {
    let again = |event: &&Event| {
        event.kind == EventKind::Retransmission
            && event.from == Side::Client
            && at_least(event.seq, request.seq)
            && !at_least(event.seq, request.end_seq())
    };
    let sent = connection.events().iter().filter(again).map(|event| event.at.0.saturating_sub(request.end.0));
    let (last, waited) = (sent.max().unwrap_or(0), left.at.0.saturating_sub(request.end.0));
    // What got through after a while is waited for: each pause is at most twice the one before.
    last >= LONG_UNHEARD_NS && last.saturating_mul(4) >= waited
}

/// The events that decide a connection's fate: the first of each kind.
pub(super) struct Life<'a> {
    pub(super) flow: &'a Flow,
    pub(super) server_fin: Option<&'a Event>,
    pub(super) client_fin: Option<&'a Event>,
    pub(super) server_rst: Option<&'a Event>,
    pub(super) client_rst: Option<&'a Event>,
}

impl<'a> Life<'a> {
    pub(super) fn of(connection: ConnectionView<'a>) -> Self {
        let mut life = Self {
            flow: connection.flow(),
            server_fin: None,
            client_fin: None,
            server_rst: None,
            client_rst: None,
        };
        for event in connection.events() {
            let place = match (event.kind, event.from) {
                (EventKind::Fin, Side::Server) => &mut life.server_fin,
                (EventKind::Fin, Side::Client) => &mut life.client_fin,
                (EventKind::Rst, Side::Server) => &mut life.server_rst,
                (EventKind::Rst, Side::Client) => &mut life.client_rst,
                _ => continue,
            };
            place.get_or_insert(event);
        }
        life
    }

    /// The server's FIN or RST, where the server ended the connection and did not only follow the client.
    pub(super) fn server_ended(&self) -> Option<&'a Event> {
        [self.server_fin, self.server_rst].into_iter().flatten().find(|event| !self.follows_client(event))
    }

    /// The client's first FIN or RST.
    pub(super) fn client_ended(&self) -> Option<&'a Event> {
        [self.client_fin, self.client_rst].into_iter().flatten().min_by_key(|event| event.frame)
    }

    /// Whether this FIN or RST of the server's was sent after it had the client's.
    fn follows_client(&self, event: &Event) -> bool {
        let after_fin = self.client_fin.is_some_and(|fin| {
            if event.has_ack { at_least(event.ack, fin.seq.wrapping_add(1)) } else { fin.frame < event.frame }
        });
        // A RST has no acknowledgement, so here the order in the file must do.
        after_fin || self.client_rst.is_some_and(|rst| rst.frame < event.frame)
    }

    /// Whether the server's kernel has acknowledged all that the client sent of a request.
    pub(super) fn has_received(&self, request: &Message) -> bool {
        let acked = self.flow.direction(Side::Server).acked;
        acked.is_some_and(|ack| at_least(ack, request.end_seq()))
    }

    /// Whether the server's side had this request, or its beginning, when it closed.
    pub(super) fn closed_with(&self, request: &Message) -> bool {
        self.closed_with_all_before(request.seq.wrapping_add(1))
    }

    /// Whether the server's side had everything before this number when it closed.
    pub(super) fn closed_with_all_before(&self, seq: u32) -> bool {
        self.server_ended().is_some_and(|close| close.has_ack && at_least(close.ack, seq))
    }

    /// Whether a request was never finished although the server read what there was of it.
    pub(super) fn never_finished(&self, connection: ConnectionView<'a>, request: &Message) -> bool {
        request.state == MessageState::Partial && self.has_received(request) && !window_is_closed(connection)
    }

    /// Whether the connection's first request was seen as its first.
    pub(super) fn seen_from_start(&self) -> bool {
        self.flow.opening == Opening::Handshake
    }

    /// Whether something else stands where the size of a response's next chunk should (RFC 9112, section 7.1): nothing of it
    /// is missing, and nobody can find its end.
    pub(super) fn breaks_chunks(&self, exchange: &Exchange) -> bool {
        let whole = self.flow.directions.iter().all(|d| d.missing_bytes == 0 && d.cut_bytes == 0);
        let response = &exchange.response;
        let endless = response.framing == Framing::Chunked && response.state == MessageState::Lossy;
        whole && endless && exchange.flags.has(ExchangeFlags::AMBIGUOUS_FRAMING)
    }

    /// Whether the capture holds every packet and lacks only what its snap length cut off.
    pub(super) fn only_cut(&self) -> bool {
        let directions = &self.flow.directions;
        directions.iter().any(|d| d.cut_bytes > 0) && directions.iter().all(|d| d.missing_bytes == 0)
    }
}
