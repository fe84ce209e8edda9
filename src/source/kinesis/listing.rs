//! The shard tree of a stream.

use aws_sdk_kinesis::types::{Shard as SdkShard, ShardFilter, ShardFilterType};

use super::{Kinesis, Room, hash_keys};
use crate::aws::capture::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Listing, Millis, Scope, Shard, StreamStatus};
use crate::position::{SequenceNumber, ShardId};

/// A listing that takes longer than the 5 minutes its tokens live begins anew this often.
const RESTARTS: u32 = 3;

impl Kinesis {
    /// Lists the shards, and makes sure that they are those of `stream`: another one may have been
    /// made under its name.
    pub(super) async fn list(&self, stream: &str, scope: &Scope) -> Result<Listing> {
        let room = self.room().await?;
        let mut listing = self.list_shards(room, scope).await?;
        match scope {
            Scope::Full => {
                // Asked last: a stream that is still the same now was the same when it was listed.
                let summary = self.summary(room).await?;
                if summary.identity != stream {
                    let name = self.target.name();
                    let message = format!("the Kinesis stream {name} is another one now than {stream}");
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
                listing.status = summary.status;
                listing.retention = Some(summary.retention);
                listing.server_time = summary.server_time;
            }
            // The filter gives every later shard, and some servers ignore it.
            Scope::ChildrenOf(parent) => listing.shards.retain(|shard| shard.parents.contains(parent)),
        }
        Ok(listing)
    }

    async fn list_shards(&self, room: &Room, scope: &Scope) -> Result<Listing> {
        for _ in 0..RESTARTS {
            match self.list_pages(room, scope).await {
                Err(error) if error.code() == Some("ExpiredNextTokenException") => {}
                // The stream is being made, and the summary says so: it has no shards yet.
                Err(error) if error.code() == Some("ResourceInUseException") => return Ok(empty()),
                listed => return listed,
            }
        }
        let name = self.target.name();
        Err(Error::new(
            ErrorKind::Service,
            format!("listing the shards of {name} took longer than 5 minutes"),
        ))
    }

    async fn list_pages(&self, room: &Room, scope: &Scope) -> Result<Listing> {
        let mut listing = empty();
        let mut token = None;
        loop {
            match self.list_page(room, scope, token.as_deref()).await {
                Ok((shards, next, time)) => {
                    if next.is_some() && next == token {
                        let message = "ListShards goes round in circles: it gave the same token twice";
                        return Err(Error::new(ErrorKind::BadPage, message));
                    }
                    listing.shards.extend(shards);
                    listing.server_time = time;
                    token = next;
                }
                // What was had is true, but what is missing from it proves nothing.
                Err(error) if error.retryable() && token.is_some() => {
                    listing.complete = false;
                    return Ok(listing);
                }
                Err(error) => return Err(error),
            }
            if token.is_none() {
                return Ok(listing);
            }
        }
    }

    /// One page of shards, and where it goes on. A token stands for the stream and the filter.
    async fn list_page(
        &self,
        room: &Room,
        scope: &Scope,
        token: Option<&str>,
    ) -> Result<(Vec<Shard>, Option<String>, Option<Millis>)> {
        let keep = Keep::headers();
        let request = room.clients.kinesis.list_shards();
        let request = match token {
            Some(token) => request.next_token(token),
            None => {
                let (name, arn) = self.asked();
                request.set_stream_name(name).set_stream_arn(arn).set_shard_filter(filter(scope)?)
            }
        };
        let output = request.customize().interceptor(keep.clone()).send().await;
        let subject = format!("stream {}", self.target.name());
        let output =
            output.map_err(|error| room.clients.kinesis_failed("ListShards", &subject, &keep, &error))?;
        let shards = output.shards().iter().map(shard).collect::<Result<_>>()?;
        let next = output.next_token.filter(|token| !token.is_empty());
        Ok((shards, next, keep.kept().server_time))
    }
}

fn empty() -> Listing {
    let status = StreamStatus::Enabled;
    Listing { shards: Vec::new(), status, complete: true, retention: None, server_time: None }
}

fn filter(scope: &Scope) -> Result<Option<ShardFilter>> {
    let Scope::ChildrenOf(parent) = scope else { return Ok(None) };
    let filter = ShardFilter::builder().r#type(ShardFilterType::AfterShardId).shard_id(parent.as_str());
    let filter =
        filter.build().map_err(|cause| Error::internal("a filter has its type").with_cause(cause))?;
    Ok(Some(filter))
}

fn shard(listed: &SdkShard) -> Result<Shard> {
    let id = listed.shard_id();
    if id.is_empty() {
        return Err(Error::new(ErrorKind::BadPage, "ListShards listed a shard without an id"));
    }
    let number = |text: Option<&str>| {
        text.filter(|text| !text.is_empty()).map(SequenceNumber::parse).transpose().map_err(|error| {
            Error::new(ErrorKind::BadPage, format!("ListShards listed shard {id}: {error}"))
                .with_shard(&id.into())
        })
    };
    let hashes = listed.hash_key_range();
    let hashes = hashes.map(|range| hash_keys(id, range.starting_hash_key(), range.ending_hash_key()));
    let numbers = listed.sequence_number_range();
    let parents = [listed.parent_shard_id(), listed.adjacent_parent_shard_id()];
    Ok(Shard {
        id: id.into(),
        parents: parents.into_iter().flatten().filter(|id| !id.is_empty()).map(ShardId::from).collect(),
        starting: number(numbers.map(|range| range.starting_sequence_number()))?,
        ending: number(numbers.and_then(|range| range.ending_sequence_number()))?,
        hash_keys: hashes.transpose()?,
    })
}
