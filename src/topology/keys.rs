//! Hashes of requests that are comparable across captures, and the request ids that proxies pass on.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::http::{CaptureFacts, Exchange, NameId};

/// Seeds the hashes here: fixed, so that all runs agree.
const SEED: u64 = 0x7061_7261_6c6c_656c;

/// Request headers whose whole value names one request, best first. Names in lower case.
const ID_HEADERS: [&str; 11] = [
    "x-request-id",
    "x-correlation-id",
    "request-id",
    "x-amzn-trace-id",
    "x-b3-traceid",
    "x-trace-id",
    "traceparent",
    "x-amz-cf-id",
    "b3",
    "uber-trace-id",
    "x-cloud-trace-context",
];

/// Hash of the request's method and target, the target as a proxy may normalise it.
pub(crate) fn request_key(facts: &CaptureFacts, exchange: &Exchange) -> u64 {
    hash2(facts.method(exchange.method).as_bytes(), &normal(facts.text_bytes(exchange.target)))
}

/// [`request_key`] and [`suffix_key`] of a request.
pub(crate) fn target_keys(facts: &CaptureFacts, exchange: &Exchange) -> (u64, u64) {
    let method = facts.method(exchange.method).as_bytes();
    let target = normal(facts.text_bytes(exchange.target));
    (hash2(method, &target), hash2(method, last_segment(&target)))
}

/// Whether the capture misses bytes of a request's body, or its head's end, as behind a small snap length: another capture
/// may hold all of the same request.
pub(crate) fn lacks_body(exchange: &Exchange) -> bool {
    let request = &exchange.request;
    request.is_present() && (request.head_bytes == 0 || request.body_bytes > 0 && request.body_crc == 0)
}

/// Whether that is so of any request of a capture.
pub(crate) fn lacks_bodies(facts: &CaptureFacts) -> bool {
    facts.exchanges.iter().any(lacks_body)
}

