//! PutRecord and PutRecords.

use std::sync::Arc;

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::kinesis::record::{Entry, KinesisRecord, Place, hash_key};
use crate::kinesis::stream::Stream;
use crate::kinesis::{Kinesis, KinesisOp, Named, invalid_argument, shard_busy, stream_missing};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutEntry {
    /// Base64.
    pub data: String,
    pub partition_key: String,
    /// A decimal that takes the place of the partition key's MD5.
    #[serde(default)]
    pub explicit_hash_key: Option<String>,
}

impl PutEntry {
    pub fn new(partition_key: &str, data: &[u8]) -> Self {
        let data = STANDARD.encode_to_string(data);
        Self { data, partition_key: partition_key.to_owned(), explicit_hash_key: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResults {
    pub failed_record_count: usize,
    /// In the order of the request.
    pub records: Vec<PutResult>,
}

/// Where an entry went, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PutResult {
    #[serde(rename_all = "PascalCase")]
    Put { sequence_number: String, shard_id: String },
    #[serde(rename_all = "PascalCase")]
    Failed { error_code: String, error_message: String },
}

/// Documented: 500 records and 5 MiB, partition keys included; with larger records allowed, as much as one of them.
const REQUEST_RECORDS: usize = 500;
const REQUEST_BYTES: usize = 5 << 20;

impl Kinesis<'_> {
    /// Puts one record and says which shard it is in and under which number.
    pub fn put(&mut self, stream: &str, partition_key: &str, data: &[u8]) -> Result<(String, String)> {
        self.put_record(&Named::of(stream), &PutEntry::new(partition_key, data))
    }

    pub fn put_record(&mut self, stream: &Named, entry: &PutEntry) -> Result<(String, String)> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_put_record(stream, entry);
        self.call(KinesisOp::PutRecord, stream.stream(), act)
    }

