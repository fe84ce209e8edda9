//! DescribeStream, DescribeStreamSummary, ListStreams.

use serde::Serialize;

use crate::error::Result;
use crate::kinesis::lifecycle::{StreamMode, StreamModeDetails};
use crate::kinesis::list_shards::ShardDescription;
use crate::kinesis::stream::Stream;
use crate::kinesis::{Kinesis, KinesisOp, Named, invalid_argument, opaque};

/// What both descriptions say about a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamDescriptionSummary {
    pub stream_name: String,
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    pub stream_status: &'static str,
    pub stream_mode_details: StreamModeDetails,
    pub retention_period_hours: u32,
    /// Seconds since 1970.
    pub stream_creation_timestamp: f64,
    pub enhanced_monitoring: [Monitoring; 1],
    pub encryption_type: &'static str,
    pub open_shard_count: usize,
    pub consumer_count: usize,
    #[serde(rename = "MaxRecordSizeInKiB")]
    pub max_record_size_in_kib: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Monitoring {
    shard_level_metrics: [(); 0],
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamDescription {
    pub stream_name: String,
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    pub stream_status: &'static str,
    pub stream_mode_details: StreamModeDetails,
    pub shards: Vec<ShardDescription>,
    pub has_more_shards: bool,
    pub retention_period_hours: u32,
    pub stream_creation_timestamp: f64,
    pub enhanced_monitoring: [Monitoring; 1],
    pub encryption_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamNames {
    pub stream_names: Vec<String>,
    pub has_more_streams: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    pub stream_summaries: Vec<StreamSummary>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSummary {
    pub stream_name: String,
    #[serde(rename = "StreamARN")]
    pub stream_arn: String,
    pub stream_status: &'static str,
    pub stream_mode_details: StreamModeDetails,
    pub stream_creation_timestamp: f64,
}

impl Kinesis<'_> {
    pub fn describe_stream_summary(&mut self, stream: &Named) -> Result<StreamDescriptionSummary> {
        self.call(KinesisOp::DescribeStreamSummary, stream.stream(), |kinesis| kinesis.do_summary(stream))
    }

    /// One page of at most `limit` shards behind `after`.
    pub fn describe_stream(
        &mut self,
        stream: &Named,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<StreamDescription> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_describe_stream(stream, after, limit);
        self.call(KinesisOp::DescribeStream, stream.stream(), act)
    }

    pub fn list_streams(&mut self, after: Option<&str>, limit: Option<usize>) -> Result<StreamNames> {
        self.call(KinesisOp::ListStreams, None, |kinesis| kinesis.do_list_streams(after, None, limit))
    }

    pub(crate) fn do_summary(&self, named: &Named) -> Result<StreamDescriptionSummary> {
        let stream = self.stream(named)?;
        Ok(StreamDescriptionSummary {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.to_string(),
            stream_status: stream.status(self.now()),
            stream_mode_details: mode(stream),
            retention_period_hours: stream.retention_hours,
            stream_creation_timestamp: stream.created_s as f64,
            enhanced_monitoring: [Monitoring { shard_level_metrics: [] }],
            encryption_type: "NONE",
            open_shard_count: stream.open_shards().len(),
            consumer_count: stream.consumers.len(),
            max_record_size_in_kib: stream.max_record_kib,
        })
    }

    pub(crate) fn do_describe_stream(
        &mut self,
        named: &Named,
        after: Option<&str>,
        limit: Option<usize>,
    ) -> Result<StreamDescription> {
        let limit = match limit {
            Some(0 | 10_001..) => return Err(invalid_argument("Limit must be 1 to 10000")),
            // Documented: 100 by default.
            limit => limit.unwrap_or(100),
        };
        let summary = self.do_summary(named)?;
        // Documented: a stream that is being created lists no shards.
        let creating = summary.stream_status == "CREATING";
        let (shards, more) =
            if creating { (Vec::new(), None) } else { self.page(named, None, after, limit)? };
        Ok(StreamDescription {
            stream_name: summary.stream_name,
            stream_arn: summary.stream_arn,
            stream_status: summary.stream_status,
            stream_mode_details: summary.stream_mode_details,
            shards,
            has_more_shards: more.is_some(),
            retention_period_hours: summary.retention_period_hours,
            stream_creation_timestamp: summary.stream_creation_timestamp,
            enhanced_monitoring: summary.enhanced_monitoring,
            encryption_type: summary.encryption_type,
        })
    }

    pub(crate) fn do_list_streams(
        &self,
        after: Option<&str>,
        token: Option<&str>,
        limit: Option<usize>,
    ) -> Result<StreamNames> {
        let opened = token.map(|token| {
            let name = opaque::open(token).and_then(|parts| parts.into_iter().next());
            name.ok_or_else(|| invalid_argument("NextToken is invalid"))
        });
        let opened = opened.transpose()?;
        let after = opened.as_deref().or(after);
        // Documented: 100 by default.
        let limit = limit.unwrap_or(100).max(1);
        let behind = |stream: &&Stream| after.is_none_or(|after| stream.name.as_str() > after);
        let mut all = self.streams().by_name.values().filter(behind);
        let page: Vec<&Stream> = all.by_ref().take(limit).collect();
        let more = all.next().is_some();
        let token = page.last().filter(|_| more).map(|last| opaque::seal(&[&last.name]));
        Ok(StreamNames {
            stream_names: page.iter().map(|stream| stream.name.clone()).collect(),
            has_more_streams: more,
            next_token: token,
            stream_summaries: page.iter().map(|stream| self.brief(stream)).collect(),
        })
    }

    fn brief(&self, stream: &Stream) -> StreamSummary {
        StreamSummary {
            stream_name: stream.name.clone(),
            stream_arn: stream.arn.to_string(),
            stream_status: stream.status(self.now()),
            stream_mode_details: mode(stream),
            stream_creation_timestamp: stream.created_s as f64,
        }
    }
}

fn mode(stream: &Stream) -> StreamModeDetails {
    let stream_mode = if stream.on_demand { StreamMode::OnDemand } else { StreamMode::Provisioned };
    StreamModeDetails { stream_mode }
}
