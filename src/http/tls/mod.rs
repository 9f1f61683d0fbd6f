//! TLS: what can be seen of it without its keys (RFC 8446, RFC 5246): the handshake's steps, offers and choices,
//! alerts, sizes, and how it closed. There are no exchanges: they are encrypted.

mod ciphers;
mod hello;
mod names;
mod records;
#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;

use crate::capture::CaptureTime;
use crate::tcp::Side;

pub(super) use records::{Tls, starts_data};

/// TLS 1.3 on the wire.
const TLS_1_3: u16 = 0x0304;
/// The size of an encrypted record that holds an alert and nothing else in TLS 1.3: two bytes, their type, and 16 bytes
/// that protect them (RFC 8446, section 5.2).
const ALERT_RECORD: u16 = 19;

/// What TLS leaves to see of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The server's name that the client asked for (RFC 6066, section 3).
    pub server_name: Option<Box<str>>,
    /// The protocols that the client offers (RFC 7301), separated by commas.
    pub alpn_offered: Option<Box<str>>,
    /// The protocol that the server chose; TLS 1.3 encrypts it.
    pub alpn: Option<Box<str>>,
    /// The highest version that the client offers, as on the wire (0x0303 is TLS 1.2).
    pub offered: Option<u16>,
    /// The version chosen, where the server's hello was seen.
    pub version: Option<u16>,
    /// The cipher suite chosen, as on the wire.
    pub cipher: Option<u16>,
    /// The server went on with a session of before: no certificate was sent.
    pub resumed: bool,
    /// The handshake as far as it was in the clear, in the order of the capture.
    pub steps: Vec<TlsStep>,
    /// Records sent by each side, of any kind.
    pub records: [u32; 2],
    /// Bytes in records of application data sent by each side, as encrypted. TLS 1.3 sends the rest of its handshake in
    /// such records too.
    pub data_bytes: [u64; 2],
    /// When and in which packet each side's first record of that kind came.
    pub data_start: [Option<(CaptureTime, u32)>; 2],
    /// Size of the last record of each side.
    pub last_record: [u16; 2],
    /// When and in which packet it ended.
    pub last_at: [(CaptureTime, u32); 2],
    /// The client sent an encrypted record, larger than an alert, behind the server's choice of TLS 1.3.
    pub(crate) client_went_on: bool,
    /// The capture misses a part of the handshake.
    pub(crate) blind: bool,
    /// Sides whose records could not be followed all along: the capture misses bytes. Their sizes are at least so much.
    pub lost: [bool; 2],
    /// Alerts, in order: those in the clear, and that TLS 1.2 sent encrypted ones.
    pub alerts: Vec<TlsAlert>,
}

/// A message of the handshake, or the change to encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsStep {
    /// Who sent it.
    pub from: Side,
    /// When it was whole.
    pub at: CaptureTime,
    /// In which packet it was whole.
    pub frame: u32,
    /// What.
    pub message: TlsMessage,
}

/// A message of the handshake (RFC 8446, section 4; RFC 5246, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the messages' own names")]
pub enum TlsMessage {
    HelloRequest,
    ClientHello,
    ServerHello,
    HelloRetryRequest,
    NewSessionTicket,
    Certificate,
    ServerKeyExchange,
    CertificateRequest,
    ServerHelloDone,
    CertificateVerify,
    ClientKeyExchange,
    /// The first encrypted message: it proves that both sides have the same keys.
    Finished,
    CertificateStatus,
    ChangeCipherSpec,
    /// A later encrypted message, such as of a renegotiation.
    Encrypted,
    Other,
}

impl TlsMessage {
    /// Its name.
    pub fn name(self) -> &'static str {
        names::message(self)
    }
}

/// An alert (RFC 8446, section 6), or that there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsAlert {
    /// Who sent it.
    pub from: Side,
    /// When.
    pub at: CaptureTime,
    /// In which packet.
    pub frame: u32,
    /// 1 warning, 2 fatal; 0 when encrypted.
    pub level: u8,
    /// What: 0 `close_notify`, 40 `handshake_failure`, 70 `protocol_version`, …; `None` when encrypted.
    pub description: Option<u8>,
}

impl TlsAlert {
    /// Its name, or that it is encrypted.
    pub fn name(&self) -> Cow<'static, str> {
        match self.description {
            None => "encrypted alert".into(),
            Some(number) => {
                names::alert(number).map_or_else(|| format!("alert {number}").into(), Cow::Borrowed)
            }
        }
    }

    /// Whether it says that the connection failed.
    pub fn is_fatal(&self) -> bool {
        self.level == 2
    }
}

/// How a side ended its half of the encrypted stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsEnd {
    /// It said so: `close_notify`.
    Said,
    /// By an alert that is encrypted: mostly `close_notify`.
    EncryptedAlert,
    /// Its last record has the size of an alert (TLS 1.3): mostly `close_notify`.
    AlertSized,
    /// By a fatal alert.
    Fatal,
    /// It said nothing that the capture holds.
    Silent,
}

impl TlsEnd {
    /// The words that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Said => "close_notify",
            Self::EncryptedAlert => "encrypted alert",
            Self::AlertSized => "alert-sized record",
            Self::Fatal => "fatal alert",
            Self::Silent => "none",
        }
    }
}

impl TlsFacts {
    /// The name of the version chosen.
    pub fn version_name(&self) -> Option<String> {
        self.version.map(names::version)
    }

    /// The name of the highest version that the client offers.
    pub fn offered_name(&self) -> Option<String> {
        self.offered.map(names::version)
    }

    /// The name of the cipher suite chosen.
    pub fn cipher_name(&self) -> Option<Cow<'static, str>> {
        let number = self.cipher?;
        Some(
            ciphers::name(number)
                .map_or_else(|| format!("cipher suite 0x{number:04x}").into(), Cow::Borrowed),
        )
    }

    /// Whether the version chosen is TLS 1.3, or a draft or trial of it.
    pub fn is_1_3(&self) -> bool {
        self.version.is_some_and(|version| version == TLS_1_3 || matches!(version >> 8, 0x7e | 0x7f | 0xfb))
    }

    /// How a side ended its half.
    pub fn end(&self, side: Side) -> TlsEnd {
        let mut own = self.alerts.iter().filter(|alert| alert.from == side);
        if own.clone().any(TlsAlert::is_fatal) {
            return TlsEnd::Fatal;
        }
        if own.clone().any(|alert| alert.description == Some(0)) {
            return TlsEnd::Said;
        }
        if own.any(|alert| alert.description.is_none()) {
            return TlsEnd::EncryptedAlert;
        }
        let sized = self.is_1_3() && self.last_record[side as usize] == ALERT_RECORD;
        if sized && !self.lost[side as usize] { TlsEnd::AlertSized } else { TlsEnd::Silent }
    }

    /// Whether the handshake came to its end; `None` where the capture does not tell.
    pub fn is_established(&self) -> Option<bool> {
        let sent = |side, message| self.steps.iter().any(|step| step.from == side && step.message == message);
        let done = if self.is_1_3() {
            self.client_went_on
        } else {
            sent(Side::Client, TlsMessage::Finished) && sent(Side::Server, TlsMessage::Finished)
        };
        if !done && self.blind { None } else { Some(done) }
    }
}
