#![no_main]

#[expect(dead_code, reason = "each target uses its part of it")]
mod audit_drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    audit_drive::segment(data);
});
