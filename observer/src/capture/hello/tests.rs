//! Hellos of TLS, whole, cut and hostile.

use super::*;

fn vector(size: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    [&length[length.len() - size..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, content)].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let message = [&[kind][..], &vector(3, body)].concat();
    [&[22, 3, 1][..], &vector(2, &message)].concat()
}

fn client_hello(name: &[u8]) -> Vec<u8> {
    let name = [&[0][..], &vector(2, name)].concat();
    let alpn = [vector(1, b"h2"), vector(1, b"http/1.1")].concat();
    let extensions = [
        extension(0x1a1a, b""),
        extension(EXTENSION_SERVER_NAME, &vector(2, &name)),
        extension(EXTENSION_ALPN, &vector(2, &alpn)),
        extension(
            EXTENSION_SUPPORTED_VERSIONS,
            &vector(1, &[0x7a, 0x7a, 3, 4, 3, 3]),
        ),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &vector(1, &[9; 32]),
        &vector(2, &[0x13, 1, 0x13, 2]),
        &vector(1, &[0]),
        &vector(2, &extensions),
    ]
    .concat();
    record(CLIENT_HELLO, &body)
}

fn server_hello(extensions: &[u8]) -> Vec<u8> {
    server_hello_of(&[7; 32], &[], extensions)
}

fn server_hello_of(random: &[u8; 32], session: &[u8], extensions: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3][..],
        random,
        &vector(1, session),
        &[0x13, 0x02, 0],
        &vector(2, extensions),
    ]
    .concat();
    record(SERVER_HELLO, &body)
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

#[test]
fn both_hellos_tell_name_version_cipher_and_protocols() {
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    let client = client_hello(b"API.Example.com");
    assert!(hellos.push(false, 1, len(&client), &client, &mut hello));
    assert!(!hellos.done());
    let server = server_hello(&extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]));
    assert!(hellos.push(true, 1, len(&server), &server, &mut hello));
    assert!(hellos.done());
    assert_eq!(
        hello,
        TlsHello {
            server_name: Some("api.example.com".into()),
            version_offered: Some(TlsVersion::Tls13),
            alpn_offered: vec!["h2".into(), "http/1.1".into()],
            version: Some(TlsVersion::Tls13),
            cipher: Some(0x1302),
            alpn: None,
            resumed: Some(false),
        }
    );
}

#[test]
fn up_to_tls_1_2_the_server_tells_its_choice_of_protocol() {
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    let alpn = extension(EXTENSION_ALPN, &vector(2, &vector(1, b"h2")));
    let server = server_hello(&alpn);
    assert!(hellos.push(false, 1, len(&server), &server, &mut hello));
    assert_eq!(hello.version, Some(TlsVersion::Tls12));
    assert_eq!(hello.alpn.as_deref(), Some("h2"));
}

/// What is known after a client's hello that names session `[9; 32]`, and this of the server.
fn resumed(server: &[u8]) -> Option<bool> {
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    let client = client_hello(b"a.example");
    hellos.push(false, 1, len(&client), &client, &mut hello);
    assert_eq!(hello.resumed, None);
    hellos.push(true, 1, len(server), server, &mut hello);
    hello.resumed
}

#[test]
fn a_connection_that_goes_on_from_an_earlier_one_is_known() {
    let tls13 = extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]);
    let key = extension(EXTENSION_PRE_SHARED_KEY, &[0, 0]);
    let with_key = [&tls13[..], &key].concat();
    let (random, session) = ([7; 32], [9; 32]);
    // In TLS 1.3 the server always gives the session back, which says nothing.
    assert_eq!(
        resumed(&server_hello_of(&random, &session, &tls13)),
        Some(false)
    );
    assert_eq!(
        resumed(&server_hello_of(&random, &session, &with_key)),
        Some(true)
    );
    assert_eq!(
        resumed(&server_hello_of(&random, &session, b"")),
        Some(true)
    );
    for other in [&[][..], &[8; 32]] {
        assert_eq!(resumed(&server_hello_of(&random, other, b"")), Some(false));
    }
    // Another hello follows, which is not read.
    assert_eq!(resumed(&server_hello_of(&RETRY, &session, &tls13)), None);
    // What comes after the hellos does not take it back.
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    let server = server_hello_of(&random, &session, &with_key);
    hellos.push(true, 1, len(&server), &server, &mut hello);
    Hellos::default().push(true, 500, 5, b"\x14\x03\x03\x00\x01", &mut hello);
    assert_eq!(hello.resumed, Some(true));
    // Cut short: the key may be behind the cut.
    let server = server_hello_of(&random, &session, &with_key);
    assert_eq!(resumed(&server[..server.len() - 1]), None);
}

