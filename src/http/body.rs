//! Bodies for display: content codings (RFC 9110, section 8.4.1) taken off, whatever the bytes, within a limit.

use super::unpack::{End, unpack};

/// A body is decoded up to this many bytes; a small one may stand for gigabytes.
pub const MAX_DECODED: usize = 1 << 20;
/// More codings than this on one body are not taken off; real ones have one, seldom two.
pub const MOST_CODINGS: usize = 4;

/// Why decoding ended before the body did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// [`MAX_DECODED`] bytes were decoded; there is more.
    Limit,
    /// The coded bytes end too early: cut, or not captured.
    Cut,
    /// Only the first part of the body was read.
    NotRead,
    /// The bytes are not what this coding makes.
    Damaged(String),
    /// All was decoded, and the checksum of this coding does not fit.
    Checksum(String),
    /// A coding that is not known here.
    Unknown(String),
    /// So many codings, more than [`MOST_CODINGS`].
    TooMany(usize),
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
    /// Bytes behind the end of the coded data, which no decoder heeds.
    pub trailing: usize,
    /// The window of zstd data that is wider than the 8 MB of RFC 9659, in bytes: browsers refuse these.
    pub wide_window: Option<u64>,
}

/// Takes the codings off a body. `codings` lists them in the order in which the sender applied them, as
/// `Content-Encoding` does; names are case-insensitive, and `identity` stands for none. `whole` says whether these are
/// all bytes of the body, or the first ones that were read.
pub fn decode<'a>(body: &[u8], codings: impl DoubleEndedIterator<Item = &'a str>, whole: bool) -> Decoded {
    let mut decoded = Decoded { bytes: body.to_vec(), ..Decoded::default() };
    let names = codings.rev().map(|name| name.trim().to_ascii_lowercase());
    let names: Vec<String> = names.filter(|name| !name.is_empty() && name != "identity").collect();
    let count = names.len();
    for name in names.into_iter().take(MOST_CODINGS) {
        let Some(unpacked) = unpack(&name, &decoded.bytes) else {
            decoded.stopped = decoded.stopped.or(Some(Stop::Unknown(name)));
            return decoded;
        };
        let stop = match unpacked.end {
            End::Whole => None,
            End::Limit => Some(Stop::Limit),
            End::Cut if !whole => Some(Stop::NotRead),
            End::Cut => Some(Stop::Cut),
            End::Damaged => Some(Stop::Damaged(name.clone())),
            End::Checksum => Some(Stop::Checksum(name.clone())),
        };
        let nothing = unpacked.bytes.is_empty() && stop.is_some();
        // What stopped the outermost coding is why all others end early.
        decoded.stopped = decoded.stopped.or(stop);
        if nothing {
            // Not a byte came out: what was sent tells more.
            return decoded;
        }
        decoded.bytes = unpacked.bytes;
        decoded.codings.push(name);
        decoded.trailing += unpacked.trailing;
        decoded.wide_window = decoded.wide_window.or(unpacked.wide_window);
    }
    if count > MOST_CODINGS {
        decoded.stopped = decoded.stopped.or(Some(Stop::TooMany(count)));
    }
    decoded
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
            let decoded = decode(&coded, [coding].into_iter(), true);
            assert_eq!((decoded.bytes.as_slice(), &decoded.stopped), (TEXT, &None), "{coding}");
            assert_eq!(decoded.codings, [coding.to_ascii_lowercase()]);
        }
        let plain = decode(TEXT, ["identity"].into_iter(), true);
        assert_eq!((plain.bytes.as_slice(), plain.codings.len(), plain.stopped), (TEXT, 0, None));
    }

    #[test]
    fn several_codings_come_off_from_the_last_to_the_first() {
        let decoded = decode(&zlib(&gzip(TEXT)), ["gzip", "deflate"].into_iter(), true);
        assert_eq!((decoded.bytes.as_slice(), decoded.stopped), (TEXT, None));
        assert_eq!(decoded.codings, ["deflate", "gzip"]);
    }

    #[test]
    fn what_cannot_be_decoded_is_said_and_what_could_is_kept() {
        // Text that does not compress, so that its first half stands in the first half of the coded bytes.
        let text: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let coded = gzip(&text);
        let cut = decode(&coded[..coded.len() / 2], ["gzip"].into_iter(), true);
        assert_eq!(cut.stopped, Some(Stop::Cut));
        assert!(!cut.bytes.is_empty() && text.starts_with(&cut.bytes));
        let wrong = decode(TEXT, ["gzip"].into_iter(), true);
        assert_eq!((wrong.bytes.as_slice(), wrong.stopped), (TEXT, Some(Stop::Damaged("gzip".to_owned()))));
        let unknown = decode(TEXT, ["gzip", "compress"].into_iter(), true);
        assert_eq!(
            (unknown.bytes.as_slice(), unknown.stopped),
            (TEXT, Some(Stop::Unknown("compress".to_owned())))
        );
    }

    /// Four MiB of "0" as the reference encoder writes them.
    const BROTLI_BOMB: &[u8] = b"\x9b\xff\xff\x3f\xf8\x25\x60\xe2\xb1\x40\x20\xf7\xfe\x07";

    /// A zstd frame of `blocks` runs of 128 KiB of zeros, with a window of `1 << window` bytes (RFC 8878, section 3.1.1.2).
    fn zstd_bomb(blocks: usize, window: u8) -> Vec<u8> {
        let run = (128_u32 << 10) << 3 | 1 << 1;
        let block = |last: u32| [(run | last).to_le_bytes()[..3].to_vec(), vec![0]].concat();
        let header = [&0xfd2f_b528_u32.to_le_bytes()[..], &[0, (window - 10) << 3]].concat();
        [header, block(0).repeat(blocks - 1), block(1)].concat()
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![b'0'; 4 * MAX_DECODED];
        let bombs: [(&str, Vec<u8>); 5] = [
            ("gzip", gzip(&zeros)),
            ("deflate", zlib(&zeros)),
            ("deflate", bare_deflate(&zeros)),
            ("br", BROTLI_BOMB.to_vec()),
            ("zstd", zstd_bomb(32, 17)),
        ];
        for (coding, bomb) in bombs {
            assert!(bomb.len() < 20_000, "{coding}: {}", bomb.len());
            let decoded = decode(&bomb, [coding].into_iter(), true);
            assert_eq!((decoded.bytes.len(), decoded.stopped), (MAX_DECODED, Some(Stop::Limit)), "{coding}");
        }
    }

    #[test]
    fn cut_data_give_what_they_held_and_damaged_data_are_said_to_be() {
        let text: Vec<u8> = (0..400_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (coding, coded) in [
            ("gzip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("deflate", bare_deflate(&text)),
            ("zstd", zstd(&text)),
        ] {
            let half = &coded[..coded.len() / 2];
            let cut = decode(half, [coding].into_iter(), true);
            assert_eq!(cut.stopped, Some(Stop::Cut), "{coding}");
            assert!(
                cut.bytes.len() > 50_000 && text.starts_with(&cut.bytes),
                "{coding}: {}",
                cut.bytes.len()
            );
            assert_eq!(decode(half, [coding].into_iter(), false).stopped, Some(Stop::NotRead), "{coding}");
        }
        let cut = decode(&BROTLI[..8], ["br"].into_iter(), true);
        assert_eq!((cut.bytes.as_slice(), cut.stopped), (&b"hello"[..], Some(Stop::Cut)));
        for (coding, damaged) in [
            ("gzip", [&gzip(TEXT)[..10], &[0xff; 40]].concat()),
            ("deflate", [&zlib(TEXT)[..2], &[0xff; 40]].concat()),
            ("br", b"\x0b\x06\x80hello, brotli\xff".to_vec()),
            ("zstd", [&0xfd2f_b528_u32.to_le_bytes()[..], &[0, 0x38, 7, 0, 0, 0xff]].concat()),
        ] {
            let stopped = decode(&damaged, [coding].into_iter(), true).stopped;
            assert_eq!(stopped, Some(Stop::Damaged(coding.to_owned())), "{coding}");
        }
    }

    #[test]
    fn checksums_are_compared() {
        let mut wrong = gzip(TEXT);
        let at = wrong.len() - 7;
        wrong[at] ^= 1;
        let decoded = decode(&wrong, ["gzip"].into_iter(), true);
        assert_eq!(
            (decoded.bytes.as_slice(), decoded.stopped),
            (TEXT, Some(Stop::Checksum("gzip".to_owned())))
        );
        // A raw block of "abc" with the low half of XXH64("abc") behind it (RFC 8878, section 3.1.1).
        let mut frame = b"\x28\xb5\x2f\xfd\x24\x03\x19\0\0abc\x99\x09\x77\xad".to_vec();
        let decoded = decode(&frame, ["zstd"].into_iter(), true);
        assert_eq!((decoded.bytes.as_slice(), decoded.stopped), (&b"abc"[..], None));
        frame[13] ^= 1;
        let decoded = decode(&frame, ["zstd"].into_iter(), true);
        assert_eq!(decoded.stopped, Some(Stop::Checksum("zstd".to_owned())));
    }

    #[test]
    fn what_follows_the_coded_data_is_counted_and_frames_follow_each_other() {
        let skipped = [&0x184d_2a50_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), b"ab"].concat();
        let twice = [TEXT, TEXT].concat();
        for (coding, coded, text) in [
            ("gzip", [gzip(TEXT), gzip(TEXT)].concat(), &twice[..]),
            ("deflate", zlib(TEXT), TEXT),
            ("deflate", bare_deflate(TEXT), TEXT),
            ("br", BROTLI.to_vec(), b"hello, brotli"),
            ("zstd", [zstd(TEXT), skipped, zstd(TEXT)].concat(), &twice),
        ] {
            let decoded = decode(&[&coded[..], b"more!"].concat(), [coding].into_iter(), true);
            assert_eq!(
                (decoded.bytes.as_slice(), decoded.trailing, decoded.stopped),
                (text, 5, None),
                "{coding}"
            );
        }
    }

    #[test]
    fn a_zstd_window_beyond_that_of_rfc_9659_is_told_and_makes_no_room() {
        let usual = decode(&zstd_bomb(1, 23), ["zstd"].into_iter(), true);
        assert_eq!((usual.bytes.len(), usual.wide_window, usual.stopped), (128 << 10, None, None));
        let wide = decode(&zstd_bomb(1, 40), ["zstd"].into_iter(), true);
        assert_eq!((wide.bytes.len(), wide.wide_window, wide.stopped), (128 << 10, Some(1 << 40), None));
    }

    #[test]
    fn more_codings_than_are_taken_off_are_said() {
        let coded = (0..5).fold(TEXT.to_vec(), |bytes, _| gzip(&bytes));
        let decoded = decode(&coded, ["gzip"; 5].into_iter(), true);
        assert_eq!((decoded.bytes, decoded.stopped), (gzip(TEXT), Some(Stop::TooMany(5))));
    }

    #[test]
    fn brotli_is_read() {
        let decoded = decode(BROTLI, ["br"].into_iter(), true);
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
            prop_assert!(decode(&bytes, [coding].into_iter(), true).bytes.len() <= MAX_DECODED.max(bytes.len()));
        }
    }
}
