//! Bytes of both sides of a connection: reading them as HTTP/1, or as what their start names, ends.
#![no_main]

mod turns;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| turns::load(b"", data));
