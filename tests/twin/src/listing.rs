//! ListStreams and DescribeStream: the shard tree, honest or as listings really are.

use serde::{Deserialize, Serialize};

use crate::aws::Aws;
use crate::calls::Op;
use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::item::KeyElement;
use crate::random::{mix, place};
use crate::shard::Shard;
use crate::stream::Stream;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStream {
    pub stream_arn: String,
    #[serde(default)]
    pub limit: Option<usize>,
    #[serde(default)]
    pub exclusive_start_shard_id: Option<String>,
    #[serde(default)]
    pub shard_filter: Option<ShardFilter>,
}

impl DescribeStream {
    pub fn all(stream_arn: &str) -> Self {
        Self { stream_arn: stream_arn.to_owned(), ..Self::default() }
    }

    pub fn after(mut self, shard: &str) -> Self {
        self.exclusive_start_shard_id = Some(shard.to_owned());
        self
    }

    pub fn children_of(mut self, shard: &str) -> Self {
        self.shard_filter = Some(ShardFilter { r#type: "CHILD_SHARDS".into(), shard_id: shard.to_owned() });
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardFilter {
    pub r#type: String,
    pub shard_id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamDescription {
    pub stream_arn: String,
    pub stream_label: String,
    pub stream_status: &'static str,
    pub stream_view_type: &'static str,
    pub creation_request_date_time: f64,
    pub table_name: String,
    pub key_schema: Vec<KeyElement>,
    pub shards: Vec<ShardDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_shard_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardDescription {
    pub shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_shard_id: Option<String>,
    pub sequence_number_range: SequenceRange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SequenceRange {
    pub starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_sequence_number: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamSummary {
    pub stream_arn: String,
    pub table_name: String,
    pub stream_label: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamPage {
    pub streams: Vec<StreamSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_stream_arn: Option<String>,
}

impl Aws {
    pub fn list_streams(
        &mut self,
        table: Option<&str>,
        limit: Option<usize>,
        after: Option<&str>,
    ) -> Result<StreamPage> {
        self.typed(Op::ListStreams, None, |aws| aws.do_list_streams(table, limit, after))
    }

    pub fn describe_stream(&mut self, request: &DescribeStream) -> Result<StreamDescription> {
        let about = request.shard_filter.as_ref().map(|filter| filter.shard_id.as_str());
        self.typed(Op::DescribeStream, about, |aws| aws.do_describe_stream(request))
    }

    /// Documented: enabled streams, and disabled ones for 24 hours.
    pub(crate) fn do_list_streams(
        &self,
        table: Option<&str>,
        limit: Option<usize>,
        after: Option<&str>,
    ) -> Result<StreamPage> {
        let limit = page_limit(limit, 100)?;
        let mut all = self
            .streams
            .values()
            .filter(|stream| table.is_none_or(|table| table == stream.table))
            .filter(|stream| after.is_none_or(|after| &*stream.arn > after));
        let streams: Vec<_> = all.by_ref().take(limit).map(summary).collect();
        let last = all.next().and(streams.last()).map(|stream: &StreamSummary| stream.stream_arn.clone());
        Ok(StreamPage { streams, last_evaluated_stream_arn: last })
    }

    pub(crate) fn do_describe_stream(&mut self, request: &DescribeStream) -> Result<StreamDescription> {
        let limit = page_limit(request.limit, 100)?.min(self.knobs.listing_page.max(1));
        let now = self.now_ms();
        let stream = self
            .streams
            .get(request.stream_arn.as_str())
            .ok_or_else(|| stream_missing(&request.stream_arn))?;
        let status = stream.status(now, &self.knobs);
        let listed = if status == "ENABLING" { Vec::new() } else { self.ordered(stream, request, now)? };
        let more = listed.len() > limit;
        let page: Vec<&Shard> = listed.into_iter().take(limit).collect();
        // Shards are left out of the page they would be on, so pages may be empty and go on.
        let last = page.last().filter(|_| more).map(|shard| shard.id.to_string());
        let shards =
            page.iter().filter(|shard| self.shows(stream, shard, now)).map(|shard| self.shape(shard, now));
        let mut description = describe(stream, status, shards.collect(), last);
        let share = self.knobs.omit_share;
        description.shards.retain(|_| !self.counter.random.chance(share));
        Ok(description)
    }

    /// The shards that exist in this view, in its order, behind the exclusive start.
    fn ordered<'a>(
        &self,
        stream: &'a Stream,
        request: &DescribeStream,
        now: Millis,
    ) -> Result<Vec<&'a Shard>> {
        let view = now.saturating_sub(self.knobs.stale_ms);
        let parent = match &request.shard_filter {
            Some(filter) if filter.r#type != "CHILD_SHARDS" => {
                return Err(AwsError::validation(format!("unknown ShardFilter type {}", filter.r#type)));
            }
            filter => filter.as_ref().map(|filter| filter.shard_id.as_str()),
        };
        // Without a seed the rank is 0 and the id decides; with one, a start that has vanished
        // meanwhile still has its rank, so paging goes on behind it.
        let rank = |id: &str| self.knobs.permute.map_or(0, |seed| mix(seed ^ place(id)));
        let start = request.exclusive_start_shard_id.as_deref().map(|id| (rank(id), id));
        let mut shards: Vec<&Shard> = stream
            .shards
            .values()
            .filter(|shard| shard.exists(view, self.knobs.retention_ms))
            .filter(|shard| parent.is_none_or(|parent| shard.parent.as_deref() == Some(parent)))
            .filter(|shard| start.is_none_or(|start| (rank(&shard.id), &*shard.id) > start))
            .collect();
        shards.sort_by_key(|shard| (rank(&shard.id), shard.id.clone()));
        Ok(shards)
    }

    fn shows(&self, stream: &Stream, shard: &Shard, now: Millis) -> bool {
        let knobs = &self.knobs;
        // A stale listing knows nothing of what happened since, so it hides no parent for it.
        let view = now.saturating_sub(knobs.stale_ms);
        let is_young = |shard: &Shard| view < shard.opened.saturating_add(knobs.hide_child_ms);
        let young_child = shard.parent.is_some() && is_young(shard);
        // A parent is hidden behind the children that are seen, not with them.
        let is_shown_child = |other: &Shard| other.parent.as_ref() == Some(&shard.id) && !is_young(other);
        let hidden_parent = knobs.hide_parent_ms > 0
            && shard.closed.as_ref().is_some_and(|closed| {
                closed.at <= view && view < closed.at.saturating_add(knobs.hide_parent_ms)
            })
            && stream.shards.values().any(is_shown_child);
        !young_child && !hidden_parent && !knobs.omit.iter().any(|id| **id == *shard.id)
    }

    fn shape(&self, shard: &Shard, now: Millis) -> ShardDescription {
        let knobs = &self.knobs;
        let view = now.saturating_sub(knobs.stale_ms).saturating_sub(knobs.ending_late_ms);
        let ending = shard.closed.as_ref().filter(|closed| closed.at <= view);
        ShardDescription {
            shard_id: shard.id.to_string(),
            parent_shard_id: shard.parent.as_ref().map(ToString::to_string),
            sequence_number_range: SequenceRange {
                starting_sequence_number: shard.starting.to_string(),
                ending_sequence_number: ending.map(|closed| closed.ending.to_string()),
            },
        }
    }
}

fn summary(stream: &Stream) -> StreamSummary {
    StreamSummary {
        stream_arn: stream.arn.to_string(),
        table_name: stream.table.clone(),
        stream_label: stream.label.clone(),
    }
}

fn describe(
    stream: &Stream,
    status: &'static str,
    shards: Vec<ShardDescription>,
    last_evaluated_shard_id: Option<String>,
) -> StreamDescription {
    StreamDescription {
        stream_arn: stream.arn.to_string(),
        stream_label: stream.label.clone(),
        stream_status: status,
        stream_view_type: stream.view.name(),
        creation_request_date_time: stream.created as f64 / 1000.0,
        table_name: stream.table.clone(),
        key_schema: stream.keys.clone(),
        shards,
        last_evaluated_shard_id,
    }
}

pub(crate) fn stream_missing(arn: &str) -> AwsError {
    AwsError::not_found(format!("Requested resource not found: Stream: {arn} not found"))
}

/// A request's Limit, from 1 to `most`; values above are cut, as the service does (assumed).
fn page_limit(limit: Option<usize>, most: usize) -> Result<usize> {
    match limit {
        Some(0) => Err(AwsError::validation("Limit must be at least 1")),
        limit => Ok(limit.unwrap_or(most).min(most)),
    }
}
