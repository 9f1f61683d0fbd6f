//! A sentence in plain words for every step of a connection: what it means to somebody who never read a packet.

use std::net::SocketAddr;

use crate::analysis::ExchangeView;
use crate::http::{
    ExchangeFlags, FirstBytes, HandOver, HandOverWay, MessageState, TlsAlert, TlsFacts, TlsMessage,
};
use crate::tcp::{EventKind, Flow, Opening, Side};

use super::Outcome;

/// How the connection opened, or did not; `names` are its client and its server.
pub(super) fn opening(opening: Opening, [client, server]: [&str; 2]) -> String {
    match opening {
        Opening::Handshake | Opening::MidStream => {
            format!("{client} opens a connection, and the kernel of {server} accepts it.")
        }
        Opening::Refused => {
            format!("{client} asks for a connection and is turned away: no request can be sent.")
        }
        Opening::Unanswered => {
            format!("{client} asks for a connection, and nobody answers: no request can be sent.")
        }
    }
}

/// Something that `name` did on the connection with `peer`.
pub(super) fn event(kind: EventKind, from: Side, name: &str, peer: &str) -> String {
    match kind {
        EventKind::Syn => format!("{name} asks {peer} for a connection."),
        EventKind::SynAck => format!("{name} accepts the connection."),
        EventKind::Established => format!("{name} confirms it: the connection stands."),
        EventKind::Fin if from == Side::Server => format!(
            "{name} closes its side of the connection: it sends nothing more here, so a further request on it will \
             get no answer."
        ),
        EventKind::Fin => {
            format!("{name} closes its side of the connection: it sends no further request here.")
        }
        EventKind::FinAcked => format!(
            "The kernel of {name} confirms that the FIN arrived. The program itself learns of it when it next looks \
             at the connection."
        ),
        EventKind::Rst => format!("{name} breaks the connection off: nothing can be sent on it any more."),
        EventKind::DataAfterFin => {
            format!(
                "{name} sends bytes though its FIN said that none would follow, which TCP does not provide for."
            )
        }
        EventKind::Hole => lost(1, None, [name, peer]),
        EventKind::ZeroWindow => {
            format!(
                "{name} has no room for more bytes: {peer} must wait until {name} has read what it was sent."
            )
        }
        EventKind::WindowOpened => format!("{name} has room for bytes again: {peer} may go on."),
        EventKind::Retransmission => format!(
            "{name} sends the same bytes once more, as it does when no confirmation came in time: a packet was lost \
             or late."
        ),
        EventKind::KeepAlive => format!("No request: {name} only asks whether the connection still stands."),
        EventKind::WindowProbe => format!("{name} asks whether {peer} has room for bytes again."),
        EventKind::Unreachable => {
            format!("A host on the way reports that it could not deliver a packet of {name}.")
        }
        EventKind::StrayRst => format!(
            "This RST does not fit the numbers of the connection, so {peer} takes no notice of it and goes on."
        ),
    }
}

/// What became of a hole's bytes, of which the receiver acknowledged so many.
pub(super) fn hole(len: u32, arrived: Option<u32>, peer: &str) -> String {
    match arrived {
        Some(0) => format!("{peer} never acknowledged them: lost on the way, or still under way"),
        Some(had) if had == len => format!("{peer} had them, the capture did not"),
        Some(had) => format!("{peer} had the first {had} of them, and never acknowledged the others"),
        None => "not in the capture".to_owned(),
    }
}

/// The same as a sentence; the names are those of sender and receiver.
pub(super) fn lost(len: u32, arrived: Option<u32>, [name, peer]: [&str; 2]) -> String {
    match arrived {
        Some(0) => format!(
            "Later packets show that {name} sent these bytes, and {peer} never confirmed them: they did not arrive as far \
             as the capture shows."
        ),
        Some(had) if had == len => format!(
            "The capture lacks these bytes of {name}, so what they said is not known; {peer} confirmed them, so it has \
             got them."
        ),
        Some(_) => format!(
            "The capture lacks these bytes of {name}, so what they said is not known; {peer} confirmed only the first of \
             them."
        ),
        None => format!(
            "The capture lacks these bytes of {name}, so what they said is not known; {peer} may have got them."
        ),
    }
}

/// A request of the first name to the second.
pub(super) fn request(exchange: &ExchangeView<'_>, [from, to]: [&str; 2]) -> String {
    match exchange.raw.ordinal {
        1 => format!("{from} sends a request to {to}, the first on this connection."),
        number => format!("{from} sends request {number} to {to} on a connection that it used before."),
    }
}

/// Its answer.
pub(super) fn response(exchange: &ExchangeView<'_>, [from, to]: [&str; 2]) -> String {
    let status = exchange.status().map_or(String::new(), |status| format!(" with status {status}"));
    if exchange.raw.flags.has(ExchangeFlags::NO_OUTPUT) {
        let why = exchange.raw.flags.refusal().map_or(String::new(), |name| format!(" ({name})"));
        return format!(
            "{to} ends the request without a byte of an answer{why}: {from} has nothing to pass on."
        );
    }
    match exchange.raw.response.state {
        MessageState::Complete if exchange.is_failure() => {
            format!("{to} answers in full{status}: as a message it is whole, to {from} it is a failure.")
        }
        MessageState::Complete => format!("{to} answers in full{status}."),
        MessageState::Lossy => format!("{to} answers{status}; the capture lacks a part of the answer."),
        MessageState::Partial | MessageState::Absent if exchange.outcome() == Outcome::Truncated => {
            format!("{to} begins to answer{status} and breaks off: the end that was announced never came.")
        }
        MessageState::Partial | MessageState::Absent => {
            format!("{to} answers{status}; the end of the answer is not in the capture.")
        }
    }
}