/// A target without scheme and authority, with `%XX` decoded and repeated slashes of the path as one: proxies
/// pass a target on in any of these spellings (RFC 3986, section 6.2.2; nginx's `merge_slashes`).
fn normal(target: &[u8]) -> Cow<'_, [u8]> {
    let mut target = target;
    if !target.starts_with(b"/")
        && let Some(at) = memchr::memmem::find(target, b"://")
    {
        let authority = &target[at + 3..];
        target = memchr::memchr(b'/', authority).map_or(b"/", |path| &authority[path..]);
    }
    if is_plain(target) {
        return Cow::Borrowed(target);
    }
    let mut out = Vec::with_capacity(target.len());
    let (mut at, mut in_path) = (0, true);
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let Some(&byte) = target.get(at) {
        at += 1;
        in_path &= byte != b'?';
        let coded = target.get(at..at + 2).filter(|_| byte == b'%');
        if let Some((high, low)) = coded.and_then(|pair| Some((digit(pair[0])?, digit(pair[1])?))) {
            out.push((high * 16 + low) as u8);
            at += 2;
        } else if !(in_path && byte == b'/' && out.last() == Some(&b'/')) {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

/// Whether nothing in a target is coded or repeated. Targets are short: looked at in blocks, without a branch for each
/// byte, they are over before a searcher is set up.
fn is_plain(target: &[u8]) -> bool {
    const BLOCK: usize = 16;
    // With the byte behind, which may make a pair with the last one.
    let is_odd = |block: &[u8; BLOCK + 1]| {
        block[..BLOCK]
            .iter()
            .zip(&block[1..])
            .fold(false, |odd, (&byte, &next)| odd | (byte == b'%') | ((byte == b'/') & (next == b'/')))
    };
    let mut rest = target;
    while let Some(block) = rest.first_chunk() {
        if is_odd(block) {
            return false;
        }
        rest = &rest[BLOCK..];
    }
    // The bytes behind the last whole block are looked at together with some before them.
    let end = target.last_chunk().copied().unwrap_or_else(|| {
        let mut end = [0; BLOCK + 1];
        end[..target.len()].copy_from_slice(target);
        end
    });
    !is_odd(&end)
}

/// Hash of the method and the target from its last `/` on: equal also when a hop cut or added a prefix.
pub(crate) fn suffix_key(facts: &CaptureFacts, exchange: &Exchange) -> u64 {
    let target = normal(facts.text_bytes(exchange.target));
    hash2(facts.method(exchange.method).as_bytes(), last_segment(&target))
}

/// A target from the last `/` of its path on.
fn last_segment(target: &[u8]) -> &[u8] {
    let path_end = memchr::memchr(b'?', target).unwrap_or(target.len());
    &target[memchr::memrchr(b'/', &target[..path_end]).unwrap_or(0)..]
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

/// Id headers looked for in all; further ones that might be ids are not.
pub(crate) const MOST_IDS: usize = 16;
/// Exchanges of each capture that are looked at to learn which headers are ids.
const LEARNT_FROM: usize = 4_096;
/// Values that a header which nobody knows must at least have to count as an id.
const LEAST_VALUES: usize = 8;
/// A header known for ids has one value for no more than so many requests: a load generator may give all of them one.
const MOST_OF_A_VALUE: usize = 16;
/// Headers whose values may all differ without naming a request.
const NEVER_IDS: [&str; 8] = [
    "content-length",
    "range",
    "date",
    "if-modified-since",
    "if-unmodified-since",
    "if-none-match",
    "if-match",
    "content-md5",
];

/// The names of request headers that name one request: those known for it whose values are not the same all the time, and
/// those whose values in these captures are (nearly) all different. Whether two hops share the ids is for others to find out.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdHeaders {
    /// Names in lower case, best first.
    names: Vec<String>,
}

impl IdHeaders {
    /// Learns the names from the captures.
    pub(crate) fn learn(captures: &[Arc<CaptureFacts>]) -> Self {
        let (mut learnt, mut varied) = (BTreeSet::<&str>::new(), BTreeSet::<&str>::new());
        for facts in captures {
            let step = facts.exchanges.len().div_ceil(LEARNT_FROM).max(1);
            let mut values: BTreeMap<NameId, Vec<u64>> = BTreeMap::new();
            for exchange in facts.exchanges.iter().step_by(step) {
                for digest in facts.headers(exchange) {
                    values.entry(digest.name()).or_default().push(digest.value());
                }
            }
            for (name, mut list) in values {
                let total = list.len();
                list.sort_unstable();
                list.dedup();
                // A retried request repeats its id, and a capture may hold several links that carry it.
                if list.len() >= LEAST_VALUES && list.len() * 4 >= total {
                    learnt.insert(facts.name(name));
                }
                if list.len() * MOST_OF_A_VALUE >= total {
                    varied.insert(facts.name(name));
                }
            }
        }
        let is_known = |name: &&str| ID_HEADERS.contains(name);
        let known = ID_HEADERS.into_iter().filter(|name| varied.contains(name));
        let others = learnt.iter().copied().filter(|name| !is_known(name) && !NEVER_IDS.contains(name));
        Self { names: known.chain(others).take(MOST_IDS).map(str::to_owned).collect() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The same names as one capture numbers them.
    pub(crate) fn of(&self, facts: &CaptureFacts) -> IdNames {
        let mut names = [None; MOST_IDS];
        for (slot, name) in names.iter_mut().zip(&self.names) {
            *slot = facts.find_name(name);
        }
        IdNames(names)
    }
}

/// The id headers as one capture numbers them, by rank.
#[derive(Clone, Debug)]
pub(crate) struct IdNames([Option<NameId>; MOST_IDS]);

impl IdNames {
    /// The ids of an exchange by rank; 0 where the header is absent. Of several the first: a hop that adds its own behind
    /// the one that it was asked with (Varnish) is linked by that, and its own may be another request's elsewhere.
    pub(crate) fn ids(&self, facts: &CaptureFacts, exchange: &Exchange) -> [u64; MOST_IDS] {
        let mut ids = [0; MOST_IDS];
        if self.0.iter().all(Option::is_none) {
            return ids;
        }
        for digest in facts.headers(exchange) {
            for (slot, name) in ids.iter_mut().zip(&self.0) {
                if *slot == 0 && *name == Some(digest.name()) {
                    *slot = digest.value().max(1);
                }
            }
        }
        ids
    }

    /// The id of an exchange with one rank; 0 where the header is absent.
    pub(crate) fn id(&self, rank: usize, facts: &CaptureFacts, exchange: &Exchange) -> u64 {
        let Some(name) = self.0[rank] else { return 0 };
        let named = facts.headers(exchange).iter().find(|digest| digest.name() == name);
        named.map_or(0, |digest| digest.value().max(1))
    }

    /// The best id of an exchange: its rank and value.
    pub(crate) fn best(&self, facts: &CaptureFacts, exchange: &Exchange) -> Option<(usize, u64)> {
        self.ids(facts, exchange).into_iter().enumerate().find(|(_, id)| *id != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_a_proxy_may_change_are_one_target() {
        for (one, other) in [
            ("http://shop.example/a%20b", "/a b"),
            ("/a//b///c?x=//", "/a/b/c?x=//"),
            ("http://shop.example", "/"),
            ("/%zz%4", "/%zz%4"),
            ("/as-long-as-one-block//", "/as-long-as-one-block/"),
            ("/in-the-second-block-%61", "/in-the-second-block-a"),
        ] {
            assert_eq!(normal(one.as_bytes()), normal(other.as_bytes()), "{one}");
        }
        assert_ne!(normal(b"/a/b"), normal(b"/a/c"));
        assert_ne!(normal(b"/a?x=//"), normal(b"/a?x=/"));
    }

    #[test]
    fn an_id_header_is_learnt_where_nobody_knows_it() {
        let mut script = crate::testing::Script::new("a.pcap");
        let conn = script.connection(0, "10.0.0.1:3000", "10.0.0.2:80", 1);
        for n in 0..12 {
            let (id, length) = (format!("{n}-{}", n * 7), format!("{}", 100 + n));
            let headers = [("x-shop-ref", id.as_str()), ("content-length", &length), ("accept", "*/*")];
            script.request(conn, n * 1_000, "GET", "/", &headers, "");
        }
        let headers = IdHeaders::learn(&[script.finish()]);
        assert_eq!(headers.names, ["x-shop-ref"]);
    }
}
