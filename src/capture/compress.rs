//! gzip and zstd, known by their first bytes: the plain bytes of whatever a file is.

use std::error::Error as StdError;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Compressed bytes read at a time.
const READ_SIZE: usize = 64 * 1024;

/// RFC 1952, section 2.3.1, with the only compression method there is.
const GZIP_MAGIC: [u8; 3] = [0x1F, 0x8B, 8];
/// RFC 8878, section 3.1.1.
const ZSTD_MAGIC: u32 = 0xFD2F_B528;
/// RFC 8878, section 3.1.2: sixteen magic numbers of frames to skip. pzstd begins files with one.
const ZSTD_SKIPPABLE: u32 = 0x184D_2A50;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// The coding of a stream that starts so.
    pub(super) fn of(first: &[u8]) -> Self {
        if first.starts_with(&GZIP_MAGIC) {
            return Self::Gzip;
        }
        match first.first_chunk().map(|magic| u32::from_le_bytes(*magic)) {
            Some(magic) if magic == ZSTD_MAGIC || magic & !0xF == ZSTD_SKIPPABLE => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// Its name, where there is one.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// What reports put behind the name of the format.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

/// A stream of plain bytes.
pub(super) struct PlainStream {
    pub(super) stream: Box<dyn Read + Send>,
    pub(super) coding: Coding,
    /// Bytes of the compressed file read so far; `None` where it is not compressed.
    pub(super) passed: Option<Arc<AtomicU64>>,
}

/// Looks at the first bytes of a stream and takes its compression off.
pub(super) fn plain(mut source: Box<dyn Read + Send>) -> io::Result<PlainStream> {
    let mut first = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut first)?;
    let coding = Coding::of(&first);
    let whole = Cursor::new(first).chain(source);
    if coding == Coding::Plain {
        return Ok(PlainStream { stream: Box::new(whole), coding, passed: None });
    }
    let passed = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: whole, passed: Arc::clone(&passed) };
    let input = BufReader::with_capacity(READ_SIZE, counted);
    let stream: Box<dyn Read + Send> = match coding {
        Coding::Zstd => Box::new(Unzstd::new(input)),
        _ => Box::new(Gunzip { member: Some(GzDecoder::new(input)) }),
    };
    Ok(PlainStream { stream, coding, passed: Some(passed) })
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    passed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.passed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// All members of a gzip file, one after the other (RFC 1952, section 2.2).
///
/// Not flate2's own reader of several members, because that takes the zero bytes that tapes and object stores
/// leave behind the last one for a broken member.
struct Gunzip<R: BufRead> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            match skip_zeros(&mut rest)? {
                None => break,
                Some(byte) if byte == GZIP_MAGIC[0] => self.member = Some(GzDecoder::new(rest)),
                Some(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "what follows the gzip data is none, and was left out",
                    ));
                }
            }
        }
        Ok(0)
    }
}

/// Passes zero bytes; the first other one, which stays unread.
fn skip_zeros(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Ok(None);
        }
        let zeros = held.iter().take_while(|&&byte| byte == 0).count();
        let other = held.get(zeros).copied();
        input.consume(zeros);
        if other.is_some() {
            return Ok(other);
        }
    }
}

/// The last block of a frame, of no bytes, and something in the place of its checksum (RFC 8878, section 3.1.1.2).
const EMPTY_END: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

/// All frames of a zstd file, one after the other (RFC 8878, section 3.1), without those that are to be skipped.
struct Unzstd<R: BufRead> {
    input: R,
    decoder: FrameDecoder,
    state: Frame,
    /// How many frames were not what their checksum says.
    damaged: u32,
}

/// Where in a file of frames the decoder is.
enum Frame {
    /// Before the first one, between two, or behind the last.
    None,
    Open,
    /// It ended early: what was unpacked of it is handed out, and then the reason.
    Broken(Option<io::Error>),
}

impl<R: BufRead> Unzstd<R> {
    fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), state: Frame::None, damaged: 0 }
    }

    /// Reads the header of the next frame with data; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.state = Frame::Open;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(zstd_error(&error)),
            }
        }
        Ok(false)
    }

    /// Unpacks a block of the open frame: as much as the window must hold anyhow.
    fn next_block(&mut self) {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        if let Err(error) = self.decoder.decode_blocks(&mut self.input, one) {
            let error = zstd_error(&error);
            // The decoder keeps back a window, up to all of a small file, until the frame has ended.
            let ended = self.decoder.is_finished()
                || self.decoder.decode_blocks(&EMPTY_END[..], BlockDecodingStrategy::All).is_ok();
            debug_assert!(ended, "an empty block is a sound one");
            self.state = Frame::Broken(Some(error));
        }
    }

    /// Leaves a frame of which all was handed out.
    fn leave_frame(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, Frame::None) {
            Frame::Broken(Some(error)) => {
                self.state = Frame::Broken(None);
                return Err(error);
            }
            Frame::Broken(None) => self.state = Frame::Broken(None),
            Frame::None | Frame::Open => {
                let written = self.decoder.get_checksum_from_data();
                if written.is_some() && written != self.decoder.get_calculated_checksum() {
                    self.damaged = self.damaged.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Says once, at the end, that checksums were wrong.
    fn end(&mut self) -> io::Result<usize> {
        match std::mem::take(&mut self.damaged) {
            0 => Ok(0),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the zstd data are not what their checksum says: some of what was read may be wrong",
            )),
        }
    }
}

