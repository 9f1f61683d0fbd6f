//! A user, a proxy and an app, packet for packet through the whole pipeline: what their bytes lead to.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use crate::analysis::{Analysis, analyse_with_logs};
use crate::capture::testing::{Conversation, PcapBuilder};
use crate::capture::{Reader, TcpFlags};
use crate::http::load_from;
use crate::logs::LogFile;
use crate::topology::{LaneOverride, Overrides};

use super::Severity;

pub(crate) const FIN: u8 = TcpFlags::FIN | TcpFlags::ACK;
pub(crate) const RST: u8 = TcpFlags::RST | TcpFlags::ACK;

/// Who sends: the user, the proxy towards the user, the proxy towards the app, the app.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    User,
    Down,
    Up,
    App,
}

/// A capture of both sides of the proxy. A first request is answered by everybody, so that the chain is known.
pub(crate) struct Wire {
    files: [PcapBuilder; 2],
    ends: [Conversation; 2],
    connections: u16,
    now: i64,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self::cut_to(262_144)
    }

    /// The same with a snap length.
    pub(crate) fn cut_to(snap_len: usize) -> Self {
        let ends = [
            Conversation::new("10.0.0.1:40000", "10.0.0.2:80"),
            Conversation::new("10.0.0.2:50000", "10.0.0.3:8000"),
        ];
        let file = || PcapBuilder::new().nanos().snap_len(snap_len);
        let mut wire = Self { files: [file(), file()], ends, connections: 0, now: 0 };
        wire.reconnect();
        let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        for target in ["/first", "/second"] {
            let get = format!("GET {target} HTTP/1.1\r\nHost: shop\r\nX-Request-ID: id-of{target}\r\n\r\n");
            wire.say(Who::User, &get).say(Who::Up, &get).say(Who::App, ok).say(Who::Down, ok);
        }
        wire.end(Who::User, FIN).end(Who::Down, FIN).end(Who::Up, FIN).end(Who::App, FIN).wait(500);
        wire.reconnect();
        wire
    }

    /// Both connections anew, from other ports.
    pub(crate) fn reconnect(&mut self) -> &mut Self {
        for (leg, ends) in self.ends.iter_mut().enumerate() {
            let mut client = ends.ends[0];
            client.set_port(client.port() + 1);
            *ends = Conversation::new(&client.to_string(), &ends.ends[1].to_string());
            ends.handshake(&mut self.files[leg], self.now);
        }
        self.connections += 1;
        self.wait(1)
    }

    /// Time passes, in milliseconds.
    pub(crate) fn wait(&mut self, ms: i64) -> &mut Self {
        self.now += ms * 1_000_000;
        self
    }

    fn send(&mut self, who: Who, flags: u8, bytes: &[u8]) -> &mut Self {
        let (leg, side) = match who {
            Who::User => (0, 0),
            Who::Down => (0, 1),
            Who::Up => (1, 0),
            Who::App => (1, 1),
        };
        for part in bytes.chunks(1400) {
            self.ends[leg].send(&mut self.files[leg], self.now, side, flags, part);
        }
        if bytes.is_empty() {
            self.ends[leg].send(&mut self.files[leg], self.now, side, flags, bytes);
        }
        // The other side has it at once.
        if flags & TcpFlags::RST == 0 {
            self.ends[leg].send(&mut self.files[leg], self.now + 1_000, 1 - side, TcpFlags::ACK, b"");
        }
        self.now += 100_000;
        self
    }

    /// Bytes.
    pub(crate) fn say(&mut self, who: Who, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.send(who, TcpFlags::ACK | 0x08, bytes.as_ref())
    }

    /// A FIN or a RST.
    pub(crate) fn end(&mut self, who: Who, flags: u8) -> &mut Self {
        self.send(who, flags, b"")
    }

    pub(crate) fn analysis(&self) -> Analysis {
        self.analysis_with(Vec::new())
    }

    /// With logs of the proxy.
    pub(crate) fn analysis_with(&self, logs: Vec<Arc<LogFile>>) -> Analysis {
        let facts = self.files.iter().zip(["user.pcap", "app.pcap"]).map(|(file, name)| {
            let reader = Reader::new(Cursor::new(file.build()), None);
            Arc::new(load_from(reader, Path::new(name), &mut |_| true))
        });
        let lane = |name: &str, address: &str| LaneOverride {
            name: name.to_owned(),
            addresses: vec![address.parse().unwrap()],
            serves: Vec::new(),
        };
        let lanes = vec![lane("user", "10.0.0.1"), lane("proxy", "10.0.0.2"), lane("app", "10.0.0.3")];
        analyse_with_logs(facts.collect(), logs, &Overrides { lanes, ..Overrides::default() })
    }

    /// `link kind/cause rule certainty` of everything above a note.
    pub(crate) fn findings(&self) -> Vec<String> {
        let analysis = self.analysis();
        let told = analysis.diagnosis.findings.iter().filter(|finding| finding.severity > Severity::Note);
        told.map(|finding| {
            let link =
                finding.link.map(|link| ["user", "app"].get(usize::from(link.0)).copied().unwrap_or("?"));
            let cause = if finding.cause.is_empty() { String::new() } else { format!("/{}", finding.cause) };
            let words = [&finding.summary, &finding.explanation, &finding.doubt];
            assert!(words.iter().all(|text| !text.contains(['{', '}'])), "{words:?}");
            assert!(finding.fixes.iter().all(|fix| !fix.change.contains("{}")), "{:?}", finding.fixes);
            assert!(!finding.evidence.is_empty(), "{}", finding.kind);
            format!(
                "{} {}{cause} {} {:?}",
                link.unwrap_or("-"),
                finding.kind,
                finding.rule,
                finding.confidence
            )
        })
        .collect()
    }
}
