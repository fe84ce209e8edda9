//! ListShards: the shard tree, honest or as listings really are.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::kinesis::shard::Shard;
use crate::kinesis::stream::Stream;
use crate::kinesis::{Kinesis, KinesisOp, Named, invalid_argument, millis, opaque};
use crate::random::{mix, place};

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListShards {
    #[serde(flatten)]
    pub stream: Named,
    pub next_token: Option<String>,
    pub exclusive_start_shard_id: Option<String>,
    pub max_results: Option<usize>,
    /// Seconds since 1970.
    pub stream_creation_timestamp: Option<f64>,
    pub shard_filter: Option<ShardFilter>,
}

impl ListShards {
    pub fn of(stream: &str) -> Self {
        Self { stream: Named::of(stream), ..Self::default() }
    }

    /// The page behind a token; a token says which stream and filter it is for.
    pub fn next(token: &str) -> Self {
        Self { next_token: Some(token.to_owned()), ..Self::default() }
    }

    pub fn filter(mut self, kind: &str) -> Self {
        self.shard_filter = Some(ShardFilter { r#type: kind.to_owned(), shard_id: None, timestamp: None });
        self
    }

    pub fn limit(mut self, limit: usize) -> Self {
        self.max_results = Some(limit);
        self
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardFilter {
    pub r#type: String,
    #[serde(default)]
    pub shard_id: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub timestamp: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardPage {
    pub shards: Vec<ShardDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ShardDescription {
    pub shard_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_shard_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adjacent_parent_shard_id: Option<String>,
    pub hash_key_range: HashKeyRange,
    pub sequence_number_range: SequenceNumberRange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChildShard {
    pub shard_id: String,
    pub parent_shards: Vec<String>,
    pub hash_key_range: HashKeyRange,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HashKeyRange {
    pub starting_hash_key: String,
    pub ending_hash_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SequenceNumberRange {
    pub starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_sequence_number: Option<String>,
}

impl HashKeyRange {
    fn of(shard: &Shard) -> Self {
        Self { starting_hash_key: shard.low.to_string(), ending_hash_key: shard.high.to_string() }
    }
}

impl ChildShard {
    pub(crate) fn of(shard: &Shard) -> Self {
        Self {
            shard_id: shard.id.to_string(),
            parent_shards: shard.parents.iter().map(ToString::to_string).collect(),
            hash_key_range: HashKeyRange::of(shard),
        }
    }
}

impl Kinesis<'_> {
    pub fn list_shards(&mut self, request: &ListShards) -> Result<ShardPage> {
        let of_token = request.next_token.as_deref().and_then(stream_of_token);
        let scope = of_token.as_deref().or(request.stream.stream());
        self.call(KinesisOp::ListShards, scope, |kinesis| kinesis.do_list_shards(request))
    }

    pub(crate) fn do_list_shards(&mut self, request: &ListShards) -> Result<ShardPage> {
        let limit = match request.max_results {
            Some(0 | 10_001..) => return Err(AwsError::validation("MaxResults must be 1 to 10000")),
            // Documented: 1,000 by default.
            limit => limit.unwrap_or(1000),
        };
        let Token { stream, created, filter, after, .. } = self.asked(request)?;
        let (now, rate) = (self.now(), self.knobs().list_shards_per_second);
        let found = self.stream_mut(&stream)?;
        // Another stream of the same name is not the one that was asked for (assumed: not found).
        if created.is_some_and(|created| created != found.created_s) {
            return Err(AwsError::not_found(format!("Stream {} was not created then.", found.name)));
        }
        if !found.listings.take(now, rate, 1.0) {
            return Err(AwsError::limit_exceeded("Rate exceeded for ListShards"));
        }
        // The error is declared for a stream that is not ACTIVE; that CREATING alone gives it is assumed.
        if found.status(now) == "CREATING" {
            return Err(AwsError::in_use(format!("Stream {} is CREATING", found.name)));
        }
        let created = found.created_s;
        let (shards, last) = self.page(&stream, filter.as_ref(), after.as_deref(), limit)?;
        let token = |after| Token { stream, created: Some(created), filter, after: Some(after), issued: now };
        Ok(ShardPage { shards, next_token: last.map(|last| token(last).seal()) })
    }

    /// What a request asks for, itself or through its token.
    fn asked(&self, request: &ListShards) -> Result<Token> {
        let alone = request.stream == Named::default()
            && request.stream_creation_timestamp.is_none()
            && request.exclusive_start_shard_id.is_none()
            && request.shard_filter.is_none();
        match &request.next_token {
            // Documented: a token is given without what it says itself.
            Some(_) if !alone => {
                Err(invalid_argument("NextToken and StreamName cannot be provided together."))
            }
            Some(token) => Token::open(token, self.now(), self.knobs().token_ms),
            None => Ok(Token {
                stream: request.stream.clone(),
                created: request.stream_creation_timestamp.map(|at| millis(at).div_euclid(1000)),
                filter: request.shard_filter.clone(),
                after: request.exclusive_start_shard_id.clone(),
                issued: self.now(),
            }),
        }
    }

    /// The shards behind `after`, and the last one's id where more follow.
    pub(crate) fn page(
        &mut self,
        named: &Named,
        filter: Option<&ShardFilter>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<ShardDescription>, Option<String>)> {
        let limit = limit.min(self.aws.knobs.kinesis.listing_page.max(1));
        let listed = self.ordered(self.stream(named)?, filter, after)?;
        let more = listed.len() > limit;
        let page: Vec<&Shard> = listed.into_iter().take(limit).collect();
        // Shards are left out of the page they would be on, so pages may be empty and go on.
        let last = page.last().filter(|_| more).map(|shard| shard.id.to_string());
        let stream = self.stream(named)?;
        let mut shards: Vec<_> =
            page.iter().filter(|shard| self.shows(stream, shard)).map(|shard| self.shape(shard)).collect();
        let share = self.aws.knobs.omit_share;
        shards.retain(|_| !self.aws.counter.random.chance(share));
        Ok((shards, last))
    }

    fn ordered<'a>(
        &self,
        stream: &'a Stream,
        filter: Option<&ShardFilter>,
        after: Option<&str>,
    ) -> Result<Vec<&'a Shard>> {
        let knobs = &self.aws.knobs;
        let view = self.now().saturating_sub(knobs.stale_ms);
        // A start that has vanished meanwhile still has its rank, so paging goes on behind it.
        let rank = |id: &str| knobs.permute.map_or(0, |seed| mix(seed ^ place(id)));
        let start = after.map(|id| (rank(id), id));
        let mut shards = Vec::new();
        for shard in stream.shards.values().filter(|shard| shard.exists(view, stream.retention_ms())) {
            let behind = start.is_none_or(|start| (rank(&shard.id), &*shard.id) > start);
            if behind && selects(filter, stream, shard, view)? {
                shards.push(shard);
            }
        }
        shards.sort_by_key(|shard| (rank(&shard.id), shard.id.clone()));
        Ok(shards)
    }

    fn shows(&self, stream: &Stream, shard: &Shard) -> bool {
        let (knobs, now) = (&self.aws.knobs, self.now());
        let young_child = !shard.parents.is_empty() && now < shard.opened.saturating_add(knobs.hide_child_ms);
        let just_closed = |at: Millis| now < at.saturating_add(knobs.hide_parent_ms);
        let hidden_parent = shard.closed.as_ref().is_some_and(|closed| just_closed(closed.at))
            && !stream.children_of(&shard.id).is_empty();
        !young_child && !hidden_parent && !knobs.omit.iter().any(|id| **id == *shard.id)
    }

    fn shape(&self, shard: &Shard) -> ShardDescription {
        let knobs = &self.aws.knobs;
        let view = self.now().saturating_sub(knobs.stale_ms).saturating_sub(knobs.ending_late_ms);
        let ending = shard.closed.as_ref().filter(|closed| closed.at <= view);
        ShardDescription {
            shard_id: shard.id.to_string(),
            parent_shard_id: shard.parents.first().map(ToString::to_string),
            adjacent_parent_shard_id: shard.parents.get(1).map(ToString::to_string),
            hash_key_range: HashKeyRange::of(shard),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: shard.numbering.starting().to_string(),
                ending_sequence_number: ending.map(|closed| closed.ending.to_string()),
            },
        }
    }
}

/// Whether a filter lets a shard through; all of them documented.
fn selects(filter: Option<&ShardFilter>, stream: &Stream, shard: &Shard, view: Millis) -> Result<bool> {
    let Some(filter) = filter else { return Ok(true) };
    let missing = |what: &str| invalid_argument(format!("ShardFilter {} needs a {what}", filter.r#type));
    let horizon = view.saturating_sub(stream.retention_ms()).max(stream.created);
    let closed = shard.closed.as_ref().map(|closed| closed.at).filter(|at| *at <= view);
    let lived_until = |at: Millis| closed.is_none_or(|closed| closed >= at);
    let lived_at = |at: Millis| shard.opened <= at && lived_until(at);
    let time = || filter.timestamp.map(millis).ok_or_else(|| missing("Timestamp"));
    Ok(match filter.r#type.as_str() {
        "AFTER_SHARD_ID" => *shard.id > **filter.shard_id.as_ref().ok_or_else(|| missing("ShardId"))?,
        "AT_TRIM_HORIZON" => lived_at(horizon),
        "FROM_TRIM_HORIZON" => true,
        "AT_LATEST" => closed.is_none(),
        "AT_TIMESTAMP" => lived_at(time()?),
        "FROM_TIMESTAMP" => lived_until(time()?.max(horizon)),
        unknown => return Err(AwsError::validation(format!("unknown ShardFilter type {unknown}"))),
    })
}

/// Where a listing stands, and what it lists.
struct Token {
    stream: Named,
    created: Option<i64>,
    filter: Option<ShardFilter>,
    after: Option<String>,
    issued: Millis,
}

impl Token {
    fn seal(&self) -> String {
        let filter = serde_json::to_string(&self.filter).unwrap_or_default();
        let created = self.created.map(|created| created.to_string()).unwrap_or_default();
        let after = self.after.as_deref().unwrap_or_default();
        opaque::seal(&[
            self.stream.stream().unwrap_or_default(),
            &created,
            &filter,
            after,
            &self.issued.to_string(),
        ])
    }

    fn open(text: &str, now: Millis, lives: Millis) -> Result<Self> {
        let token = opaque::open(text).as_deref().and_then(Self::read);
        let token = token.ok_or_else(|| invalid_argument("NextToken is invalid."))?;
        if now.saturating_sub(token.issued) > lives {
            return Err(AwsError::new("ExpiredNextTokenException", 400, "The NextToken has expired."));
        }
        Ok(token)
    }

    fn read(parts: &[String]) -> Option<Self> {
        let [name, created, filter, after, issued] = parts else { return None };
        Some(Self {
            stream: Named::of(name),
            created: created.parse().ok(),
            filter: serde_json::from_str(filter).ok()?,
            after: Some(after.clone()),
            issued: issued.parse().ok()?,
        })
    }
}

/// The name of the stream that a token is for, however old it is.
pub(crate) fn stream_of_token(token: &str) -> Option<String> {
    let token = opaque::open(token).as_deref().and_then(Token::read)?;
    token.stream.name
}
