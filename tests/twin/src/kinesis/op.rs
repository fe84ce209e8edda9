//! The operations of Kinesis, by the names that faults and counters know them by.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// In faults, counters and logs an operation is named with its service:
        /// `Kinesis.GetRecords`, since DynamoDB Streams has a GetRecords too.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum KinesisOp {
            $($name,)*
        }

        impl KinesisOp {
            /// The name in faults and counters: `Kinesis.` and the wire's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("Kinesis.", stringify!($name)),)*
                }
            }

            /// The operation that the wire calls so.
            pub(crate) fn on_wire(name: &str) -> Option<Self> {
                match name {
                    "SubscribeToShardEvent" => None,
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

operations! {
    CreateStream,
    DeleteStream,
    DescribeStream,
    DescribeStreamSummary,
    ListStreams,
    ListShards,
    GetShardIterator,
    GetRecords,
    PutRecord,
    PutRecords,
    SplitShard,
    MergeShards,
    UpdateShardCount,
    UpdateStreamMode,
    UpdateMaxRecordSize,
    IncreaseStreamRetentionPeriod,
    DecreaseStreamRetentionPeriod,
    RegisterStreamConsumer,
    DescribeStreamConsumer,
    ListStreamConsumers,
    DeregisterStreamConsumer,
    SubscribeToShard,
    // No call of its own: one event of a subscription.
    SubscribeToShardEvent,
}

impl From<KinesisOp> for &'static str {
    fn from(op: KinesisOp) -> Self {
        op.name()
    }
}

impl TryFrom<String> for KinesisOp {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let event = Some(Self::SubscribeToShardEvent).filter(|event| event.name() == name);
        let op = name.strip_prefix("Kinesis.").and_then(Self::on_wire);
        op.or(event).ok_or_else(|| format!("unknown operation {name}"))
    }
}