/// Another attempt of `lane` at the same request.
pub(super) fn retry(lane: &str) -> String {
    format!("{lane} sends the same request once more; who asked {lane} sees only how the last attempt ends.")
}

/// An answer on another link that follows from the failure here.
pub(super) fn consequence(lane: &str, caller: &str, status: u16) -> String {
    format!(
        "{lane} got no good answer itself and tells {caller} so with {status}: this is all that {caller} sees."
    )
}

/// For whom the client says that it connects.
pub(super) fn proxied([client, server]: [&str; 2], source: SocketAddr, destination: SocketAddr) -> String {
    format!(
        "{client} says for whom it connects: {source}, which had connected to {destination}. {server} is meant to take that \
         for the client's address."
    )
}

/// A hello of TLS.
pub(super) fn hello(tls: &TlsFacts, message: TlsMessage, [client, server]: [&str; 2]) -> String {
    match message {
        TlsMessage::ClientHello => {
            let name = match &tls.server_name {
                Some(name) => format!("names the server that it wants ({name})"),
                None => "names no server".to_owned(),
            };
            let version = tls.offered_name().map_or(String::new(), |version| format!(", up to {version}"));
            let alpn =
                tls.alpn_offered.as_ref().map_or(String::new(), |alpn| format!(", and speaks {alpn} (ALPN)"));
            format!("{client} proposes encryption{version}, {name}{alpn}. Its hello can still be read.")
        }
        TlsMessage::ServerHello => {
            let cipher = tls.cipher_name().map_or(String::new(), |cipher| format!(" with {cipher}"));
            let version = tls.version_name().unwrap_or_else(|| "a version".to_owned());
            let alpn = match &tls.alpn {
                Some(alpn) => format!(" The two speak {alpn} (ALPN)."),
                None if tls.is_1_3() && tls.alpn_offered.is_some() => {
                    " Which protocol it chose (ALPN) is encrypted.".to_owned()
                }
                None => String::new(),
            };
            format!("{server} agrees, and chooses {version}{cipher} from what {client} offered.{alpn}")
        }
        _ => format!(
            "{server} asks for another ClientHello, with a key of a kind that it takes: one round trip more, and no fault."
        ),
    }
}

/// Other messages of the handshake.
pub(super) fn handshake(name: &str, peer: &str, finished: bool) -> String {
    if finished {
        format!("{name} has the keys, and encrypts all that it sends from here on.")
    } else {
        format!(
            "{name} goes on with the handshake in the clear: what {peer} needs to trust it, and to make the keys."
        )
    }
}

/// An alert of TLS.
pub(super) fn alert(alert: &TlsAlert, name: &str, peer: &str) -> String {
    let Some(description) = alert.description else {
        return format!(
            "What {name} says here is encrypted. At the end of a connection it is mostly that nothing more follows \
             (close_notify)."
        );
    };
    let why = match description {
        0 => return format!("{name} says that it sends nothing more: an orderly end."),
        40 => "the two have no cipher suite in common, or a certificate is missing",
        42..=46 => "it does not accept the certificate",
        48 => "it does not know who signed the certificate",
        49 => "the certificate gives no access",
        70 => "the two have no version of TLS in common",
        71 => "all that was offered is too weak",
        80 => "a fault of its own",
        112 => "it serves no site of the name asked for",
        116 => "it wants a certificate of the client",
        120 => "the two have no protocol in common (ALPN)",
        _ => return format!("{name} tells {peer} of a problem by this alert."),
    };
    let end = if alert.is_fatal() { "ends the connection" } else { "warns" };
    format!("{name} {end}: {why}.")
}

/// HTTP/1 ends here, or never was.
pub(super) fn hand_over(flow: &Flow, one: &HandOver, became: &str, [client, server]: [&str; 2]) -> String {
    match one.way {
        HandOverWay::Connect => format!(
            "{server} opened the connection that {client} asked for: from here on it passes bytes both ways and reads none of \
             them. This is {became} and no HTTP."
        ),
        HandOverWay::Upgrade => format!(
            "{client} asked to go on in another protocol, and {server} agreed (101): from here on the connection carries \
             {became} and no HTTP/1."
        ),
        HandOverWay::Unseen => format!(
            "{client} begins in HTTP/2. What it sent before is not in the capture: it may have asked {server} to change to \
             HTTP/2, or to open a tunnel, or neither. Requests in HTTP/2 are not read."
        ),
        HandOverWay::PriorKnowledge => {
            let answer = match flow.wire.first(Side::Server) {
                FirstBytes::Http2Frames => format!("{server} answers in HTTP/2 too"),
                _ if flow.direction(Side::Server).bytes == 0 => format!("{server} answers nothing"),
                _ => format!("{server} does not begin in HTTP/2"),
            };
            format!(
                "{client} speaks HTTP/2 from its first byte, without asking (prior knowledge); {answer}. Requests in HTTP/2 are \
                 not read."
            )
        }
    }
}
