//! Steps about what a connection carries beside its exchanges: a PROXY header, TLS, what it became, and what the
//! application wrote aside.

use super::carried::became;
use super::step_words;
use super::steps::{Step, StepKind};
use super::words::{counted, grouped};
use crate::analysis::ConnectionView;
use crate::capture::CaptureTime;
use crate::http::{HandOverWay, ProxyHeader, SaidAside, TlsAlert, TlsEnd, TlsFacts, TlsMessage, TlsStep};
use crate::tcp::Side;

/// The longest start of a text that stands in a step's title, in characters.
const MAX_TITLE: usize = 90;

/// Tells them in the names of the connection's lanes.
pub(super) struct WireTeller<'a> {
    pub connection: ConnectionView<'a>,
    /// Its client and its server.
    pub names: [&'a str; 2],
}

impl WireTeller<'_> {
    fn step(&self, at: CaptureTime, frame: u32, kind: StepKind, title: String, hint: String) -> Step {
        Step {
            at: self.connection.time(at, frame),
            frame: Some(self.connection.frame(frame)),
            title,
            hint,
            kind,
            ..Step::default()
        }
    }

    /// What comes before other steps of the same packet.
    pub(super) fn before(&self, all: &mut Vec<Step>) {
        let wire = &self.connection.flow().wire;
        let headers = wire.proxy.iter().flat_map(|proxy| std::iter::once(&**proxy).chain(&proxy.further));
        all.extend(headers.map(|proxy| self.proxy(proxy)));
        if let Some(tls) = &wire.tls {
            self.tls(tls, all);
        }
    }

    /// What comes behind other steps of the same packet.
    pub(super) fn behind(&self, all: &mut Vec<Step>) {
        let wire = &self.connection.flow().wire;
        all.extend(wire.aside.iter().map(|said| self.aside(said)));
        all.extend(self.hand_over());
    }

    fn proxy(&self, proxy: &ProxyHeader) -> Step {
        let [client, server] = self.names;
        let ends = proxy.addresses.map(|(source, destination)| format!("{source} → {destination}"));
        let title = match &ends {
            Some(ends) => format!("PROXY header: {ends}"),
            None => format!("PROXY header: {client} for itself"),
        };
        let mut hint = format!("version {}", proxy.version);
        for (name, value) in &proxy.extras {
            hint.push_str(&format!(", {name} {value}"));
        }
        let plain = match proxy.addresses {
            Some((source, destination)) => step_words::proxied(self.names, source, destination),
            None => format!(
                "{client} says that it connects on its own account, such as for a health check, or does not know for \
                 whom: {server} is meant to take {client} itself for the client."
            ),
        };
        Step { plain, ..self.step(proxy.at, proxy.frame, StepKind::Proxy, title, hint) }
    }

    fn tls(&self, tls: &TlsFacts, all: &mut Vec<Step>) {
        let mut group: Vec<&TlsStep> = Vec::new();
        for step in &tls.steps {
            let hello = matches!(
                step.message,
                TlsMessage::ClientHello | TlsMessage::ServerHello | TlsMessage::HelloRetryRequest
            );
            if group.last().is_some_and(|last| hello || (last.frame, last.from) != (step.frame, step.from)) {
                all.extend(self.messages(&std::mem::take(&mut group)));
            }
            if hello {
                all.push(self.hello(tls, step));
            } else if step.message != TlsMessage::ChangeCipherSpec || !tls.is_1_3() {
                // In TLS 1.3 the change means nothing: it is sent for middleboxes that know the older handshake.
                group.push(step);
            }
        }
        all.extend(self.messages(&group));
        all.extend(self.data(tls));
        all.extend(tls.alerts.iter().map(|alert| self.alert(alert)));
        for side in [Side::Client, Side::Server] {
            if tls.end(side) == TlsEnd::AlertSized {
                all.push(self.alert_sized(tls, side));
            }
        }
    }

    fn name(&self, side: Side) -> &str {
        self.names[side as usize]
    }

    fn hello(&self, tls: &TlsFacts, step: &TlsStep) -> Step {
        let name = self.name(step.from);
        let (title, hint) = match step.message {
            TlsMessage::ClientHello => {
                let asked = tls.server_name.as_ref().map_or(String::new(), |name| format!(" for {name}"));
                let alpn = tls.alpn_offered.as_ref().map(|alpn| format!("ALPN {alpn}"));
                let offers = tls.offered_name().map(|version| format!("offers {version}"));
                (format!("{name}: ClientHello{asked}"), joined([offers, alpn, None]))
            }
            TlsMessage::ServerHello => {
                let version = tls.version_name().map_or(String::new(), |version| format!(", {version}"));
                let alpn = tls.alpn.as_ref().map(|alpn| format!("ALPN {alpn}"));
                let resumed = tls.resumed.then(|| "goes on with a session of before".to_owned());
                let cipher = tls.cipher_name().map(Into::into);
                (format!("{name}: ServerHello{version}"), joined([cipher, alpn, resumed]))
            }
            other => (format!("{name}: {}", other.name()), String::new()),
        };
        let plain = step_words::hello(tls, step.message, self.names);
        Step { plain, ..self.step(step.at, step.frame, StepKind::Encrypted, title, hint) }
    }

    /// Messages of one packet as one step.
    fn messages(&self, group: &[&TlsStep]) -> Option<Step> {
        let last = group.last()?;
        let name = self.name(last.from);
        let names: Vec<&str> = group.iter().map(|step| step.message.name()).collect();
        let finished = group.iter().any(|step| step.message == TlsMessage::Finished);
        let plain = step_words::handshake(name, self.name(last.from.peer()), finished);
        let title = format!("{name}: {}", names.join(", "));
        Some(Step { plain, ..self.step(last.at, last.frame, StepKind::Encrypted, title, String::new()) })
    }

    /// All encrypted data as one step, in the place of the exchanges.
    fn data(&self, tls: &TlsFacts) -> Option<Step> {
        let (at, frame) = tls.data_start.iter().flatten().min().copied()?;
        let [client, server] = self.names;
        let bytes = |side: Side| {
            let least = if tls.lost[side as usize] { "at least " } else { "" };
            format!("{least}{} B", grouped(tls.data_bytes[side as usize]))
        };
        let title = format!("encrypted: {} to {server}, {} back", bytes(Side::Client), bytes(Side::Server));
        let mut plain = format!(
            "From here on {client} and {server} speak encrypted: requests and answers cannot be read without the keys, \
             only how much was sent."
        );
        if tls.is_1_3() {
            plain.push_str(" The rest of the handshake is among it.");
        }
        if tls.is_established() == Some(false) {
            plain.push_str(" The handshake did not come to its end.");
        }
        Some(Step {
            plain,
            ..self.step(at, frame, StepKind::Encrypted, title, "in place of requests".to_owned())
        })
    }

    fn alert(&self, alert: &TlsAlert) -> Step {
        let (name, peer) = (self.name(alert.from), self.name(alert.from.peer()));
        let title = match alert.description {
            Some(_) => format!("{name}: alert {}", alert.name()),
            None => format!("{name}: an encrypted alert"),
        };
        let hint = match alert.level {
            0 => "mostly close_notify",
            1 => "",
            _ => "fatal",
        };
        let mut step = self.step(alert.at, alert.frame, StepKind::Encrypted, title, hint.to_owned());
        step.failure = alert.is_fatal();
        step.plain = step_words::alert(alert, name, peer);
        step
    }

    /// TLS 1.3 encrypts alerts too: only the size of the last record speaks.
    fn alert_sized(&self, tls: &TlsFacts, side: Side) -> Step {
        let (at, frame) = tls.last_at[side as usize];
        let name = self.name(side);
        let title = format!("{name}: a last record of an alert's size");
        let mut plain = format!(
            "TLS 1.3 encrypts its alerts, so what {name} says here is not known. At the end of a connection it is mostly \
             that nothing more follows (close_notify)."
        );
        let mut hint = "mostly close_notify";
        if tls.is_established() == Some(false) {
            plain = format!(
                "{name} ends the handshake with a record of an alert's size: TLS 1.3 encrypts what it says, which may be \
                 that it does not accept the certificate."
            );
            hint = "the handshake did not end";
        }
        Step { plain, ..self.step(at, frame, StepKind::Encrypted, title, hint.to_owned()) }
    }

    fn hand_over(&self) -> Option<Step> {
        let one = self.connection.flow().wire.hand_over.as_ref()?;
        let [client, server] = self.names;
        let became = became(one);
        let title = match one.way {
            HandOverWay::PriorKnowledge => format!("{client} begins in HTTP/2 (prior knowledge)"),
            HandOverWay::Unseen => {
                format!("{client} begins in HTTP/2; what asked for it is not in the capture")
            }
            HandOverWay::Connect | HandOverWay::Upgrade => format!("becomes {became}"),
        };
        let [up, down] = one.bytes.map(grouped);
        let mut hint = format!("then {up} B to {server}, {down} B back");
        if one.ordinal > 0 {
            hint = format!("request {} asked, {hint}", one.ordinal);
        }
        let plain = step_words::hand_over(self.connection.flow(), one, &became, self.names);
        let exchange = self.connection.exchange_at(one.ordinal);
        let step = self.step(one.at, one.frame, StepKind::HandOver, title, hint);
        Some(Step { plain, exchange: exchange.map(|x| x.id), ..step })
    }

    fn aside(&self, said: &SaidAside) -> Step {
        let server = self.names[1];
        let line = said.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let clean = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
        };
        let mut start: String = clean(line.trim()).chars().take(MAX_TITLE).collect();
        if start.chars().count() < said.text.trim().chars().count() {
            start.push('…');
        }
        let text = clean(said.text.trim());
        let more = said.bytes.saturating_sub(said.text.len() as u64);
        let cut = if more > 0 { format!(" … and {}", counted(more, "more byte")) } else { String::new() };
        let plain = format!(
            "{server} wrote this to FastCGI's STDERR beside its answer to request {}, for the log of who asked: {text}{cut}",
            said.ordinal
        );
        let exchange = self.connection.exchange_at(said.ordinal).map(|x| x.id);
        let hint = format!("request {}", said.ordinal);
        let title = format!("{server}: STDERR {start}");
        Step { plain, exchange, ..self.step(said.at, said.frame, StepKind::Aside, title, hint) }
    }
}

/// Those that there are, with commas.
fn joined(parts: [Option<String>; 3]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
