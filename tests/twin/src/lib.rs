//! A fake AWS with virtual time: DynamoDB tables and their streams, as far as a consumer sees
//! them, Kinesis streams, and everything that goes wrong with them.
//!
//! [`Aws`] is the in-process model: plain methods, no threads, no I/O, a function of its seed.
//! The same model stands behind an HTTP server on loopback. Each behaviour says where it
//! is known from: *documented* (the service's documentation or public model), *recorded* (seen
//! on the service by somebody who wrote it down), or *assumed*.

mod aws;
mod between;
mod calls;
pub mod channel;
mod clock;
mod condition;
mod control;
mod cut;
mod dynamodb;
mod error;
mod faults;
mod frame;
mod http;
mod item;
mod iterator;
pub mod kinesis;
mod knobs;
mod listing;
mod past;
mod projection;
mod push;
mod random;
mod record;
mod records;
mod reshard;
mod respond;
mod scan;
mod scan_answer;
mod segment;
mod sequence;
mod shard;
mod signature;
mod stream;
mod table;
mod value;
mod wire;

pub use aws::Aws;
pub use calls::{Call, Count, Op};
pub use clock::{Millis, START};
pub use condition::Condition;
pub use dynamodb::Write;
pub use error::{AwsError, Result};
pub use faults::{Fault, Injection};
pub use http::{Held, Server, serve};
pub use item::{AttributeDefinition, Attributes, KeyElement};
pub use knobs::{EndIterator, EndPage, Knobs, ScanMembers, Vanished};
pub use listing::{
    DescribeStream, SequenceRange, ShardDescription, ShardFilter, StreamDescription, StreamPage,
    StreamSummary,
};
pub use record::{Event, Record, ViewType};
pub use records::{IteratorType, RecordPage};
pub use scan::{ScanPage, ScanRequest};
pub use sequence::Sequence;
pub use table::{Billing, CreateTable, StreamSpecification, TableDescription};
