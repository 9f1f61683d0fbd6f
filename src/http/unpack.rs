//! The content codings one by one: what comes out of coded bytes, whatever these are, and how it came to an end.

use std::io::{self, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::body::MAX_DECODED;

/// How much a decoder is asked for at once, in bytes.
const STEP: usize = 16 << 10;
/// RFC 1952, section 2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// RFC 8878, section 3.1.1.
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
/// The widest window of a zstd content coding, in bytes (RFC 9659, section 3): browsers refuse a wider one.
const ZSTD_WINDOW: u64 = 8 << 20;

/// How a decoder came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The coded data were whole.
    Whole,
    /// [`MAX_DECODED`] bytes came out; there is more.
    Limit,
    /// The coded bytes end too early.
    Cut,
    /// They are not what this coding makes.
    Damaged,
    /// All came out, and its checksum does not fit.
    Checksum,
}

/// What came out of coded bytes.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub bytes: Vec<u8>,
    pub end: End,
    /// Coded bytes behind the end of the coded data.
    pub trailing: usize,
    /// The window of a zstd frame that is wider than it may be, in bytes.
    pub wide_window: Option<u64>,
}

/// Takes one coding off; `None` for one that is not known.
pub(super) fn unpack(coding: &str, body: &[u8]) -> Option<Unpacked> {
    let mut out = Vec::new();
    let mut wide_window = None;
    let (end, rest) = match coding {
        "gzip" | "x-gzip" => gzip(body, &mut out),
        // RFC 9110 means the zlib format, and tells that some send the bare data instead.
        "deflate" if is_zlib(body) => inflate(ZlibDecoder::new(body), &mut out, ZlibDecoder::into_inner),
        "deflate" => inflate(DeflateDecoder::new(body), &mut out, DeflateDecoder::into_inner),
        "br" => brotli(body, &mut out),
        "zstd" => zstd(body, &mut out, &mut wide_window),
        _ => return None,
    };
    Some(Unpacked { bytes: out, end, trailing: rest.len(), wide_window })
}

/// Whether bytes begin with a zlib header (RFC 1950, section 2.2).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)).is_multiple_of(31))
}

/// Reads to the end, to [`MAX_DECODED`] or to an error, and keeps what came before it.
fn drain(decoder: &mut impl Read, out: &mut Vec<u8>) -> Result<End, io::Error> {
    let mut step = vec![0; STEP];
    loop {
        match decoder.read(&mut step) {
            Ok(0) => return Ok(End::Whole),
            Ok(len) => {
                if !append(out, &step[..len]) {
                    return Ok(End::Limit);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(End::Cut),
            Err(error) => return Err(error),
        }
    }
}

/// Adds bytes as far as there is room; says whether all of them had it.
fn append(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let room = MAX_DECODED - out.len();
    out.extend_from_slice(&bytes[..bytes.len().min(room)]);
    bytes.len() <= room
}

fn inflate<'a, D: Read>(
    mut decoder: D,
    out: &mut Vec<u8>,
    rest: impl FnOnce(D) -> &'a [u8],
) -> (End, &'a [u8]) {
    match drain(&mut decoder, out) {
        Ok(End::Whole) => (End::Whole, rest(decoder)),
        Ok(end) => (end, &[]),
        Err(_) => (End::Damaged, &[]),
    }
}

/// All members, one after the other (RFC 1952, section 2.2).
fn gzip<'a>(mut body: &'a [u8], out: &mut Vec<u8>) -> (End, &'a [u8]) {
    loop {
        let before = out.len();
        let mut member = GzDecoder::new(body);
        match drain(&mut member, out) {
            Ok(End::Whole) => body = member.into_inner(),
            Ok(end) => return (end, &[]),
            // The decoder's word for a checksum that does not fit, and else for a header that makes no sense.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && out.len() > before => {
                return (End::Checksum, &[]);
            }
            Err(_) => return (End::Damaged, &[]),
        }
        if !body.starts_with(&GZIP_MAGIC) {
            return (End::Whole, body);
        }
    }
}

