//! What a link's connections carry in place of requests that can be read: TLS, and protocols that HTTP/1 was left for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::{counted, grouped, listed, printable};
use crate::analysis::{Analysis, ConnectionView};
use crate::http::{HandOver, HandOverWay, Protocol, TlsAlert, TlsFacts};
use crate::logs::{self, MAX_NAMES, OTHERS};
use crate::tcp::{Closing, Side};

/// Counts by name.
type Counts = BTreeMap<String, u64>;

/// What is seen of a link's connections with TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsFigures {
    /// Connections with TLS, those counted that carry it in a tunnel.
    pub connections: u64,
    /// Of those, with a handshake that came to its end.
    pub established: u64,
    /// Of those, with one that did not though it is over; of the others the capture does not tell.
    pub failed: u64,
    /// Of those, that went on with a session of before.
    pub resumed: u64,
    /// Bytes in encrypted records, by who sent them.
    pub client_bytes: u64,
    /// The same of the server.
    pub server_bytes: u64,
    /// The capture misses some of these bytes: they are at least so many.
    pub lossy: bool,
    /// Versions agreed on.
    pub versions: Counts,
    /// Cipher suites agreed on.
    pub ciphers: Counts,
    /// Names that clients asked for.
    pub server_names: Counts,
    /// Protocols that clients offered, as lists.
    pub alpn_offered: Counts,
    /// Protocols that servers chose, where that is in the clear.
    pub alpn_chosen: Counts,
    /// Alerts that clients sent, encrypted ones counted as such; `close_notify` is no fault.
    pub client_alerts: Counts,
    /// The same of servers.
    pub server_alerts: Counts,
    /// How clients ended their half, of connections that are over.
    pub client_ends: Counts,
    /// The same of servers.
    pub server_ends: Counts,
}

impl TlsFigures {
    fn add(&mut self, connection: ConnectionView<'_>, tls: &TlsFacts) {
        self.connections += 1;
        let over = connection.flow().closing != Closing::Open || tls.alerts.iter().any(TlsAlert::is_fatal);
        match tls.is_established() {
            Some(true) => self.established += 1,
            // It may be under way where the capture ends.
            Some(false) if over => self.failed += 1,
            Some(false) | None => {}
        }
        self.resumed += u64::from(tls.resumed);
        self.client_bytes += tls.data_bytes[0];
        self.server_bytes += tls.data_bytes[1];
        self.lossy |= tls.lost != [false, false];
        count_some(&mut self.versions, tls.version_name().as_deref());
        count_some(&mut self.ciphers, tls.cipher_name().as_deref());
        count_some(&mut self.server_names, tls.server_name.as_deref());
        count_some(&mut self.alpn_offered, tls.alpn_offered.as_deref());
        count_some(&mut self.alpn_chosen, tls.alpn.as_deref());
        for alert in &tls.alerts {
            let own = match alert.from {
                Side::Client => &mut self.client_alerts,
                Side::Server => &mut self.server_alerts,
            };
            count_some(own, Some(&alert.name()));
        }
        if connection.flow().closing != Closing::Open {
            count_some(&mut self.client_ends, Some(tls.end(Side::Client).name()));
            count_some(&mut self.server_ends, Some(tls.end(Side::Server).name()));
        }
    }
}

fn count_some(counts: &mut Counts, name: Option<&str>) {
    if let Some(name) = name {
        logs::count(counts, name);
    }
}

/// Connections of a link that came to carry the same other protocol in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HandOverFigures {
    /// `upgrade`, `connect`, `prior-knowledge` or `unseen`.
    pub way: String,
    /// What they became, as protocols are called.
    pub protocol: String,
    /// The protocol as the answers name it, or the host and port of CONNECT.
    pub to: String,
    /// How many.
    pub connections: u64,
    /// Bytes that clients sent from there on.
    pub client_bytes: u64,
    /// Bytes that servers sent from there on.
    pub server_bytes: u64,
}

impl HandOverFigures {
    /// `WebSocket by Upgrade`: what they became and how, in words.
    pub fn words(&self) -> String {
        let to = printable(&self.to);
        match self.way.as_str() {
            "connect" => format!("tunnel to {to} (CONNECT)"),
            "prior-knowledge" => "HTTP/2 from the first byte (prior knowledge)".to_owned(),
            "unseen" => "HTTP/2 (what asked for it is not in the capture)".to_owned(),
            _ => format!("{} (Upgrade)", upgraded(&self.protocol, &to)),
        }
    }
}

