#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::enhanced_code(data));
