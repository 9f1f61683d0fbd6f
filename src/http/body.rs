//! Bodies for display: content codings (RFC 9110, section 8.4.1) taken off, whatever the bytes, within a limit.

use std::io::{self, Read};

/// A body is decoded up to this many bytes; a small one may stand for gigabytes.
pub const MAX_DECODED: usize = 1 << 20;
/// More codings than this on one body are not taken off; real ones have one, seldom two.
const MOST_CODINGS: usize = 4;
/// How much a decoder is asked for at once, in bytes.
const STEP: usize = 16 << 10;

/// Why decoding ended before the body did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// [`MAX_DECODED`] bytes were decoded; there is more.
    Limit,
    /// The coded bytes end too early: cut, or not captured.
    Cut,
    /// The bytes are not what this coding makes.
    Damaged(String),
    /// A coding that is not known here.
    Unknown(String),
}

/// A body without its codings, as far as these could be taken off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// What came out; the bytes as they were when nothing could be decoded.
    pub bytes: Vec<u8>,
    /// The codings that were taken off, the outermost first.
    pub codings: Vec<String>,
    /// Why it ended early, when it did.
    pub stopped: Option<Stop>,
}

/// Takes the codings off a body. `codings` lists them in the order in which the sender applied them, as
/// `Content-Encoding` does; names are case-insensitive, and `identity` stands for none.
pub fn decode<'a>(body: &[u8], codings: impl DoubleEndedIterator<Item = &'a str>) -> Decoded {
    let mut decoded = Decoded { bytes: body.to_vec(), ..Decoded::default() };
    let names = codings.rev().map(|name| name.trim().to_ascii_lowercase());
    for name in names.filter(|name| !name.is_empty() && name != "identity").take(MOST_CODINGS) {
        let Some((bytes, end)) = take_off(&name, &decoded.bytes) else {
            decoded.stopped = decoded.stopped.or(Some(Stop::Unknown(name)));
            return decoded;
        };
        let stop = match end {
            End::Whole => None,
            End::Limit => Some(Stop::Limit),
            End::Failed(io::ErrorKind::UnexpectedEof) => Some(Stop::Cut),
            End::Failed(_) => Some(Stop::Damaged(name.clone())),
        };
        if bytes.is_empty() && stop.is_some() {
            // Not a byte came out: what was sent tells more.
            decoded.stopped = decoded.stopped.or(stop);
            return decoded;
        }
        decoded.bytes = bytes;
        decoded.codings.push(name);
        // What stopped the outermost coding is why all others end early.
        decoded.stopped = decoded.stopped.or(stop);
    }
    decoded
}

/// How a decoder came to its end.
enum End {
    Whole,
    Limit,
    Failed(io::ErrorKind),
}

/// What one coding hides; `None` for one that is not known.
fn take_off(coding: &str, body: &[u8]) -> Option<(Vec<u8>, End)> {
    Some(match coding {
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(body)),
        // RFC 9110 means the zlib format, and tells that some send the bare data instead.
        "deflate" if is_zlib(body) => read(flate2::read::ZlibDecoder::new(body)),
        "deflate" => read(flate2::read::DeflateDecoder::new(body)),
        "br" => read(brotli_decompressor::Decompressor::new(body, STEP)),
        "zstd" => match ruzstd::decoding::StreamingDecoder::new(body) {
            Ok(decoder) => read(decoder),
            Err(_) => (Vec::new(), End::Failed(io::ErrorKind::InvalidData)),
        },
        _ => return None,
    })
}

/// Whether bytes begin with a zlib header (RFC 1950, section 2.2).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31))
}

/// Reads to the end, to [`MAX_DECODED`] or to an error, and keeps what came before it.
fn read(mut decoder: impl Read) -> (Vec<u8>, End) {
    let (mut out, mut step) = (Vec::new(), vec![0; STEP]);
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return (out, End::Whole),
            Ok(len) => {
                let room = MAX_DECODED - out.len();
                out.extend_from_slice(&step[..len.min(room)]);
                if len > room {
                    return (out, End::Limit);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (out, End::Failed(error.kind())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"{\"item\": 77, \"name\": \"a thing that repeats, that repeats, that repeats\"}";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bare_deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    /// "hello, brotli" as the reference encoder writes it.
    const BROTLI: &[u8] = b"\x0b\x06\x80hello, brotli\x03";

    #[test]
    fn every_coding_is_taken_off() {
        for (coding, coded) in [
            ("gzip", gzip(TEXT)),
            ("X-GZip", gzip(TEXT)),
            ("deflate", zlib(TEXT)),
            ("deflate", bare_deflate(TEXT)),
            ("zstd", zstd(TEXT)),
        ] {
            let decoded = decode(&coded, [coding].into_iter());
            assert_eq!((decoded.bytes.as_slice(), &decoded.stopped), (TEXT, &None), "{coding}");
            assert_eq!(decoded.codings, [coding.to_ascii_lowercase()]);
        }
        let plain = decode(TEXT, ["identity"].into_iter());
        assert_eq!((plain.bytes.as_slice(), plain.codings.len(), plain.stopped), (TEXT, 0, None));
    }

    #[test]
    fn several_codings_come_off_from_the_last_to_the_first() {
        let decoded = decode(&zlib(&gzip(TEXT)), ["gzip", "deflate"].into_iter());
        assert_eq!((decoded.bytes.as_slice(), decoded.stopped), (TEXT, None));
        assert_eq!(decoded.codings, ["deflate", "gzip"]);
    }

    #[test]
    fn what_cannot_be_decoded_is_said_and_what_could_is_kept() {
        // Text that does not compress, so that its first half stands in the first half of the coded bytes.
        let text: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let coded = gzip(&text);
        let cut = decode(&coded[..coded.len() / 2], ["gzip"].into_iter());
        assert_eq!(cut.stopped, Some(Stop::Cut));
        assert!(!cut.bytes.is_empty() && text.starts_with(&cut.bytes));
        let wrong = decode(TEXT, ["gzip"].into_iter());
        assert_eq!((wrong.bytes.as_slice(), wrong.stopped), (TEXT, Some(Stop::Damaged("gzip".to_owned()))));
        let unknown = decode(TEXT, ["gzip", "compress"].into_iter());
        assert_eq!(
            (unknown.bytes.as_slice(), unknown.stopped),
            (TEXT, Some(Stop::Unknown("compress".to_owned())))
        );
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b'0'; 4 * MAX_DECODED]);
        let decoded = decode(&bomb, ["gzip"].into_iter());
        assert_eq!((decoded.bytes.len(), decoded.stopped), (MAX_DECODED, Some(Stop::Limit)));
    }

    #[test]
    fn brotli_is_read() {
        let decoded = decode(BROTLI, ["br"].into_iter());
        assert_eq!(
            (String::from_utf8_lossy(&decoded.bytes).as_ref(), decoded.stopped),
            ("hello, brotli", None)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_give_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), which in 0..5usize) {
            let coding = ["gzip", "deflate", "br", "zstd", "other"][which];
            prop_assert!(decode(&bytes, [coding].into_iter()).bytes.len() <= MAX_DECODED.max(bytes.len()));
        }
    }
}
