//! What a connection carries beside its exchanges, as it lies in the session file.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::file::SideName;
use crate::capture::CaptureTime;
use crate::http::{
    FirstBytes, HandOver, HandOverWay, Protocol, ProxyHeader, SaidAside, TlsAlert, TlsFacts, TlsMessage,
    TlsStep, WireFacts,
};
use crate::tcp::Side;

/// Most steps, alerts and texts that are taken from a file.
const MAX_LISTED: usize = 1024;

/// When, and in which packet.
type Place = (i64, u32);

/// All of it; absent where there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileWire {
    /// Whether the server began with frames of HTTP/2.
    #[serde(skip_serializing_if = "is_false")]
    pub answers_http2: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<FileProxy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hand_over: Option<FileHandOver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<FileTls>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<FileAside>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileProxy {
    pub version: u8,
    pub place: Place,
    #[serde(default)]
    pub own: bool,
    #[serde(default)]
    pub ends: Option<(SocketAddr, SocketAddr)>,
    #[serde(default)]
    pub extras: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<FileProxy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileHandOver {
    #[serde(with = "WayName")]
    pub way: HandOverWay,
    /// As reports name it.
    pub protocol: String,
    pub to: String,
    pub ordinal: u32,
    pub place: Place,
    pub bytes: (u64, u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct FileTls {
    pub server_name: Option<String>,
    pub alpn_offered: Option<String>,
    pub alpn: Option<String>,
    pub offered: Option<u16>,
    pub version: Option<u16>,
    pub cipher: Option<u16>,
    pub resumed: bool,
    pub client_went_on: bool,
    pub blind: bool,
    pub lost: (bool, bool),
    pub records: (u32, u32),
    pub data_bytes: (u64, u64),
    pub data_start: (Option<Place>, Option<Place>),
    pub last_record: (u16, u16),
    pub last_at: (Place, Place),
    pub steps: Vec<FileTlsStep>,
    pub alerts: Vec<FileAlert>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileTlsStep {
    #[serde(with = "SideName")]
    pub from: Side,
    pub place: Place,
    #[serde(with = "MessageName")]
    pub message: TlsMessage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileAlert {
    #[serde(with = "SideName")]
    pub from: Side,
    pub place: Place,
    pub level: u8,
    pub description: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileAside {
    pub ordinal: u32,
    pub place: Place,
    pub text: String,
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HandOverWay")]
enum WayName {
    Upgrade,
    Connect,
    PriorKnowledge,
    Unseen,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "TlsMessage")]
enum MessageName {
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
    Finished,
    CertificateStatus,
    ChangeCipherSpec,
    Encrypted,
    Other,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

fn place(at: CaptureTime, frame: u32) -> Place {
    (at.0, frame)
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

impl FileWire {
    /// What is to be kept of these facts; `None` where that is nothing.
    pub(super) fn of(wire: &WireFacts) -> Option<Self> {
        let file = Self {
            answers_http2: wire.first(Side::Server) == FirstBytes::Http2Frames,
            proxy: wire.proxy.as_deref().map(FileProxy::of),
            hand_over: wire.hand_over.as_deref().map(|one| FileHandOver {
                way: one.way,
                protocol: one.protocol.name().to_owned(),
                to: one.to.to_string(),
                ordinal: one.ordinal,
                place: place(one.at, one.frame),
                bytes: one.bytes.into(),
            }),
            tls: wire.tls.as_deref().map(FileTls::of),
            aside: wire.aside.iter().map(FileAside::of).collect(),
        };
        (file != Self::default()).then_some(file)
    }

    /// The facts.
    pub(super) fn facts(&self) -> WireFacts {
        let first = if self.answers_http2 { FirstBytes::Http2Frames } else { FirstBytes::None };
        WireFacts {
            first_bytes: [FirstBytes::None, first],
            proxy: self.proxy.as_ref().map(|proxy| Box::new(proxy.facts())),
            hand_over: self.hand_over.as_ref().map(|one| {
                Box::new(HandOver {
                    way: one.way,
                    protocol: Protocol::named(&one.protocol),
                    to: one.to.as_str().into(),
                    ordinal: one.ordinal,
                    at: CaptureTime(one.place.0),
                    frame: one.place.1,
                    bytes: one.bytes.into(),
                })
            }),
            tls: self.tls.as_ref().map(|tls| Box::new(tls.facts())),
            aside: self.aside.iter().take(MAX_LISTED).map(FileAside::facts).collect(),
        }
    }

    /// All times in it.
    pub(super) fn times(&self) -> impl Iterator<Item = i64> + '_ {
        let tls = self.tls.iter().flat_map(|tls| {
            let starts = [tls.data_start.0, tls.data_start.1, Some(tls.last_at.0), Some(tls.last_at.1)];
            let steps = tls.steps.iter().map(|step| step.place);
            steps.chain(tls.alerts.iter().map(|alert| alert.place)).chain(starts.into_iter().flatten())
        });
        let others = self.proxy.iter().flat_map(FileProxy::places);
        let others = others.chain(self.hand_over.iter().map(|one| one.place));
        others.chain(self.aside.iter().map(|said| said.place)).chain(tls).map(|(at, _)| at)
    }
}

impl FileProxy {
    fn of(proxy: &ProxyHeader) -> Self {
        let extra = |(name, value): &(&str, Box<str>)| ((*name).to_owned(), value.to_string());
        Self {
            version: proxy.version,
            place: place(proxy.at, proxy.frame),
            own: proxy.own,
            ends: proxy.addresses,
            extras: proxy.extras.iter().map(extra).collect(),
            further: proxy.further.iter().map(Self::of).collect(),
        }
    }

    /// The header, and those that follow the first one.
    fn facts(&self) -> ProxyHeader {
        let alone = |one: &Self| ProxyHeader {
            version: one.version,
            at: CaptureTime(one.place.0),
            frame: one.place.1,
            own: one.own,
            addresses: one.ends,
            extras: extras(&one.extras),
            further: Vec::new(),
        };
        ProxyHeader { further: self.further.iter().take(MAX_LISTED).map(alone).collect(), ..alone(self) }
    }

    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        std::iter::once(self.place).chain(self.further.iter().map(|one| one.place))
    }
}

/// Those of names that the program gives.
fn extras(file: &[(String, String)]) -> Box<[(&'static str, Box<str>)]> {
    let known = |name: &str| crate::http::PROXY_EXTRAS.into_iter().find(|known| *known == name);
    file.iter()
        .take(MAX_LISTED)
        .filter_map(|(name, value)| Some((known(name)?, value.as_str().into())))
        .collect()
}

impl FileTls {
    fn of(tls: &TlsFacts) -> Self {
        let start = tls.data_start.map(|start| start.map(|(at, frame)| place(at, frame)));
        let step = |step: &TlsStep| FileTlsStep {
            from: step.from,
            place: place(step.at, step.frame),
            message: step.message,
        };
        let alert = |alert: &TlsAlert| FileAlert {
            from: alert.from,
            place: place(alert.at, alert.frame),
            level: alert.level,
            description: alert.description,
        };
        Self {
            server_name: owned(tls.server_name.as_deref()),
            alpn_offered: owned(tls.alpn_offered.as_deref()),
            alpn: owned(tls.alpn.as_deref()),
            offered: tls.offered,
            version: tls.version,
            cipher: tls.cipher,
            resumed: tls.resumed,
            client_went_on: tls.client_went_on,
            blind: tls.blind,
            lost: tls.lost.into(),
            records: tls.records.into(),
            data_bytes: tls.data_bytes.into(),
            data_start: start.into(),
            last_record: tls.last_record.into(),
            last_at: tls.last_at.map(|(at, frame)| place(at, frame)).into(),
            steps: tls.steps.iter().map(step).collect(),
            alerts: tls.alerts.iter().map(alert).collect(),
        }
    }

    fn facts(&self) -> TlsFacts {
        let moment = |(at, frame): Place| (CaptureTime(at), frame);
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let step = |step: &FileTlsStep| TlsStep {
            from: step.from,
            at: CaptureTime(step.place.0),
            frame: step.place.1,
            message: step.message,
        };
        let alert = |alert: &FileAlert| TlsAlert {
            from: alert.from,
            at: CaptureTime(alert.place.0),
            frame: alert.place.1,
            level: alert.level,
            description: alert.description,
        };
        TlsFacts {
            server_name: text(&self.server_name),
            alpn_offered: text(&self.alpn_offered),
            alpn: text(&self.alpn),
            offered: self.offered,
            version: self.version,
            cipher: self.cipher,
            resumed: self.resumed,
            client_went_on: self.client_went_on,
            blind: self.blind,
            lost: self.lost.into(),
            records: self.records.into(),
            data_bytes: self.data_bytes.into(),
            data_start: <[_; 2]>::from(self.data_start).map(|start| start.map(moment)),
            last_record: self.last_record.into(),
            last_at: <[_; 2]>::from(self.last_at).map(moment),
            steps: self.steps.iter().take(MAX_LISTED).map(step).collect(),
            alerts: self.alerts.iter().take(MAX_LISTED).map(alert).collect(),
        }
    }
}

impl FileAside {
    fn of(said: &SaidAside) -> Self {
        Self {
            ordinal: said.ordinal,
            place: place(said.at, said.frame),
            text: said.text.to_string(),
            bytes: said.bytes,
        }
    }

    fn facts(&self) -> SaidAside {
        SaidAside {
            ordinal: self.ordinal,
            at: CaptureTime(self.place.0),
            frame: self.place.1,
            text: self.text.as_str().into(),
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::analysis::{Analysis, analyse};
    use crate::diagnose::steps;
    use crate::load::{Progress, load};
    use crate::session::{Annotation, Session, Snapshot, Target};

    #[test]
    fn the_steps_of_a_snapshot_are_those_of_its_captures() {
        for name in ["tls", "websocket", "proxy-v2", "fastcgi", "fastcgi-refused"] {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/recorded-{name}.pcap"));
            let before: Analysis = analyse(load(&[path], &Progress::default()), &Default::default());
            let note = |id| Annotation { target: Target::Connection(id), text: "kept".to_owned() };
            let annotations = before.connections().map(|connection| note(connection.id)).collect();
            let session = Session { annotations, ..Session::default() };
            let text = Snapshot::of(&before, &session, &[]).to_ron().unwrap();
            let (after, _) = Snapshot::from_ron(&text).unwrap().into_analysis();
            assert_eq!(after.connections().len(), before.connections().len());
            for connection in before.connections() {
                assert_eq!(steps(&after, connection.id), steps(&before, connection.id), "{name}");
            }
        }
    }

    #[test]
    fn a_time_beyond_reason_is_refused_here_too() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/recorded-proxy-v2.pcap");
        let analysis = analyse(load(&[path], &Progress::default()), &Default::default());
        let annotations = analysis
            .connections()
            .map(|connection| Annotation {
                target: Target::Connection(connection.id),
                text: "kept".to_owned(),
            })
            .collect();
        let text =
            Snapshot::of(&analysis, &Session { annotations, ..Session::default() }, &[]).to_ron().unwrap();
        let proxy = text.find("proxy: ").unwrap();
        let place = text[proxy..].find("place: (").unwrap() + proxy + "place: (".len();
        let broken = format!("{}9{}", &text[..place], &text[place..]);
        assert!(Snapshot::from_ron(&text).is_ok());
        assert!(Snapshot::from_ron(&broken).is_err());
    }
}
