//! Records that cannot be right: what can be kept of them, and where sound ones go on.

use std::fmt::Arguments;

use super::chain::Stretch;
use super::form::Header;
use super::{Found, Pcap};
use crate::capture::buffer::Buffer;
use crate::capture::reader::RESYNC_WINDOW;
use crate::capture::{ProblemKind, Problems};

/// How far behind a place the records are looked at that make it credible.
const LOOK_AHEAD: usize = 1024 * 1024;

impl Pcap {
    /// Whether what stands behind a whole record shows that its length is right. Where it does, its time may become the
    /// one by which others are judged.
    pub(super) fn ends_where_it_says(&mut self, buffer: &mut Buffer, header: Header, step: usize) -> bool {
        if header.captured > header.original && self.holds_others(buffer, header, step) {
            return false;
        }
        let next_is_near = if buffer.ensure(step + self.form.record_header) {
            let next = self.form.header(&buffer.unread()[step..]);
            let sound = next.is_some_and(|next| self.form.is_sound(next, header.second));
            if !sound && !self.form.goes_on(self.look(buffer, step + LOOK_AHEAD).behind(step), header.second)
            {
                return false;
            }
            sound
        } else if self.form.has_sound_lengths(header) {
            // The last one, behind it less than a header.
            true
        } else {
            // It may have swallowed the last ones.
            return false;
        };
        if !header.has_no_time() && (next_is_near || header.is_near(self.reference)) {
            self.reference = Some(header.second);
        }
        true
    }

    /// Whether sound records begin where the packet ends by its length on the wire, and go on beyond the record: it claims
    /// to hold them as well.
    fn holds_others(&self, buffer: &mut Buffer, header: Header, step: usize) -> bool {
        let own = self.form.record_header + header.original as usize;
        let rest = self.look(buffer, step + LOOK_AHEAD).behind(own);
        self.form.is_sound_again(rest, Some(header.second), step - own)
    }

    /// Keeps what can be kept of a record whose length is wrong, or passes to the next credible one (`Some(None)`).
    /// `None` ends the walk.
    #[cold]
    pub(super) fn mend(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        header: Header,
        what: Arguments<'_>,
        problems: &mut impl Problems,
    ) -> Option<Option<Found>> {
        let place = buffer.position();
        let claimed = self.form.record_header + header.captured as usize;
        let is_whole = header.captured <= self.form.largest && buffer.ensure(claimed);
        let Some(step) = self.next_sound(buffer, if is_whole { claimed } else { 0 }) else {
            return self.without_next(buffer, frame, header, what, problems);
        };
        let next = self.form.header(&buffer.unread()[step..]).filter(|_| !self.is_file_header(buffer, step));
        let near = self.reference.or(next.map(|next| next.second));
        let held = step.saturating_sub(self.form.record_header);
        let is_genuine = held > 0 && self.form.is_genuine(header, near);
        let wire_len = header.original as usize;
        if is_genuine && is_whole && step > claimed && held != wire_len {
            // It is the next one that is wrong.
            return Some(Some(Found { header, step: claimed }));
        }
        if !is_genuine {
            report_bad(problems, (frame, place), what, format_args!("read on {step} bytes behind it"));
            buffer.consume(step);
            return Some(None);
        }
        let snap_len = if self.form.snap_len == 0 { usize::MAX } else { self.form.snap_len as usize };
        let kept = held.min(wire_len).min(snap_len);
        let consequence = format_args!("taken for {kept}, as sound records go on {step} bytes behind it");
        report_bad(problems, (frame, place), what, consequence);
        Some(Some(Found { header: Header { captured: kept as u32, ..header }, step }))
    }

    /// What becomes of a record that cannot be right, and behind which no sound one is near.
    fn without_next(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        header: Header,
        what: Arguments<'_>,
        problems: &mut impl Problems,
    ) -> Option<Option<Found>> {
        let place = buffer.position();
        let captured = header.captured;
        let claimed = self.form.record_header + captured as usize;
        if captured > self.form.largest {
            return self.search_on(buffer, frame, place, what, problems);
        }
        let held = buffer.unread().len();
        if held < claimed {
            let held = held - self.form.record_header;
            problems.report(
                ProblemKind::TruncatedFile,
                format_args!(
                    "ends inside packet {frame} (record at byte {place}, {held} of {captured} bytes)"
                ),
            );
            return None;
        }
        if self.form.is_possible(header, self.reference) {
            // It may be the last sound one, with nonsense behind it.
            return Some(Some(Found { header, step: claimed }));
        }
        self.search_on(buffer, frame, place, what, problems)
    }

