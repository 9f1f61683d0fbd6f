//! The wire form of a request that found its reused connection closed (R1 to R7), told by acknowledgement numbers.

use crate::http::Exchange;
use crate::tcp::Side;

use super::RejectForm;
use super::life::{Life, at_least};

/// An idle time from which on a reset without a FIN speaks for a middlebox that forgot the connection.
const IDLE_RESET_NS: i64 = 60_000_000_000;

/// A request that was retransmitted into silence for less than this may still have been answered.
const BLACK_HOLE_NS: i64 = 1_000_000_000;

/// A server that closes this long after it had the request has worked on it: that is no rejection but a crash.
const WORKED_ON_NS: i64 = 250_000_000;

/// The form; `None` when the request was not turned away. `idle_ns` runs from the end of the response before it.
///
/// The acknowledgement numbers tell what each side knew when it sent; the order of packets in the file only
/// tells what passed the place of capture first.
pub(super) fn reject_form(life: &Life<'_>, exchange: &Exchange, idle_ns: i64) -> Option<RejectForm> {
    let request = &exchange.request;
    let past_request = |ack: u32| at_least(ack, request.seq.wrapping_add(1));
    if let Some(fin) = life.server_fin {
        if fin.has_ack && past_request(fin.ack) {
            // The server closed with the request in hand: its own doing unless the client left first.
            life.server_ended()?;
            // A pipelined request only got its turn once the response before it had ended.
            let had_it = request.end.0.saturating_add(idle_ns.min(0).saturating_neg());
            return (fin.at.0.saturating_sub(had_it) < WORKED_ON_NS).then_some(RejectForm::Swallowed);
        }
        let knew = at_least(request.ack, fin.seq.wrapping_add(1));
        return Some(if knew { RejectForm::StalePick } else { RejectForm::FinInFlight });
    }
    if let Some(rst) = life.server_rst {
        life.server_ended()?;
        // A bare RST comes from a host that knows no such connection (RFC 9293, section 3.10.7.1).
        return Some(if !rst.has_ack || idle_ns >= IDLE_RESET_NS {
            RejectForm::IdleReset
        } else if past_request(rst.ack) && request.is_complete() {
            RejectForm::QueuedReset
        } else {
            RejectForm::WriteToDead
        });
    }
    black_hole(life, exchange).then_some(RejectForm::BlackHole)
}

/// Whether the request was sent again and again and the server acknowledged nothing of it.
fn black_hole(life: &Life<'_>, exchange: &Exchange) -> bool {
    let request = &exchange.request;
    let unheard = life.flow.direction(Side::Server).acked == Some(request.seq);
    let until = life.client_ended().map_or(life.flow.last.0, |end| end.at);
    let long = until.0.saturating_sub(request.start.0) >= BLACK_HOLE_NS;
    unheard && long && life.flow.direction(Side::Client).retransmitted >= 2
}
