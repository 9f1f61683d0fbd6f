//! What TLS numbers are called: versions, alerts, handshake messages.

use super::TlsMessage;

/// The name of a version as on the wire.
pub(super) fn version(number: u16) -> String {
    match number {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        0x7e00..=0x7eff => "TLS 1.3 (a trial of browsers)".to_owned(),
        0xfb00..=0xfbff => format!("TLS 1.3 (draft {} of Facebook)", number & 0xff),
        0x7f00..=0x7fff => format!("TLS 1.3 (draft {})", number & 0xff),
        _ => format!("TLS version 0x{number:04x}"),
    }
}

/// The name of an alert (RFC 8446, section 6; those of earlier versions in RFC 5246, section 7.2).
pub(super) fn alert(description: u8) -> Option<&'static str> {
    Some(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return None,
    })
}

/// The name of a handshake message.
pub(super) fn message(message: TlsMessage) -> &'static str {
    match message {
        TlsMessage::HelloRequest => "HelloRequest",
        TlsMessage::ClientHello => "ClientHello",
        TlsMessage::ServerHello => "ServerHello",
        TlsMessage::HelloRetryRequest => "HelloRetryRequest",
        TlsMessage::NewSessionTicket => "NewSessionTicket",
        TlsMessage::Certificate => "Certificate",
        TlsMessage::ServerKeyExchange => "ServerKeyExchange",
        TlsMessage::CertificateRequest => "CertificateRequest",
        TlsMessage::ServerHelloDone => "ServerHelloDone",
        TlsMessage::CertificateVerify => "CertificateVerify",
        TlsMessage::ClientKeyExchange => "ClientKeyExchange",
        TlsMessage::Finished => "Finished",
        TlsMessage::CertificateStatus => "CertificateStatus",
        TlsMessage::ChangeCipherSpec => "ChangeCipherSpec",
        TlsMessage::Encrypted => "an encrypted handshake message",
        TlsMessage::Other => "another handshake message",
    }
}
