//! Recordings of TLS, with the secrets that one end wrote down.

use std::path::Path;
use std::sync::Arc;

use observer::decrypt::KeyLog;
use observer::pipeline::{Output, Pipeline, PipelineSettings};
use observer::replay::replay;

const SESSIONS: &str = include_str!("../src/decrypt/tests/sessions.jsonl");
const KEYS: &[u8] = include_bytes!("../src/decrypt/tests/sessions.keys");

#[test]
fn calls_inside_tls_are_told_with_what_the_hellos_chose() {
    let mut pipeline = Pipeline::new(PipelineSettings::default());
    pipeline.set_key_log(Arc::new(KeyLog::parse(KEYS)));
    let mut calls = Vec::new();
    replay(
        &mut SESSIONS.as_bytes(),
        Path::new("sessions"),
        &mut pipeline,
        &mut |output| {
            if let Output::Call(call) = output {
                calls.push(call);
            }
        },
    )
    .expect("a recording");
    assert_eq!(pipeline.buffered_bytes(), 0);
    // Two of HTTP/2, and one of each other that is opened.
    assert_eq!(calls.len(), 10);
    for call in &calls {
        assert_eq!(call.scheme, "https");
        assert!(
            call.hello
                .as_ref()
                .is_some_and(|hello| hello.cipher.is_some())
        );
    }
    let counts = pipeline.decrypt_counts().expect("secrets were given");
    assert_eq!((counts.opened, counts.unsupported), (9, 1));
}