#[test]
fn a_client_that_names_no_session_goes_on_from_none_unless_it_has_a_ticket() {
    let client = |extensions: &[u8]| {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[]),
            &vector(2, &[0xc0, 0x2f]),
            &vector(1, &[0]),
            &vector(2, extensions),
        ]
        .concat();
        record(CLIENT_HELLO, &body)
    };
    let ticket = |content: &[u8]| client(&extension(EXTENSION_SESSION_TICKET, content));
    for (client, expected) in [
        (client(b""), Some(false)),
        (ticket(b""), Some(false)),
        (ticket(b"ticket"), None),
    ] {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let server = server_hello_of(&[7; 32], &[], b"");
        hellos.push(false, 1, len(&client), &client, &mut hello);
        hellos.push(true, 1, len(&server), &server, &mut hello);
        assert_eq!(hello.resumed, expected);
    }
}

#[test]
fn without_the_clients_hello_only_tls_1_3_tells() {
    let tls13 = extension(EXTENSION_SUPPORTED_VERSIONS, &[3, 4]);
    for (extensions, expected) in [(&tls13[..], Some(false)), (b"", None)] {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let server = server_hello_of(&[7; 32], &[9; 32], extensions);
        hellos.push(true, 1, len(&server), &server, &mut hello);
        assert_eq!(hello.resumed, expected);
    }
}

#[test]
fn a_hello_in_two_packets_or_two_records_is_read_whole() {
    let client = client_hello(b"a.example");
    for at in 1..client.len() {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let (one, two) = client.split_at(at);
        hellos.push(true, u32::MAX, len(one), one, &mut hello);
        hellos.push(
            true,
            u32::MAX.wrapping_add(len(one)),
            len(two),
            two,
            &mut hello,
        );
        assert_eq!(hello.server_name.as_deref(), Some("a.example"), "{at}");
        assert_eq!(hello.version_offered, Some(TlsVersion::Tls13), "{at}");
    }
    let (first, second) = client[5..].split_at(60);
    let records = [
        &[22, 3, 1][..],
        &vector(2, first),
        &[22, 3, 1],
        &vector(2, second),
    ]
    .concat();
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    hellos.push(true, 5, len(&records), &records, &mut hello);
    assert_eq!(hello.server_name.as_deref(), Some("a.example"));
}

#[test]
fn a_hello_cut_short_tells_what_is_there_and_any_cut_is_safe() {
    let client = client_hello(b"a.example");
    for at in 0..client.len() {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        hellos.push(true, 5, len(&client), &client[..at], &mut hello);
        assert!(hellos.sides[1].done, "nothing follows a cut");
        let name = hello.server_name.as_deref();
        assert!(matches!(name, None | Some("a.example")), "{at}: {name:?}");
    }
}

#[test]
fn names_that_are_no_host_names_are_not_taken() {
    for name in [&b""[..], b"a\nb", b"\xff\xfe", &[b'a'; 300], b"a b"] {
        let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
        let client = client_hello(name);
        hellos.push(true, 5, len(&client), &client, &mut hello);
        assert_eq!(hello.server_name, None, "{}", name.escape_ascii());
        assert_eq!(hello.alpn_offered.len(), 2);
    }
}

#[test]
fn other_records_and_missing_packets_tell_nothing() {
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    assert!(!hellos.push(true, 5, 4, b"\x17\x03\x03\x00", &mut hello));
    let client = client_hello(b"a.example");
    let (one, two) = client.split_at(50);
    let (mut hellos, mut hello) = (Hellos::default(), TlsHello::default());
    hellos.push(true, 5, len(one), one, &mut hello);
    assert!(!hellos.push(true, 7, len(two), two, &mut hello));
    assert_eq!(hello.server_name, None);
}
