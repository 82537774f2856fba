#![no_main]

#[path = "../../tests/hostile/drive.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if !is_known(bytes) {
        drive::imap(bytes);
    }
});

/// What makes imap-proto 0.17.0 panic: as long as it does, such inputs would hide everything else.
fn is_known(bytes: &[u8]) -> bool {
    // The text behind a response code is cut after its first byte, in the middle of a character.
    let cut = bytes
        .windows(2)
        .any(|pair| matches!(pair, [b']', 0x80..=0xff]));
    // NIL for a date is unwrapped.
    let undated = bytes
        .windows(16)
        .any(|word| word.eq_ignore_ascii_case(b"INTERNALDATE NIL"));
    cut || undated
}
