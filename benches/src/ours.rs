//! What is decoded, and our decoder.

use arrow_array::RecordBatch;
use shardarrow::decode::{DecodeOptions, Decoder, Format, Room, SchemaState, Skip, decoder};
use shardarrow::page::{ItemsPage, KeyAttribute, Page};

use crate::pages::Recipe;
use crate::shapes::Shape;

/// Which answer the bytes are.
#[derive(Clone, Debug)]
pub enum Answer {
    Records(Page),
    Items(ItemsPage),
}

impl Answer {
    pub fn body(&self) -> &bytes::Bytes {
        match self {
            Self::Records(page) => &page.body,
            Self::Items(page) => &page.body,
        }
    }
}

/// A page and the keys of its table.
#[derive(Clone, Debug)]
pub struct Workload {
    pub answer: Answer,
    pub keys: Vec<KeyAttribute>,
    pub format: Format,
}

impl Workload {
    /// By name: `streams/medium`, `scan/wide/shuffled`, `streams/small/10` for 10 records,
    /// `bytes/medium/10MB` for a large page of Kinesis.
    pub fn named(name: &str) -> Option<Self> {
        let mut words = name.split('/');
        let (service, shape) = (words.next()?, Shape::named(words.next()?)?);
        let mut recipe = Recipe::of(shape);
        for word in words {
            recipe = match word.parse() {
                Ok(records) => recipe.records(records),
                Err(_) if word == "10MB" => recipe.bytes(10_000_000),
                Err(_) if word == "shuffled" => recipe.shuffled(),
                Err(_) => return None,
            };
        }
        let answer = match service {
            "streams" => Answer::Records(recipe.streams()),
            "scan" => Answer::Items(recipe.scan()),
            "bytes" => Answer::Records(recipe.kinesis()),
            "dynamodb" => Answer::Records(recipe.kinesis()),
            "json" => Answer::Records(recipe.kinesis_json()),
            _ => return None,
        };
        let format = match service {
            "bytes" => Format::Bytes,
            "dynamodb" => Format::Dynamodb,
            "json" => Format::Json,
            _ => Format::Streams,
        };
        let keys = if matches!(format, Format::Bytes | Format::Json) { Vec::new() } else { shape.keys() };
        Some(Self { answer, keys, format })
    }

    /// What a stream decodes it with by default.
    pub fn options(&self) -> DecodeOptions {
        DecodeOptions { format: self.format, ..DecodeOptions::default() }
    }
}

pub trait Contender {
    /// Does the whole work once and drops what came of it.
    fn pass(&mut self);
}

/// By name: `ours`, `ours-old` (old images as columns too), `ours-new` (a decoder made for each page).
pub fn ours(name: &str, workload: &Workload) -> Option<Box<dyn Contender>> {
    let options = workload.options();
    Some(match name {
        "ours" => Box::new(Ours::new(workload, options)),
        "ours-old" => Box::new(Ours::new(workload, DecodeOptions { old_image: true, ..options })),
        "ours-new" => Box::new(Fresh(workload.clone())),
        _ => return None,
    })
}

/// Our decoder as a stream uses it: inferring, checking, one batch for each page.
pub struct Ours {
    decoder: Box<dyn Decoder>,
    answer: Answer,
}

const ROOM: Room = Room { rows: usize::MAX, bytes: usize::MAX };

impl Ours {
    pub fn new(workload: &Workload, options: DecodeOptions) -> Self {
        let decoder = decoder(&options, &workload.keys, None).expect("the options are sound");
        Self { decoder, answer: workload.answer.clone() }
    }

    pub fn batch(&mut self) -> RecordBatch {
        let pushed = match &self.answer {
            Answer::Records(page) => self.decoder.push(page, page.records.start, ROOM, &Skip::default()),
            Answer::Items(page) => self.decoder.push_items(page, page.items.start, ROOM),
        };
        assert_eq!(pushed.expect("the page is sound").rest, None);
        self.decoder.flush().expect("a batch")
    }

    pub fn schema(&self) -> SchemaState {
        SchemaState::clone(&self.decoder.schema_state())
    }
}

impl Contender for Ours {
    fn pass(&mut self) {
        std::hint::black_box(self.batch());
    }
}

/// The first page of a stream that goes on from a checkpoint: nothing is warm.
struct Fresh(Workload);

impl Contender for Fresh {
    fn pass(&mut self) {
        Ours::new(&self.0, self.0.options()).pass();
    }
}
