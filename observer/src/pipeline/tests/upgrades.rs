//! Connections that leave HTTP/1 for WebSocket or HTTP/2.

use super::support::*;
use crate::protocol::Verdict;

const UPGRADE: &[u8] =
    b"GET /live HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fn masked(first: u8, text: &[u8]) -> Vec<u8> {
    let mask = [9, 8, 7, 6];
    let body = text.iter().zip(mask.iter().cycle());
    let body: Vec<u8> = body.map(|(byte, mask)| byte ^ mask).collect();
    [&[first, 0x80 | text.len() as u8][..], &mask, &body].concat()
}

#[test]
fn a_websocket_connection_is_one_record_with_what_went_over_it() {
    let client = [
        masked(0x81, b"hello"),
        masked(0x89, b""),
        masked(0x88, &[3, 232]),
    ]
    .concat();
    let server = b"\x81\x05hello\x01\x02ab\x80\x01c\x8a\x00\x88\x02\x03\xe8";
    for cut in [1, 2, 5, 1000] {
        let mut run = Run::default();
        run.bytes(Inbound, UPGRADE);
        let answer = [SWITCH, server].concat();
        for part in answer.chunks(cut) {
            run.bytes(Outbound, part);
        }
        for part in client.chunks(cut) {
            run.bytes(Inbound, part);
        }
        assert_eq!(run.lines(), Vec::<String>::new(), "it goes on");
        run.close();
        assert_eq!(run.lines(), ["GET /live 101 7 10 upgrade"], "{cut}");
        let call = run.calls()[0];
        let websocket = call.websocket.as_deref().unwrap();
        assert_eq!(
            (call.request_messages, call.response_messages),
            (Some(1), Some(2))
        );
        assert_eq!((websocket.client_frames, websocket.server_frames), (3, 5));
        assert_eq!(websocket.close_code, Some(1000));
        assert!(call.duration_ns.is_some());
        run.assert_empty();
    }
}

#[test]
fn large_messages_of_a_websocket_are_left_out_of_the_capture() {
    let mut run = Run::default();
    run.bytes(Inbound, UPGRADE).bytes(Outbound, SWITCH);
    let mut frame = vec![0x82, 127];
    frame.extend(1_000_000u64.to_be_bytes());
    frame.extend([0; 1000]);
    run.bytes(Outbound, &frame);
    assert_eq!(run.skips().len(), 1);
    run.gap(Outbound, 999_000)
        .bytes(Outbound, b"\x81\x02hi")
        .close();
    assert_eq!(run.lines(), ["GET /live 101 0 1000002 upgrade"]);
    assert_eq!(run.calls()[0].response_messages, Some(2));
}

#[test]
fn an_upgrade_to_http2_is_answered_there() {
    let frame = |kind: u8, flags: u8, stream: u8, text: &[u8]| {
        [
            &[0, 0, text.len() as u8, kind, flags, 0, 0, 0, stream][..],
            text,
        ]
        .concat()
    };
    let mut run = Run::default();
    run.bytes(
        Inbound,
        b"GET /first HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    run.bytes(Outbound, &[&switch[..], &frame(4, 0, 0, b"")].concat());
    run.bytes(Inbound, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    run.bytes(Inbound, &frame(4, 0, 0, b""));
    run.bytes(
        Outbound,
        &[frame(1, 4, 1, b"\x88"), frame(0, 1, 1, b"body")].concat(),
    );
    run.bytes(
        Inbound,
        &frame(1, 5, 3, b"\x82\x86\x44\x07/second\x41\x01h"),
    );
    run.bytes(Outbound, &frame(1, 5, 3, b"\x8d"));
    assert_eq!(run.lines(), ["GET /first 200 0 4", "GET /second 404 0 0"]);
    assert_eq!(run.verdicts(), [Verdict::Http1, Verdict::Http2]);
    run.assert_empty();
}

#[test]
fn calls_of_grpc_web_and_connect_have_operation_status_and_messages() {
    let web = "application/grpc-web+proto";
    let connect = "application/connect+json";
    for (kind, answer, protocol, status, counts) in [
        (
            web,
            &b"\0\0\0\0\x01x\x80\0\0\0\x0fgrpc-status: 7\n"[..],
            "grpc-web",
            Some(7),
            (Some(1), Some(1)),
        ),
        (
            connect,
            b"\0\0\0\0\x01x\0\0\0\0\0\x02\0\0\0\x02{}",
            "connect",
            Some(0),
            (Some(1), Some(2)),
        ),
        (
            "application/proto\r\nConnect-Protocol-Version: 1",
            b"x",
            "connect",
            None,
            (None, None),
        ),
    ] {
        let request = format!(
            "POST /shop.v1.Orders/Get HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: 6\r\n\r\n\0\0\0\0\x01r"
        );
        let mut run = Run::default();
        run.bytes(Inbound, request.as_bytes());
        let mut text = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .into_bytes();
        for part in answer.chunks(4) {
            text.extend(format!("{}\r\n", part.len()).bytes());
            text.extend(part);
            text.extend(b"\r\n");
        }
        text.extend(b"0\r\n\r\n");
        run.bytes(Outbound, &text);
        let calls = run.calls();
        let [call] = calls.as_slice() else {
            panic!("{calls:?}")
        };
        assert_eq!(call.protocol.as_str(), protocol);
        assert_eq!(
            call.operation.as_deref(),
            Some("shop.v1.Orders/Get"),
            "{kind}"
        );
        assert_eq!(call.grpc_status, status, "{kind}");
        assert_eq!(
            (call.request_messages, call.response_messages),
            counts,
            "{kind}"
        );
    }
    let mut run = Run::default();
    run.bytes(Inbound, b"POST /a.B/C HTTP/1.1\r\nConnect-Protocol-Version: 1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    run.bytes(Outbound, b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{\"code\":\"unauthenticated\"}");
    assert_eq!(run.calls()[0].grpc_status, Some(16));
}
