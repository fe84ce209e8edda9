//! Aggregates of the Kinesis Producer Library: many records of users in one record of a stream.
//!
//! Four magic bytes, a protobuf message, the MD5 of that message:
//!
//! ```text
//! AggregatedRecord { 1: repeated string partition keys, 2: repeated string explicit hash keys, 3: repeated Record }
//! Record           { 1: index of its partition key, 2: index of its explicit hash key, 3: data, 4: repeated Tag }
//! ```
//!
//! Source: awslabs/amazon-kinesis-producer, `aggregation-format.md`. The message is gone over once to see
//! that it is sound to its end and to find the keys, which may stand behind the records; then it is handed
//! out part by part, without a list of the parts.

mod protobuf;

use md5::{Digest, Md5};

use self::protobuf::{Fields, Value};
use crate::page::HashKeys;

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// Characters of a partition key (`PutRecord` in the API reference).
const MOST_CHARACTERS: usize = 256;
/// What the rows of one aggregate may take, so that a batch stays below Arrow's offsets of 2 GiB. A
/// record of 10 MiB comes near it only when it was made to: its parts share keys.
const MOST_BYTES: usize = 512 << 20;
/// Of a row, besides its data and keys: its sequence number above all.
const ROW_BYTES: usize = 160;

/// What the data of a record is.
pub(super) enum Form<'a> {
    Plain,
    /// It has the magic bytes, but not the checksum: no aggregate, as the format says.
    Broken,
    Aggregate(Aggregate<'a>),
}

pub(super) struct Aggregate<'a> {
    message: &'a [u8],
    partition_keys: Vec<Key<'a>>,
    explicit_hash_keys: Vec<Key<'a>>,
}

/// A key in one of the tables, and its place among the hash keys where that is known.
#[derive(Clone, Copy)]
struct Key<'a> {
    text: &'a str,
    hash: Option<u128>,
}

/// One record of a user.
pub(super) struct Part<'a> {
    pub(super) partition_key: &'a str,
    pub(super) explicit_hash_key: Option<&'a str>,
    pub(super) data: &'a [u8],
    hash: Option<u128>,
}

impl Part<'_> {
    /// Whether it should have been put into another shard than the one with these hash keys.
    pub(super) fn is_outside(&self, shard: HashKeys) -> bool {
        self.hash.is_some_and(|hash| !(shard.first..=shard.last).contains(&hash))
    }
}

impl<'a> Form<'a> {
    /// # Errors
    /// What is wrong with the message of an aggregate whose checksum is right.
    pub(super) fn of(data: &'a [u8]) -> Result<Self, &'static str> {
        let Some(rest) = data.strip_prefix(&MAGIC) else { return Ok(Self::Plain) };
        match rest.split_last_chunk::<16>() {
            Some((message, checksum)) if Md5::digest(message)[..] == *checksum => {
                Aggregate::read(message).map(Self::Aggregate)
            }
            _ => Ok(Self::Broken),
        }
    }
}

impl<'a> Aggregate<'a> {
    fn read(message: &'a [u8]) -> Result<Self, &'static str> {
        let mut aggregate = Self { message, partition_keys: Vec::new(), explicit_hash_keys: Vec::new() };
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(text)) => aggregate.partition_keys.push(partition_key(text)?),
                (2, Value::Bytes(text)) => aggregate.explicit_hash_keys.push(explicit_hash_key(text)?),
                (3, Value::Bytes(_)) => {}
                (1..=3, _) => return Err("a field of it has another type than the format says"),
                _ => {}
            }
        }
        let mut bytes = 0usize;
        for part in aggregate.parts() {
            let part = part?;
            bytes += ROW_BYTES + part.data.len() + part.partition_key.len();
            if bytes > MOST_BYTES {
                return Err("its records take more than 512 MiB");
            }
        }
        Ok(aggregate)
    }

    /// The records in it, in their order. After `read` none is an error.
    pub(super) fn parts(&self) -> impl Iterator<Item = Result<Part<'a>, &'static str>> + '_ {
        let records = Fields::of(self.message).filter_map(|field| match field {
            Ok((3, Value::Bytes(record))) => Some(Ok(record)),
            Ok(_) => None,
            Err(reason) => Some(Err(reason)),
        });
        records.map(|record| self.part(record?))
    }

    fn part(&self, record: &'a [u8]) -> Result<Part<'a>, &'static str> {
        let (mut partition, mut explicit, mut data) = (None, None, None);
        // Of a field that stands there twice the last one counts (protobuf, encoding).
        for field in Fields::of(record) {
            match field? {
                (1, Value::Number(index)) => partition = Some(index),
                (2, Value::Number(index)) => explicit = Some(index),
                (3, Value::Bytes(bytes)) => data = Some(bytes),
                (1..=3, _) => return Err("a field of a record in it has another type than the format says"),
                _ => {}
            }
        }
        let partition = partition.ok_or("a record in it has no partition key")?;
        let partition = at(&self.partition_keys, partition)?;
        let explicit = explicit.map(|index| at(&self.explicit_hash_keys, index)).transpose()?;
        Ok(Part {
            partition_key: partition.text,
            explicit_hash_key: explicit.map(|key| key.text),
            data: data.ok_or("a record in it has no data")?,
            hash: explicit.unwrap_or(partition).hash,
        })
    }
}

fn at<'a>(keys: &[Key<'a>], index: u64) -> Result<Key<'a>, &'static str> {
    let key = usize::try_from(index).ok().and_then(|index| keys.get(index));
    key.copied().ok_or("a record in it names a key that is not there")
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "a key in it is not UTF-8")?;
    match text.chars().nth(MOST_CHARACTERS) {
        None => Ok(text),
        Some(_) => Err("a key in it has more than 256 characters"),
    }
}

fn partition_key(bytes: &[u8]) -> Result<Key<'_>, &'static str> {
    let text = text(bytes)?;
    Ok(Key { text, hash: Some(u128::from_be_bytes(Md5::digest(bytes).into())) })
}

/// One that is no number stands in the row as it is: where it belongs cannot be told.
fn explicit_hash_key(bytes: &[u8]) -> Result<Key<'_>, &'static str> {
    let text = text(bytes)?;
    Ok(Key { text, hash: text.parse().ok() })
}