    pub fn put_records(&mut self, stream: &Named, entries: &[PutEntry]) -> Result<PutResults> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_put_records(stream, entries);
        self.call(KinesisOp::PutRecords, stream.stream(), act)
    }

    pub(crate) fn do_put_record(&mut self, stream: &Named, entry: &PutEntry) -> Result<(String, String)> {
        let entry = prepare(entry, self.writable(stream)?)?;
        let (shard, sequence) = self.append(stream, &entry, self.now())?;
        Ok((shard.to_string(), sequence))
    }

    pub(crate) fn do_put_records(&mut self, stream: &Named, entries: &[PutEntry]) -> Result<PutResults> {
        let found = self.writable(stream)?;
        if !(1..=REQUEST_RECORDS).contains(&entries.len()) {
            return Err(AwsError::validation(format!("PutRecords takes 1 to {REQUEST_RECORDS} records")));
        }
        let most = REQUEST_BYTES.max(found.max_record_kib as usize * 1024);
        let entries: Vec<_> = entries.iter().map(|entry| prepare(entry, found)).collect::<Result<_>>()?;
        if entries.iter().map(|entry| entry.size_bytes).sum::<usize>() > most {
            return Err(invalid_argument(format!("Records size exceeds {} MB limit", most >> 20)));
        }
        let records: Vec<_> = entries.iter().map(|entry| self.append_or_fail(stream, entry)).collect();
        let failed = records.iter().filter(|result| matches!(result, PutResult::Failed { .. })).count();
        Ok(PutResults { failed_record_count: failed, records })
    }

    /// A record that another service puts, at a moment that may have passed.
    pub(crate) fn put_at(&mut self, at: Millis, stream: &Named, entry: &PutEntry) -> Result<()> {
        let entry = prepare(entry, self.writable(stream)?)?;
        self.append(stream, &entry, at).map(drop)
    }

    /// Data and partition key of one record, at most.
    pub(crate) fn max_record_bytes(&self, stream: &Named) -> Option<usize> {
        self.stream(stream).ok().map(|stream| stream.max_record_kib as usize * 1024)
    }

    /// A stream that is being created takes no records (recorded: it is not found).
    fn writable(&self, named: &Named) -> Result<&Stream> {
        let stream = self.stream(named)?;
        let ready = stream.status(self.now()) != "CREATING";
        if ready { Ok(stream) } else { Err(stream_missing(&stream.name)) }
    }

    /// One entry of a PutRecords: it fails alone.
    fn append_or_fail(&mut self, stream: &Named, entry: &Entry<'_>) -> PutResult {
        let share = self.knobs().put_fail_share;
        if self.aws.counter.random.chance(share) {
            // Documented, with its message.
            let (error_code, error_message) = ("InternalFailure".into(), "Internal Service Failure".into());
            return PutResult::Failed { error_code, error_message };
        }
        match self.append(stream, entry, self.now()) {
            Ok((shard, sequence_number)) => PutResult::Put { sequence_number, shard_id: shard.to_string() },
            Err(error) => PutResult::Failed { error_code: error.code, error_message: error.message },
        }
    }

    /// Writes one record into the open shard that holds its hash key.
    fn append(&mut self, named: &Named, entry: &Entry<'_>, now: Millis) -> Result<(Arc<str>, String)> {
        let jitter = self.knobs().arrival_jitter_ms;
        let early = Millis::try_from(self.aws.counter.random.below(jitter)).unwrap_or(0);
        let (records, bytes) =
            (self.knobs().written_records_per_second, self.knobs().written_bytes_per_second);
        let stream = self.stream_mut(named)?;
        let (arn, created) = (stream.arn.clone(), stream.created_s * 1000);
        let (name, horizon) = (stream.name.clone(), now.saturating_sub(stream.retention_ms()));
        let holds = |shard: &&mut super::shard::Shard| shard.is_open() && shard.holds(entry.hash_key);
        let shard = stream.shards.values_mut().find(holds).ok_or_else(|| stream_missing(&name))?;
        let fits = shard.written_bytes.take(now, bytes, entry.size_bytes as f64)
            && shard.written_records.take(now, records, 1.0);
        if !fits {
            return Err(shard_busy(&shard.id, &name));
        }
        let place = Place {
            stream: arn,
            stream_created_ms: created,
            shard: shard.id.clone(),
            sequence: shard.numbering.next(now),
            arrived_ms: now - early,
            written_ms: now,
        };
        let record = Arc::new(KinesisRecord::new(entry, place));
        shard.trim(horizon);
        shard.push(record.clone());
        let written = (shard.id.clone(), record.sequence.to_string());
        if self.aws.knobs.keep_history {
            self.aws.kinesis.history.push(record);
        }
        Ok(written)
    }
}

fn prepare<'a>(entry: &'a PutEntry, stream: &Stream) -> Result<Entry<'a>> {
    let key = &entry.partition_key;
    if !(1..=256).contains(&key.chars().count()) {
        return Err(AwsError::validation("PartitionKey must have 1 to 256 characters"));
    }
    let hash_key = match &entry.explicit_hash_key {
        None => hash_key(key),
        Some(given) => given.parse().map_err(|_| {
            invalid_argument(format!(
                "Invalid ExplicitHashKey {given}: it must be a number from 0 to 2^128 - 1"
            ))
        })?,
    };
    let data = entry.data.as_bytes();
    let length = STANDARD.check(data).ok().and_then(|()| STANDARD.decoded_length(data).ok());
    let length = length.ok_or_else(|| AwsError::serialization("Data is not valid base64"))?;
    let size_bytes = length + key.len();
    let most = stream.max_record_kib as usize * 1024;
    if size_bytes > most {
        return Err(AwsError::validation(format!(
            "1 validation error detected: Value at 'data' failed to satisfy constraint: \
             Member must have length less than or equal to {most}"
        )));
    }
    Ok(Entry { partition_key: key, hash_key, data: &entry.data, size_bytes })
}
