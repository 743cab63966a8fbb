//! Published parsers, on the same bytes. Each does less: none pairs requests with answers, none
//! takes bytes that start in the middle or are missing.

use std::hint::black_box;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::contender::Contender;
use super::traffic::{CALLS, Exchanges, REQUEST, RESPONSE, frame};

/// Longest frame that HTTP/2 allows (RFC 9113 §4.2).
const MAX_FRAME: usize = (1 << 24) - 1;

/// Reads the header blocks of a connection and returns how many it took.
type ReadStory = Box<dyn FnMut(&[Vec<u8>]) -> usize>;

/// Bytes that were received, for who wants to read them from a connection.
struct Received<'a>(&'a [u8]);

impl AsyncRead for Received<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(to.remaining()));
        to.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Received<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Reads frames as the crate h2 does, and returns how many it read. It refuses fields that HTTP/2
/// does not allow (RFC 9113 §8.2.2), which are in recordings, after it has read the block.
fn h2_frames(bytes: &[u8]) -> usize {
    let mut codec: h2::Codec<_, bytes::Bytes> = h2::Codec::new(Received(bytes));
    codec.set_max_recv_frame_size(MAX_FRAME);
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(Some(frame)) = Pin::new(&mut codec).poll_next(&mut context) {
        let _ = black_box(frame);
        taken += 1;
    }
    taken
}

/// Calls over HTTP/2: frames and header blocks of both sides, by h2.
pub fn h2_calls(exchanges: &Exchanges) -> Contender {
    let side = |index: usize| {
        let bytes = exchanges.iter().map(|exchange| &exchange[index][..]);
        bytes.collect::<Vec<_>>().concat()
    };
    let sides = [side(0), side(1)];
    let run = move || {
        let taken: usize = sides.iter().map(|bytes| h2_frames(bytes)).sum();
        assert_eq!(taken, 3 * CALLS as usize);
    };
    Contender {
        name: "h2, its frames and header blocks",
        units: vec![(f64::from(CALLS), "calls")],
        run: Box::new(run),
    }
}

/// The heads of HTTP/1.1, by httparse and nothing more.
pub fn httparse_heads() -> Contender {
    let run = || {
        for _ in 0..CALLS {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Request::new(&mut fields);
            assert!(head.parse(black_box(REQUEST)).is_ok());
            black_box(&head);
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut head = httparse::Response::new(&mut fields);
            assert!(head.parse(black_box(RESPONSE)).is_ok());
            black_box(&head);
        }
    };
    Contender {
        name: "httparse, its heads alone",
        units: vec![(f64::from(CALLS), "calls")],
        run: Box::new(run),
    }
}

/// Header blocks by everybody who publishes a decoder. `units` is what they come to.
pub fn hpack(stories: &[Vec<Vec<u8>>], units: &[(f64, &'static str)]) -> Vec<Contender> {
    let contender = |name, mut read: ReadStory| {
        let stories = stories.to_vec();
        let blocks: usize = stories.iter().map(Vec::len).sum();
        let run = move || {
            let taken: usize = stories.iter().map(|story| read(story)).sum();
            assert_eq!(taken, blocks, "{name}");
        };
        Contender {
            name,
            units: units.to_vec(),
            run: Box::new(run),
        }
    };
    // Each makes a list of fields that it owns; the observer lends them.
    macro_rules! of_hpack_rs {
        ($name:literal, $decoder:ident) => {
            contender(
                $name,
                Box::new(|story| {
                    let mut decoder = $decoder::Decoder::new();
                    let read = story.iter().filter(|block| {
                        let fields = decoder.decode(black_box(block));
                        black_box(fields).is_ok()
                    });
                    read.count()
                }),
            )
        };
    }
    vec![
        contender(
            "h2, in frames",
            Box::new(|story| {
                let frames: Vec<_> = (0..)
                    .zip(story)
                    .map(|(at, block)| frame(1, 5, at * 2 + 1, block))
                    .collect();
                h2_frames(&frames.concat())
            }),
        ),
        of_hpack_rs!("hpack", hpack),
        of_hpack_rs!("hpack-patched", hpack_patched),
        of_hpack_rs!("fluke-hpack", fluke_hpack),
        of_hpack_rs!("loona-hpack", loona_hpack),
        contender(
            "httlib-hpack",
            Box::new(|story| {
                let mut decoder = httlib_hpack::Decoder::default();
                let read = story.iter().filter(|block| {
                    // It takes what it reads out of the buffer it is given.
                    let (mut block, mut fields) = (block.to_vec(), Vec::new());
                    let result = decoder.decode(&mut block, &mut fields);
                    black_box(fields);
                    result.is_ok()
                });
                read.count()
            }),
        ),
    ]
}