/// What an upgrade led to, as people call it.
fn upgraded(protocol: &str, to: &str) -> String {
    match protocol {
        "websocket" => "WebSocket".to_owned(),
        "http/2" => format!("HTTP/2 as {to}"),
        _ if to.is_empty() => "a protocol that the answer does not name".to_owned(),
        _ => to.to_owned(),
    }
}

/// What a connection became, in words for a sentence.
pub(super) fn became(one: &HandOver) -> String {
    let to = printable(&one.to);
    match one.way {
        HandOverWay::Connect => format!("a tunnel to {to}"),
        HandOverWay::PriorKnowledge | HandOverWay::Unseen => "HTTP/2".to_owned(),
        HandOverWay::Upgrade => upgraded(one.protocol.name(), &to),
    }
}

/// Counts what the connections of one link carry besides requests.
#[derive(Default)]
pub(super) struct Carried {
    tls: Option<Box<TlsFigures>>,
    hand_overs: BTreeMap<(HandOverWay, Protocol, String), HandOverFigures>,
}

impl Carried {
    /// Counts a connection.
    pub(super) fn add(&mut self, connection: ConnectionView<'_>) {
        let wire = &connection.flow().wire;
        if let Some(tls) = &wire.tls {
            self.tls.get_or_insert_default().add(connection, tls);
        }
        let Some(one) = &wire.hand_over else { return };
        let mut key = (one.way, one.protocol, one.to.to_string());
        if self.hand_overs.len() >= MAX_NAMES && !self.hand_overs.contains_key(&key) {
            key.2 = OTHERS.to_owned();
        }
        let figures = self.hand_overs.entry(key).or_insert_with_key(|(way, protocol, to)| HandOverFigures {
            way: way.name().to_owned(),
            protocol: protocol.name().to_owned(),
            to: to.clone(),
            ..HandOverFigures::default()
        });
        figures.connections += 1;
        figures.client_bytes += one.bytes[0];
        figures.server_bytes += one.bytes[1];
    }

    /// The figures.
    pub(super) fn finish(self) -> (Option<Box<TlsFigures>>, Vec<HandOverFigures>) {
        (self.tls, self.hand_overs.into_values().collect())
    }
}

/// What could not be read of the captures though no packet is missing, as a sentence: `3 connections are encrypted (TLS)`.
pub fn unread(analysis: &Analysis) -> Option<String> {
    let links = &analysis.diagnosis.board.links;
    // The figures may be those of a session file, which can hold any number.
    let sum = |numbers: &mut dyn Iterator<Item = u64>| numbers.fold(0, u64::saturating_add);
    let tls = || links.iter().filter_map(|link| link.tls.as_deref());
    let failed = sum(&mut tls().map(|tls| tls.failed));
    let encrypted = sum(&mut tls().map(|tls| tls.connections.saturating_sub(tls.failed)));
    let h2 = |one: &&HandOverFigures| one.protocol == Protocol::Http2.name();
    let all = || links.iter().flat_map(|link| &link.hand_overs);
    let http2 = sum(&mut all().filter(h2).map(|one| one.connections));
    let cut_off = sum(&mut links.iter().map(|link| link.cut_off));
    let parts = [
        (encrypted, "is encrypted (TLS)", "are encrypted (TLS)"),
        (
            failed,
            "began TLS and did not finish its handshake",
            "began TLS and did not finish their handshake",
        ),
        (http2, "carries HTTP/2", "carry HTTP/2"),
        (
            cut_off,
            "was cut by the snap length before its first request ends (tcpdump -s0 keeps all)",
            "were cut by the snap length before their first requests end (tcpdump -s0 keeps all)",
        ),
    ];
    let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, one, more)| {
            format!("{} {}", counted(count, "connection"), if count == 1 { one } else { more })
        })
        .collect();
    (!parts.is_empty()).then(|| listed(&parts))
}

/// `TLS 1.3 × 10, TLS 1.2 × 2`: the most frequent first, `most` of them.
pub fn counts(all: &BTreeMap<String, u64>, most: usize) -> String {
    let mut sorted: Vec<(&String, u64)> = all.iter().map(|(name, &count)| (name, count)).collect();
    sorted.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    let mut parts: Vec<String> = sorted
        .iter()
        .take(most)
        .map(|(name, count)| format!("{} × {}", printable(name), grouped(*count)))
        .collect();
    let more = sorted.len().saturating_sub(most);
    if more > 0 {
        parts.push(format!("{} more", grouped(more as u64)));
    }
    parts.join(", ")
}
