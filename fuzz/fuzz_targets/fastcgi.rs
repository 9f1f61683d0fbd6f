//! Records behind the first one of a FastCGI connection, of both sides.
#![no_main]

mod turns;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| turns::load(b"\x01\x01\0\x01\0\x08\0\0\0\x01\x01\0\0\0\0\0", data));
