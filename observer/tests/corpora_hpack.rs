//! Decodes header blocks of other projects' HPACK encoders and compares every field. The folder
//! is named by `OBSERVER_CORPORA`; without it the test is skipped.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use observer::protocol::h2::hpack::{Decoder, Scratch};
use serde_json::Value;

const ENCODERS: [&str; 7] = [
    "go-hpack",
    "haskell-http2-naive",
    "haskell-http2-static-huffman",
    "nghttp2",
    "nghttp2-change-table-size",
    "python-hpack",
    "swift-nio-hpack-plain-text",
];

type Fields = Vec<(String, String)>;

fn lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    BufReader::new(GzDecoder::new(file))
        .lines()
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex").as_bytes();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex"))
        .collect()
}

fn expected(story: &Value) -> Fields {
    let pair = |field: &Value| {
        let text = |index: usize| field[index].as_str().expect("text").to_owned();
        (text(0), text(1))
    };
    story.as_array().expect("fields").iter().map(pair).collect()
}

#[test]
fn every_block_of_every_encoder_gives_its_fields() {
    let folder =
        std::env::var_os("OBSERVER_CORPORA").map(|folder| PathBuf::from(folder).join("hpack"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
        println!("skipped: OBSERVER_CORPORA does not name a folder with hpack/");
        return;
    };
    let stories = lines(&folder.join("headers.jsonl.gz"));
    let truth = |story: &Value| stories.iter().find(|other| other["story"] == *story);
    let (mut agreed, mut blocks) = (0, 0);
    for encoder in ENCODERS {
        let (mut own_agreed, mut own_blocks) = (0, 0);
        for story in lines(&folder.join(format!("{encoder}.jsonl.gz"))) {
            let truth = truth(&story["story"]).expect("a story");
            let mut decoder = Decoder::new(false);
            let mut scratch = Scratch::default();
            let cases = story["cases"].as_array().expect("cases");
            for (case, expected_fields) in cases.iter().zip(truth["cases"].as_array().unwrap()) {
                if let Some(size) = case["table_size"].as_u64() {
                    decoder.allow(u32::try_from(size).unwrap());
                }
                let mut fields = Fields::new();
                let text = |text: Option<&[u8]>| String::from_utf8(text.unwrap().to_vec()).unwrap();
                let result = decoder.decode(&bytes(&case["wire"]), &mut scratch, &mut |field| {
                    fields.push((text(field.name), text(field.value)));
                });
                own_blocks += 1;
                if result.is_ok() && fields == expected(expected_fields) {
                    own_agreed += 1;
                } else {
                    println!("{encoder}: story {} differs: {result:?}", story["story"]);
                }
            }
        }
        let disagreed = own_blocks - own_agreed;
        println!("table: hpack/{encoder}: {own_agreed} agreed, {disagreed} disagreed, 0 skipped");
        agreed += own_agreed;
        blocks += own_blocks;
    }
    println!("all: {agreed} of {blocks} blocks agree");
    assert_eq!(agreed, blocks);
    assert!(blocks > 20_000, "{blocks}");
}
