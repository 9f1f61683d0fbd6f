//! Classic pcap: a file header, then records of sixteen header bytes and the packet, with the variants of old tools.

mod chain;
mod form;
mod mend;

pub(super) use form::is_pcap;

use super::buffer::Buffer;
use super::pcapng::starts_section;
use super::reader::Record;
use super::{CaptureError, LinkType, ProblemKind, Problems};
use form::{Form, Header, RECORD_HEADER};

/// The state of a walk over a pcap file.
pub(super) struct Pcap {
    form: Form,
    /// Link types of all file headers, in order of appearance.
    link_types: Vec<LinkType>,
    /// Seconds of the last packet whose time is beyond doubt: broken data are judged by it.
    reference: Option<u32>,
    /// Up to where sound records were looked for in vain, so that no byte is searched twice.
    searched: u64,
    /// Whether something is still to be said of the file header.
    is_new: bool,
}

/// A record at hand, and how many bytes to pass for it.
struct Found {
    header: Header,
    step: usize,
}

impl Pcap {
    /// Reads the file header.
    pub(super) fn open(buffer: &mut Buffer) -> Result<Self, CaptureError> {
        let form = Form::read(buffer)?;
        let link_types = vec![form.link_type];
        Ok(Self { form, link_types, reference: None, searched: 0, is_new: true })
    }

    pub(super) fn link_types(&self) -> &[LinkType] {
        &self.link_types
    }

    /// The next packet; `frame` is its number. `None` at the end, be it sound or not.
    #[inline]
    pub(super) fn next(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Record> {
        loop {
            let Found { header, step } = match self.usual_record(buffer) {
                Some(found) => found,
                // Not all of it is in the buffer, or there is something odd with it or with the next one.
                None => match self.unusual_record(buffer, frame, problems)? {
                    Some(found) => found,
                    None => continue,
                },
            };
            let index = buffer.index() + self.form.record_header;
            let offset = buffer.position() + self.form.record_header as u64;
            buffer.consume(step);
            return Some(Record {
                frame,
                index,
                len: header.captured as usize,
                offset,
                at: self.form.time(header),
                link_type: self.form.link_type,
                wire_len: header.original.max(header.captured),
            });
        }
    }

    /// A usual record that is all in the buffer, with a sound header behind it: a wrong length shows there, before it
    /// swallows the packets that follow.
    #[inline]
    fn usual_record(&mut self, buffer: &Buffer) -> Option<Found> {
        if !self.form.is_usual() {
            return None;
        }
        let data = buffer.unread();
        let header = self.form.header(data)?;
        // Empty packets are odd too, and those longer here than on the wire.
        if !(1..=self.form.largest.min(header.original)).contains(&header.captured) {
            return None;
        }
        let step = RECORD_HEADER + header.captured as usize;
        let next = self.form.header(data.get(step..)?)?;
        if !self.form.is_sound(next, header.second) {
            return None;
        }
        self.reference = Some(header.second);
        Some(Found { header, step })
    }

    /// Reads on until the record at hand is whole, or finds the next good one (`Some(None)`). `None` ends the walk.
    #[cold]
    fn unusual_record(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Option<Found>> {
        if self.is_new {
            self.tell_version(problems);
        }
        let place = buffer.position();
        if !buffer.ensure(self.form.record_header) {
            let rest = buffer.unread().len();
            if rest > 0 {
                problems.report(
                    ProblemKind::TruncatedFile,
                    format_args!("ends inside the record header of packet {frame} (record at byte {place})"),
                );
            }
            return None;
        }
        if self.begin_further_file(buffer, frame, problems) {
            return Some(None);
        }
        if starts_section(buffer.unread()) {
            problems.report(
                ProblemKind::BadRecord,
                format_args!(
                    "a pcapng file follows at byte {place}, behind packet {}, and was not read: \
                     give it as a file of its own",
                    frame - 1
                ),
            );
            return None;
        }
        let header = self.form.header(buffer.unread())?;
        let captured = header.captured;
        if captured > self.form.largest {
            return self.mend(buffer, frame, header, format_args!("claims {captured} bytes"), problems);
        }
        if header.is_zero() {
            // A disk that was full, or a file that was given its size before its bytes.
            return self.pass_zeros(buffer, frame, problems);
        }
        let step = self.form.record_header + captured as usize;
        if !buffer.ensure(step) {
            let what = format_args!("claims {captured} bytes, more than the file has");
            return self.mend(buffer, frame, header, what, problems);
        }
        if self.ends_where_it_says(buffer, header, step) {
            return Some(Some(Found { header, step }));
        }
        let what = format_args!("claims {captured} bytes, and no record follows there");
        self.mend(buffer, frame, header, what, problems)
    }

    /// Reads on with the file header of another file, where one stands: files were put behind each other (`cat`).
    fn begin_further_file(&mut self, buffer: &mut Buffer, frame: u32, problems: &mut impl Problems) -> bool {
        buffer.ensure(form::FILE_HEADER);
        if Form::further(buffer.unread()).is_none() {
            return false;
        }
        let place = buffer.position();
        let Ok(form) = Form::read(buffer) else { return false };
        problems.report(
            ProblemKind::JoinedFiles,
            format_args!(
                "the header of another file at byte {place}, before packet {frame}; read on with it"
            ),
        );
        if !self.link_types.contains(&form.link_type) {
            self.link_types.push(form.link_type);
        }
        self.form = form;
        self.reference = None;
        self.is_new = true;
        true
    }

    /// Says that the version of the file header is unknown.
    fn tell_version(&mut self, problems: &mut impl Problems) {
        self.is_new = false;
        if let Some((major, minor)) = self.form.unknown_version() {
            problems.report(
                ProblemKind::UnknownVersion,
                format_args!("the file says it is pcap {major}.{minor}, and was read as 2.4"),
            );
        }
    }
}
