//! What files and packets are called in reports.

use std::path::Path;

use crate::analysis::Analysis;
use crate::capture::{CaptureId, Frame};

/// How the report names captures beside evidence.
pub(super) struct CaptureNames<'a> {
    pub(super) analysis: &'a Analysis,
    names: Vec<String>,
    /// Of each capture the names of its parts.
    parts: Vec<Vec<String>>,
}

impl<'a> CaptureNames<'a> {
    /// For scripts: the file name, or the whole path, as `captures` has it, where two files share a name.
    pub(super) fn new(analysis: &'a Analysis) -> Self {
        let whole = |path: &Path, short: &mut String| {
            if path.file_name().is_some_and(|own| *own != **short) {
                *short = path.to_string_lossy().into_owned();
            }
        };
        let mut names = Self::short(analysis);
        for (at, capture) in analysis.captures.iter().enumerate() {
            whole(&capture.info.path, &mut names.names[at]);
            capture.info.parts().iter().zip(&mut names.parts[at]).for_each(|(p, name)| whole(&p.path, name));
        }
        names
    }

    /// For people: no longer than tells them apart.
    pub(super) fn short(analysis: &'a Analysis) -> Self {
        let ids = || (0..analysis.captures.len() as u16).map(CaptureId);
        let parts = |id: CaptureId| {
            let parts = analysis.capture(id).info.parts().iter();
            parts.map(|p| analysis.place_of(Frame { capture: id, number: p.first_frame }).0).collect()
        };
        let names = ids().map(|id| analysis.capture_name(id)).collect();
        Self { analysis, names, parts: ids().map(parts).collect() }
    }

    /// The file that holds a packet, and the packet's number there.
    pub(super) fn place_of(&self, frame: Frame) -> (&str, u32) {
        match self.analysis.capture(frame.capture).info.part_with(frame.number) {
            Some((at, number)) => (&self.parts[frame.capture.index()][at], number),
            None => (self.of_capture(frame.capture), frame.number),
        }
    }

    /// `ingress.pcap frame 4`.
    pub(super) fn words(&self, frame: Frame) -> String {
        let (name, number) = self.place_of(frame);
        format!("{name} frame {number}")
    }

    pub(super) fn of_capture(&self, id: CaptureId) -> &str {
        self.names.get(id.index()).map_or("", |name| name)
    }
}