/// Brotli (RFC 7932), step by step: its decoder as a stream would neither tell cut data from damaged ones nor where they end.
fn brotli<'a>(body: &'a [u8], out: &mut Vec<u8>) -> (End, &'a [u8]) {
    let mut state =
        BrotliState::new(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut left, mut at, mut total) = (body.len(), 0, 0);
    let mut step = vec![0; STEP];
    loop {
        let (mut room, mut len) = (STEP, 0);
        let result = BrotliDecompressStream(
            &mut left, &mut at, body, &mut room, &mut len, &mut step, &mut total, &mut state,
        );
        if !append(out, &step[..len]) {
            return (End::Limit, &[]);
        }
        match result {
            BrotliResult::ResultSuccess => return (End::Whole, body.get(at..).unwrap_or_default()),
            BrotliResult::NeedsMoreInput => return (End::Cut, &[]),
            BrotliResult::ResultFailure => return (End::Damaged, &[]),
            BrotliResult::NeedsMoreOutput => {}
        }
    }
}

/// All frames, one after the other, without those that are to be skipped (RFC 8878, section 3.1).
fn zstd<'a>(mut body: &'a [u8], out: &mut Vec<u8>, wide: &mut Option<u64>) -> (End, &'a [u8]) {
    let mut frames = 0;
    loop {
        let start = body;
        // A new one for each frame: used again, it would make room for the whole window, which the frame's header
        // makes as wide as it likes.
        let mut frame = FrameDecoder::new();
        match frame.reset(&mut body) {
            Ok(()) => *wide = wide.or(zstd_window(start).filter(|&window| window > ZSTD_WINDOW)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => match body.get(length as usize..) {
                Some(rest) => {
                    body = rest;
                    frames += 1;
                    continue;
                }
                None => return (End::Cut, &[]),
            },
            // What is no frame behind one is not of this coding.
            Err(_) if frames > 0 && !start.starts_with(&ZSTD_MAGIC.to_le_bytes()) => {
                return (End::Whole, start);
            }
            Err(error) => return (zstd_end(&error, body), &[]),
        }
        match zstd_frame(&mut frame, &mut body, out) {
            End::Whole => frames += 1,
            end => return (end, &[]),
        }
    }
}

/// Decodes a frame block by block, and at its end, or where it breaks off, takes out what the window still holds.
fn zstd_frame(frame: &mut FrameDecoder, body: &mut &[u8], out: &mut Vec<u8>) -> End {
    /// An empty block that ends a frame, and room for a checksum (RFC 8878, sections 3.1.1.2 and 3.1.1).
    const LAST: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
    let mut end = End::Whole;
    while !frame.is_finished() {
        match frame.decode_blocks(&mut *body, BlockDecodingStrategy::UptoBytes(MAX_DECODED)) {
            Ok(true) => {}
            // So many bytes came out at least.
            Ok(false) => end = End::Limit,
            Err(error) => end = zstd_end(&error, body),
        }
        if end != End::Whole {
            let ended = frame.decode_blocks(&LAST[..], BlockDecodingStrategy::All);
            if ended.is_err() {
                return end;
            }
            break;
        }
    }
    let held = frame.collect().unwrap_or_default();
    let sent = frame.get_checksum_from_data();
    let checks = end != End::Whole || sent.is_none() || sent == frame.get_calculated_checksum();
    match (append(out, &held), checks) {
        (false, _) => End::Limit,
        (true, false) => End::Checksum,
        (true, true) => end,
    }
}

/// Why a frame broke off: the decoder reads from memory, so that only its end makes it fail to read.
fn zstd_end(error: &FrameDecoderError, rest: &[u8]) -> End {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return End::Cut;
        }
        cause = inner.source();
    }
    // Some of the decoder's errors keep no cause.
    if rest.is_empty() && error.to_string().contains("failed to fill") { End::Cut } else { End::Damaged }
}

/// The window that a frame's header asks for, in bytes (RFC 8878, section 3.1.1.1).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let (&descriptor, fields) = frame.get(4..)?.split_first()?;
    let little_endian = |bytes: &[u8]| bytes.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
    if descriptor & 0x20 == 0 {
        let window = *fields.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // A single segment: the window is as long as the content.
    let ids = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = fields.get(ids..)?;
    Some(match descriptor >> 6 {
        0 => u64::from(*size.first()?),
        1 => little_endian(size.get(..2)?) + 256,
        2 => little_endian(size.get(..4)?),
        _ => little_endian(size.get(..8)?),
    })
}
