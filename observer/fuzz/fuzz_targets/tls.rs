#![no_main]

#[expect(dead_code, reason = "each target uses its part of it")]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::tls::tls(data));
