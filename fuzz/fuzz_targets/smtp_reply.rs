#![no_main]

#[path = "../../tests/hostile/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drive::smtp_reply(bytes));
