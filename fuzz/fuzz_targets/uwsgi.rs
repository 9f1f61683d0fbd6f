//! Bytes behind the start of a uwsgi packet, and the answer to it.
#![no_main]

mod turns;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| turns::load(
    b"\0\x3e\0\0\x0e\0REQUEST_METHOD\x04\0POST\x0e\0CONTENT_LENGTH",
    data
));