    /// Passes a record of zeros, and all zeros behind it.
    pub(super) fn pass_zeros(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        problems: &mut impl Problems,
    ) -> Option<Option<Found>> {
        let place = buffer.position();
        // However many they are.
        while buffer.ensure(self.form.record_header) && buffer.unread().iter().all(|&byte| byte == 0) {
            // A record may start right behind them, and the byte at hand is not looked at.
            buffer.consume(buffer.unread().len() - 1);
        }
        self.search_on(buffer, frame, place, format_args!("is all zero"), problems)
    }

    /// Looks for sound records to the end of the file, a window at a time, and passes to them. `place` is where the
    /// broken data began.
    fn search_on(
        &mut self,
        buffer: &mut Buffer,
        frame: u32,
        place: u64,
        what: Arguments<'_>,
        problems: &mut impl Problems,
    ) -> Option<Option<Found>> {
        loop {
            if let Some(step) = self.next_sound(buffer, 0) {
                buffer.consume(step);
                let skipped = buffer.position() - place;
                report_bad(problems, (frame, place), what, format_args!("read on {skipped} bytes behind it"));
                return Some(None);
            }
            // The last byte of the window starts the next one, whose own first byte is not looked at.
            let step = buffer.unread().len().min(RESYNC_WINDOW).saturating_sub(1);
            if step == 0 {
                break;
            }
            buffer.consume(step);
        }
        let rest = buffer.position() + buffer.unread().len() as u64 - place;
        report_bad(
            problems,
            (frame, place),
            what,
            format_args!("no sound record follows in the {rest} bytes to the end of the file"),
        );
        None
    }

    /// How many bytes behind the start of the record at hand the next credible one starts, in a window. One that starts
    /// before `claimed`, within what a record claims to hold, must go on beyond that: else it may be of a capture that
    /// somebody downloads.
    fn next_sound(&mut self, buffer: &mut Buffer, claimed: usize) -> Option<usize> {
        let place = buffer.position();
        let stretch = self.look(buffer, RESYNC_WINDOW + LOOK_AHEAD);
        let window = stretch.data.len().min(RESYNC_WINDOW);
        let from = usize::try_from(self.searched.saturating_sub(place)).unwrap_or(window).max(1);
        let find = |is_sound: &dyn Fn(Stretch<'_>, usize) -> bool| {
            (from..window).find(|&at| is_sound(stretch.behind(at), claimed.saturating_sub(at)))
        };
        let found =
            find(&|rest, reach| self.form.is_sound_again(rest, self.reference, reach)).or_else(|| {
                self.reference?;
                find(&|rest, reach| self.form.is_sound_at_another_time(rest, reach))
            });
        if found.is_none() {
            self.searched = self.searched.max(place + window as u64);
        }
        found
    }

    fn is_file_header(&self, buffer: &Buffer, at: usize) -> bool {
        super::Form::further(&buffer.unread()[at..]).is_some()
    }

    /// So many bytes from the record at hand on, or all to the end of the file.
    fn look<'a>(&self, buffer: &'a mut Buffer, len: usize) -> Stretch<'a> {
        let ends = !buffer.ensure(len);
        let data = buffer.unread();
        Stretch { data: &data[..data.len().min(len)], ends }
    }
}

/// Says what is wrong with the record of a packet at a place, and what follows from it.
#[cold]
fn report_bad(
    problems: &mut impl Problems,
    (frame, place): (u32, u64),
    what: Arguments<'_>,
    consequence: Arguments<'_>,
) {
    problems.report(
        ProblemKind::BadRecord,
        format_args!("packet {frame} (record at byte {place}) {what}; {consequence}"),
    );
}
