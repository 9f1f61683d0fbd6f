//! What all wire protocols have in common: bytes of both directions in, exchanges out.
//!
//! A new protocol is one new file with a type that implements [`Wire`], a kind of [`FirstBytes`] by which
//! [`super::sniff`] knows it, and a line in [`reader_of`].

use std::fmt::Debug;

use crate::capture::CaptureTime;
use crate::tcp::{Chunk, Flow, Hole, Opening, Side};

use super::fastcgi::FastCgi;
use super::http1::Http1;
use super::load::Context;
use super::tls::Tls;
use super::uwsgi::Uwsgi;
use super::{Exchange, FirstBytes, HandOver, HandOverWay, Protocol};

/// Reads the streams of one connection as one protocol.
pub(super) trait Wire: Debug {
    /// Takes payload in stream order; how it is cut into chunks has no meaning.
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, context: &mut Context);
    /// Takes note of bytes that the capture does not hold.
    fn hole(&mut self, from: Side, hole: &Hole, context: &mut Context);
    /// All bytes before this side's FIN were handed over.
    fn fin(&mut self, from: Side, at: CaptureTime, context: &mut Context);
    /// The connection is over, or the capture is: sets the flow's protocol and what else was seen, and gives the
    /// exchanges in order.
    fn close(&mut self, flow: &mut Flow, context: &mut Context) -> Vec<Exchange>;
}

/// The reader for a connection whose first bytes name another protocol than HTTP/1. `http` is what read the
/// connection until now: the other side's bytes may have come first. `unseen` tells that bytes before these are missing.
pub(super) fn reader_of(first: FirstBytes, unseen: bool, http: &mut Http1) -> Option<Box<dyn Wire>> {
    match first {
        FirstBytes::TlsHandshake | FirstBytes::TlsData => Some(Box::<Tls>::default()),
        // The server agreed to a change that was asked for in bytes that the capture misses.
        FirstBytes::Http2Preface if http.is_handed_over() => None,
        FirstBytes::Http2Preface => Some(Box::new(Http2 { unseen, ..Http2::default() })),
        FirstBytes::Uwsgi => Some(Box::new(Uwsgi::new(std::mem::take(http)))),
        FirstBytes::FastCgi => Some(Box::<FastCgi>::default()),
        _ => None,
    }
}

/// HTTP/2 from the client's first byte: named, and its bytes counted. Its frames are not read.
#[derive(Debug, Default)]
struct Http2 {
    /// When the preface came, and in which packet.
    start: Option<(CaptureTime, u32)>,
    /// What the client sent before it is not known.
    unseen: bool,
    bytes: [u64; 2],
}

impl Wire for Http2 {
    fn data(&mut self, from: Side, chunk: &Chunk<'_>, _: &mut Context) {
        if from == Side::Client {
            self.start.get_or_insert((chunk.at, chunk.frame));
        }
        self.bytes[from as usize] += chunk.data.len() as u64;
    }

    fn hole(&mut self, _: Side, _: &Hole, _: &mut Context) {}

    fn fin(&mut self, _: Side, _: CaptureTime, _: &mut Context) {}

    fn close(&mut self, flow: &mut Flow, _: &mut Context) -> Vec<Exchange> {
        flow.protocol = Protocol::Http2;
        let unseen = self.unseen || flow.opening == Opening::MidStream;
        flow.wire.hand_over = self.start.map(|(at, frame)| {
            Box::new(HandOver {
                way: if unseen { HandOverWay::Unseen } else { HandOverWay::PriorKnowledge },
                protocol: Protocol::Http2,
                to: "h2c".into(),
                ordinal: 0,
                at,
                frame,
                bytes: self.bytes,
            })
        });
        Vec::new()
    }
}
