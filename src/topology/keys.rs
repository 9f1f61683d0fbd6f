//! Hashes of requests that are comparable across captures, and the request ids that proxies pass on.

use std::hash::{BuildHasher, Hasher};

use crate::http::{CaptureFacts, Exchange, NameId};

/// Seeds the hashes here: fixed, so that all runs agree.
const SEED: u64 = 0x7061_7261_6c6c_656c;

/// Request headers whose whole value names one request, best first. Names in lower case.
const ID_HEADERS: [&str; 8] = [
    "x-request-id",
    "x-correlation-id",
    "request-id",
    "x-amzn-trace-id",
    "x-b3-traceid",
    "x-trace-id",
    "traceparent",
    "x-amz-cf-id",
];

/// Hash of the request's method and target.
pub(crate) fn request_key(facts: &CaptureFacts, exchange: &Exchange) -> u64 {
    hash2(facts.method(exchange.method).as_bytes(), facts.text_bytes(exchange.target))
}

/// Hash of the method and the target from its last `/` on: equal also when a hop cut or added a prefix.
pub(crate) fn suffix_key(facts: &CaptureFacts, exchange: &Exchange) -> u64 {
    let target = facts.text_bytes(exchange.target);
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    let from = memchr::memrchr(b'/', &target[..path_end]).unwrap_or(0);
    hash2(facts.method(exchange.method).as_bytes(), &target[from..])
}

/// Hash of the first segment of the target's path, without digits: what kind of resource it is.
pub(crate) fn shape_key(facts: &CaptureFacts, exchange: &Exchange) -> u64 {
    let target = facts.text_bytes(exchange.target);
    let path = target.strip_prefix(b"/").unwrap_or(target);
    let end = path.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(path.len());
    let mut hasher = foldhash::quality::FixedState::with_seed(SEED).build_hasher();
    for byte in path[..end].iter().filter(|b| !b.is_ascii_digit()) {
        hasher.write_u8(*byte);
    }
    hasher.finish()
}

fn hash2(first: &[u8], second: &[u8]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(SEED).build_hasher();
    hasher.write(first);
    hasher.write_u8(0);
    hasher.write(second);
    hasher.finish()
}

/// Hash of a text; 0 stands for none.
pub(crate) fn text_hash(text: &str) -> u64 {
    hash2(text.as_bytes(), b"").max(1)
}

/// The id headers that one capture knows, as its own names.
#[derive(Clone, Debug)]
pub(crate) struct IdNames([Option<NameId>; ID_HEADERS.len()]);

impl IdNames {
    /// Number of id headers looked for; ranks are below it.
    pub(crate) const COUNT: usize = ID_HEADERS.len();

    /// Looks the names up in a capture.
    pub(crate) fn of(facts: &CaptureFacts) -> Self {
        Self(ID_HEADERS.map(|name| facts.find_name(name)))
    }

    /// The ids of an exchange by rank; 0 where the header is absent.
    pub(crate) fn ids(&self, facts: &CaptureFacts, exchange: &Exchange) -> [u64; Self::COUNT] {
        let mut ids = [0; Self::COUNT];
        if self.0.iter().all(Option::is_none) {
            return ids;
        }
        for digest in facts.headers(exchange) {
            for (slot, name) in ids.iter_mut().zip(&self.0) {
                if *name == Some(digest.name()) {
                    *slot = digest.value().max(1);
                }
            }
        }
        ids
    }

    /// The best id of an exchange: its rank and value.
    pub(crate) fn best(&self, facts: &CaptureFacts, exchange: &Exchange) -> Option<(usize, u64)> {
        self.ids(facts, exchange).into_iter().enumerate().find(|(_, id)| *id != 0)
    }
}
