//! Headers of requests as digests, comparable across captures.

use std::hash::{BuildHasher, Hasher};

use super::NameId;

/// A header of a request as a digest: its name, and 48 bits of a hash of its trimmed value.
///
/// Equal values have equal digests in all captures of one run; which name it is differs by capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderDigest(u64);

/// Seeds the header hash: fixed, so that all captures and runs agree.
const DIGEST_SEED: u64 = 0x5e_ed0f_4095_c09e;

impl HeaderDigest {
    /// The digest of a header of this (lower-case) name: of the part that names the same thing at every hop.
    pub fn of(id: NameId, name: &str, value: &[u8]) -> Self {
        Self::new(id, same_at_every_hop(name, value))
    }

    /// The digest of a value.
    pub fn new(name: NameId, value: &[u8]) -> Self {
        let mut hasher = foldhash::quality::FixedState::with_seed(DIGEST_SEED).build_hasher();
        hasher.write(value.trim_ascii());
        Self((hasher.finish() << 16) | u64::from(name.0))
    }

    /// The header's name.
    #[inline]
    pub fn name(self) -> NameId {
        NameId(self.0 as u16)
    }

    /// The hash of its value, comparable across captures.
    #[inline]
    pub fn value(self) -> u64 {
        self.0 >> 16
    }
}

/// The part of a header's value that hops pass on: a trace's id without the span that each of them makes anew (W3C
/// Trace Context, section 3.2; B3; Jaeger; X-Ray; Cloud Trace), and the client that the last hop appended.
fn same_at_every_hop<'a>(name: &str, value: &'a [u8]) -> &'a [u8] {
    let until = |stop: u8| value.split(|byte| *byte == stop).next().unwrap_or(value);
    match name {
        "traceparent" => {
            value.split(|byte| *byte == b'-').nth(1).filter(|id| id.len() == 32).unwrap_or(value)
        }
        "b3" => until(b'-'),
        "uber-trace-id" => until(b':'),
        "x-cloud-trace-context" => until(b'/'),
        "x-amzn-trace-id" => value
            .split(|byte| *byte == b';')
            .find(|part| part.trim_ascii().starts_with(b"Root="))
            .unwrap_or(value),
        "x-forwarded-for" => value.rsplit(|byte| *byte == b',').next().unwrap_or(value),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_what_hops_pass_on() {
        let same = |name: &str, one: &str, other: &str| {
            let digest = |value: &str| HeaderDigest::of(NameId(1), name, value.as_bytes());
            digest(one) == digest(other)
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = |span: &str| format!("00-{trace}-{span}-01");
        assert!(same("traceparent", &span("b7ad6b7169203331"), &span("00f067aa0ba902b7")));
        assert!(!same("traceparent", "00-short-1", "00-short-2"));
        assert!(same("x-amzn-trace-id", "Root=1-67;Parent=a", "Self=2; Root=1-67"));
        assert!(same("x-forwarded-for", "10.0.0.9, 10.0.0.1", "10.0.0.1"));
        assert!(!same("x-other", "a, b", "b"));
    }

    #[test]
    fn a_digest_ignores_space_around_the_value_and_keeps_the_name() {
        let digest = HeaderDigest::new(NameId(7), b" abc\t");
        assert_eq!(digest.name(), NameId(7));
        assert_eq!(digest.value(), HeaderDigest::new(NameId(9), b"abc").value());
        assert_ne!(digest.value(), HeaderDigest::new(NameId(7), b"abd").value());
    }
}