impl<R: BufRead> Read for Unzstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if matches!(self.state, Frame::None) {
                if !self.next_frame()? {
                    return self.end();
                }
            } else if self.decoder.can_collect() > 0 {
                return self.decoder.read(into);
            } else if self.decoder.is_finished() || matches!(self.state, Frame::Broken(_)) {
                self.leave_frame()?;
                if matches!(self.state, Frame::Broken(_)) {
                    return self.end();
                }
            } else {
                self.next_block();
            }
        }
    }
}

/// The decoder's error as one of reading: the end of the file, where that is below it.
fn zstd_error(error: &FrameDecoderError) -> io::Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, format!("the zstd data are broken: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn unpack(bytes: &[u8]) -> (Coding, io::Result<Vec<u8>>) {
        let mut plain = plain(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
        let mut out = Vec::new();
        let result = plain.stream.read_to_end(&mut out);
        (plain.coding, result.map(|_| out))
    }

    fn text() -> Vec<u8> {
        (0..300_000_u32).map(|i| (i.wrapping_mul(i) / 7 % 251) as u8).collect()
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let text = text();
        let skipped = [&0x184D_2A5F_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let cases = [
            (text.clone(), Coding::Plain),
            (gzip(&text), Coding::Gzip),
            ([gzip(&text[..9]), gzip(b""), gzip(&text[9..]), vec![0; 700]].concat(), Coding::Gzip),
            (zstd(&text), Coding::Zstd),
            ([skipped.clone(), zstd(&text[..9]), skipped, zstd(&text[9..])].concat(), Coding::Zstd),
        ];
        for (bytes, coding) in cases {
            let (found, plain) = unpack(&bytes);
            assert_eq!(found, coding);
            assert!(plain.unwrap() == text, "{coding:?}");
        }
    }

    /// What is handed out before the error, and the error.
    fn until_error(bytes: &[u8]) -> (Vec<u8>, io::Error) {
        let mut stream = plain(Box::new(Cursor::new(bytes.to_vec()))).unwrap().stream;
        let mut out = Vec::new();
        let error = stream.read_to_end(&mut out).unwrap_err();
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0, "it ends there");
        (out, error)
    }

    #[test]
    fn of_cut_zstd_data_all_whole_blocks_are_handed_out() {
        let text = text();
        let whole = zstd(&text);
        let mut last = 0;
        for cut in [whole.len() / 4, whole.len() / 2, whole.len() * 3 / 4, whole.len() - 1] {
            let (out, error) = until_error(&whole[..cut]);
            assert!(out == text[..out.len()] && out.len() >= last, "{cut}");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            last = out.len();
        }
        assert_eq!(last, text.len(), "of a cut checksum only the checksum is missing");
        let (out, _) = until_error(&whole[..whole.len() / 2]);
        assert!(out.len() >= 128 * 1024, "{}", out.len());
    }

    #[test]
    fn a_zstd_checksum_that_does_not_fit_is_said_behind_all_frames() {
        let text = text();
        let mut broken = zstd(&text);
        let len = broken.len();
        broken[len - 2] ^= 1;
        let (out, error) = until_error(&[broken, zstd(&text[..100])].concat());
        assert!(out == [&text[..], &text[..100]].concat());
        assert!(error.to_string().contains("checksum"), "{error}");
    }

    #[test]
    fn cut_data_end_early_and_damaged_data_are_said_to_be() {
        let text = text();
        for whole in [gzip(&text), zstd(&text)] {
            let (_, cut) = unpack(&whole[..whole.len() / 2]);
            assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        let (_, behind) = unpack(&[gzip(&text), b"more".to_vec()].concat());
        assert!(behind.unwrap_err().to_string().contains("left out"));
        let mut broken = gzip(&text);
        let len = broken.len();
        broken[len - 7] ^= 1;
        assert!(unpack(&broken).1.is_err(), "the checksum does not fit");
    }
}
