//! Bytes as a capture file: load, analysis and both reports end, in bounded memory.
#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use hopscope::analysis::analyse;
use hopscope::capture::Reader;
use hopscope::export::{self, Report};
use hopscope::http::load_from;
use hopscope::topology::Overrides;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let reader = Reader::new(Cursor::new(data.to_vec()), Some(data.len() as u64));
    let facts = load_from(reader, Path::new("fuzz.pcap"), &mut |_| true);
    let analysis = analyse(vec![Arc::new(facts)], &Overrides::default());
    let report = Report::new(&analysis, true);
    let _ = report.has_error();
    let _ = export::text(&analysis);
});
