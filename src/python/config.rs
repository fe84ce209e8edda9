//! The options as they cross from Python: one JSON text, parsed strictly, and what they mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::memory::Shelf;
use crate::aws::Connection;
use crate::checkpoint::sqlite::SqliteStore;
use crate::checkpoint::{Checkpoint, CheckpointStore};
use crate::decode::{DecodeOptions, decoder};
use crate::error::{Error, Result};
use crate::page::{KeyAttribute, Millis, Terms};
use crate::position::{Position, SequenceNumber, ShardId};
use crate::run::{Keeper, OnGap, Options, Others, SnapshotOptions, Start};
use crate::source::Source;
use crate::source::fan_out::FanOut;
use crate::source::kinesis::Kinesis;
use crate::source::streams::Streams;
use crate::source::through::Through;
use crate::stream::{Keep, Plan};

const LEAST_MEMORY: usize = 64 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    source: SourceConfig,
    decode: DecodeOptions,
    stream: StreamConfig,
    checkpoint: CheckpointConfig,
}

/// What is asked for, and where.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SourceConfig {
    Dynamodb(TableConfig),
    Kinesis(KinesisConfig),
    /// A table whose changes come through a Kinesis stream.
    Through {
        table: Box<TableConfig>,
        stream: Box<KinesisConfig>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableConfig {
    table: String,
    connection: Connection,
    enable_stream: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KinesisConfig {
    stream: String,
    connection: Connection,
    /// Of the table whose changes are in the stream, hash key first.
    keys: Vec<KeyAttribute>,
    /// A consumer's name or ARN: records are pushed to it instead of being polled for.
    fan_out: Option<String>,
    /// With how many shards the stream is made when it is not there.
    create_shards: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamConfig {
    start: StartConfig,
    follow: bool,
    settle: f64,
    commit_interval: f64,
    batch_rows: usize,
    batch_bytes: usize,
    batch_wait: f64,
    memory_limit: usize,
    on_gap: OnGapConfig,
    poll_interval: f64,
    discovery_interval: f64,
    stall_timeout: f64,
    snapshot: SnapshotConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotConfig {
    segments: Option<u32>,
    slice: f64,
    max_read_units: Option<f64>,
    limit: Option<u64>,
    scan_only: bool,
    late_margin: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnGapConfig {
    Fail,
    Resnapshot,
    Continue,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StartConfig {
    Snapshot,
    Earliest,
    Latest,
    Time { moment: Millis },
    Positions { positions: Vec<PositionConfig>, others: OthersConfig },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionConfig {
    shard: Option<ShardId>,
    kind: PositionKind,
    sequence: SequenceNumber,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PositionKind {
    At,
    After,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OthersConfig {
    Earliest,
    Latest,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum CheckpointConfig {
    Memory { name: String },
    Sqlite { path: PathBuf, name: String },
    Loader { checkpoint: Option<String> },
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self> {
        parse(text)
    }

    pub(super) fn into_plan(self, shelf: Shelf) -> Result<Plan> {
        let decode = self.decode;
        let mut options = self.stream.into_options()?;
        options.snapshot.columns = decode.columns.as_deref().map(Arc::from);
        Ok(Plan {
            options,
            enable_stream: matches!(&self.source, SourceConfig::Dynamodb(table) if table.enable_stream),
            keep: self.checkpoint.into_keep(shelf)?,
            source: self.source.into_source()?,
            decoder: Box::new(move |description, resumed| decoder(&decode, &description.keys, resumed)),
        })
    }
}

impl SourceConfig {
    pub(super) fn parse(text: &str) -> Result<Self> {
        parse(text)
    }

    /// # Errors
    /// `Usage`, before anything is contacted.
    pub(super) fn into_source(self) -> Result<Arc<dyn Source>> {
        Ok(match self {
            Self::Dynamodb(table) => Arc::new(Streams::new(&table.table, table.connection)?),
            Self::Kinesis(stream) => stream.into_source()?,
            Self::Through { table, stream } => {
                let table = Streams::new(&table.table, table.connection)?;
                Arc::new(Through::new(table, stream.into_source()?))
            }
        })
    }

    /// # Errors
    /// `Usage` for a source without a consumer.
    pub(super) fn into_fan_out(self) -> Result<FanOut> {
        let stream = match self {
            Self::Dynamodb(_) => None,
            Self::Kinesis(stream) => Some(stream),
            Self::Through { stream, .. } => Some(*stream),
        };
        match stream {
            Some(KinesisConfig { stream, connection, fan_out: Some(consumer), .. }) => {
                FanOut::new(Kinesis::new(&stream, connection)?, &consumer)
            }
            _ => Err(Error::usage("the source has no fan_out, so it has no consumer to deregister")),
        }
    }
}

impl KinesisConfig {
    fn into_source(self) -> Result<Arc<dyn Source>> {
        let kinesis = Kinesis::new(&self.stream, self.connection)?;
        let kinesis = kinesis.with_keys(self.keys).with_creation(self.create_shards);
        Ok(match &self.fan_out {
            Some(consumer) => Arc::new(FanOut::new(kinesis, consumer)?),
            None => Arc::new(kinesis),
        })
    }
}

/// # Errors
/// `Usage`. The text holds credentials, so the error names the place and never quotes.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| {
        let (line, column) = (cause.line(), cause.column());
        Error::usage(format!("the options do not have the expected form (line {line}, column {column})"))
    })
}

impl StreamConfig {
    fn into_options(self) -> Result<Options> {
        at_least("batch_rows", self.batch_rows, 1)?;
        at_least("batch_bytes", self.batch_bytes, 1)?;
        if self.memory_limit < LEAST_MEMORY {
            return Err(Error::usage(format!(
                "memory_limit is {} bytes but must be at least 64 MiB",
                self.memory_limit
            )));
        }
        Ok(Options {
            start: self.start.into(),
            follow: self.follow,
            settle: seconds("settle", self.settle)?,
            keeper: Keeper::Store,
            commit_interval: seconds("commit_interval", self.commit_interval)?,
            batch_rows: self.batch_rows,
            batch_bytes: self.batch_bytes,
            batch_wait: seconds("batch_wait", self.batch_wait)?,
            memory_limit: self.memory_limit,
            terms: Terms::of_pages(0, 0),
            on_gap: match self.on_gap {
                OnGapConfig::Fail => OnGap::Fail,
                OnGapConfig::Resnapshot => OnGap::Resnapshot,
                OnGapConfig::Continue => OnGap::Continue,
            },
            poll_interval: seconds("poll_interval", self.poll_interval)?,
            discovery_interval: seconds("discovery_interval", self.discovery_interval)?,
            stall_timeout: seconds("stall_timeout", self.stall_timeout)?,
            seed: seed(),
            snapshot: self.snapshot.into_options()?,
        })
    }
}

impl SnapshotConfig {
    fn into_options(self) -> Result<SnapshotOptions> {
        Ok(SnapshotOptions {
            segments: self.segments,
            slice: seconds("snapshot_slice", self.slice)?,
            max_read_units: self.max_read_units,
            columns: None,
            limit: self.limit,
            scan_only: self.scan_only,
            late_margin: match self.late_margin {
                Some(margin) => seconds("late_margin", margin)?,
                None => SnapshotOptions::default().late_margin,
            },
        })
    }
}

fn at_least(option: &str, value: usize, least: usize) -> Result<()> {
    if value >= least {
        Ok(())
    } else {
        Err(Error::usage(format!("{option} is {value} but must be at least {least}")))
    }
}

/// A day's-scale bound keeps sums of times far from overflow.
pub(super) fn seconds(option: &str, value: f64) -> Result<Duration> {
    const MOST: f64 = 366.0 * 86400.0;
    if (0.0..=MOST).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(Error::usage(format!("{option} is {value} but must be between 0 seconds and a year")))
    }
}

/// Two streams of one machine should not try again at the same moments.
pub(super) fn seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) << 32 ^ now.as_secs() ^ u64::from(std::process::id()) << 16
}

impl From<StartConfig> for Start {
    fn from(start: StartConfig) -> Self {
        match start {
            StartConfig::Snapshot => Self::Snapshot,
            StartConfig::Earliest => Self::Earliest,
            StartConfig::Latest => Self::Latest,
            StartConfig::Time { moment } => Self::Time(moment),
            StartConfig::Positions { positions, others } => Self::Positions {
                positions: positions.into_iter().map(PositionConfig::into_pair).collect(),
                others: match others {
                    OthersConfig::Earliest => Others::Earliest,
                    OthersConfig::Latest => Others::Latest,
                },
            },
        }
    }
}

impl PositionConfig {
    fn into_pair(self) -> (Option<ShardId>, Position) {
        let position = match self.kind {
            PositionKind::At => Position::At(self.sequence),
            PositionKind::After => Position::After(self.sequence),
        };
        (self.shard, position)
    }
}

impl CheckpointConfig {
    fn into_keep(self, shelf: Shelf) -> Result<Keep> {
        Ok(match self {
            Self::Memory { name } => Keep::Store(Box::new(move || Ok(boxed(shelf.take(&name)?)))),
            Self::Sqlite { path, name } => {
                Keep::Store(Box::new(move || Ok(boxed(SqliteStore::open(&path, &name)?))))
            }
            Self::Loader { checkpoint } => {
                Keep::Loader(checkpoint.as_deref().map(Checkpoint::parse).transpose()?.map(Box::new))
            }
        })
    }
}

fn boxed(store: impl CheckpointStore) -> Box<dyn CheckpointStore> {
    Box::new(store)
}
