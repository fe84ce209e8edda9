//! Registered consumers: names under which shards are pushed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::error::{AwsError, Result};
use crate::kinesis::rate::Bucket;
use crate::kinesis::stream::Stream;
use crate::kinesis::{Kinesis, KinesisKnobs, KinesisOp, Named, invalid_argument, opaque};
use crate::table::ACCOUNT;

#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    /// Documented: ends in the second of its creation, so a consumer that is registered again has another.
    pub(crate) arn: String,
    pub(crate) created_s: i64,
    pub(crate) active_from: Millis,
    pub(crate) deleted: Option<Millis>,
    /// By shard: when it was last subscribed to, and how often that may be tried.
    pub(crate) shards: BTreeMap<String, Subscribed>,
}

#[derive(Debug, Default)]
pub(crate) struct Subscribed {
    pub(crate) calls: Bucket,
    /// The last success and the session it began.
    pub(crate) last: Option<(Millis, u64)>,
}

impl Consumer {
    pub(crate) fn status(&self, now: Millis) -> &'static str {
        match self.deleted {
            Some(_) => "DELETING",
            None if now < self.active_from => "CREATING",
            None => "ACTIVE",
        }
    }
}

/// Which consumer: by its own ARN, or by its stream's and its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerNamed {
    #[serde(rename = "StreamARN", default)]
    pub stream_arn: Option<String>,
    #[serde(rename = "ConsumerName", default)]
    pub name: Option<String>,
    #[serde(rename = "ConsumerARN", default)]
    pub arn: Option<String>,
}

impl ConsumerNamed {
    pub fn arn(arn: &str) -> Self {
        Self { arn: Some(arn.to_owned()), ..Self::default() }
    }

    pub fn of(stream_arn: &str, name: &str) -> Self {
        Self { stream_arn: Some(stream_arn.to_owned()), name: Some(name.to_owned()), arn: None }
    }

    pub(crate) fn stream(&self) -> Named {
        let of_consumer = self.arn.as_deref().and_then(|arn| arn.split_once("/consumer/"));
        let arn = of_consumer.map(|(stream, _)| stream).or(self.stream_arn.as_deref());
        Named { name: None, arn: arn.map(str::to_owned) }
    }

    fn is(&self, consumer: &Consumer) -> bool {
        match (&self.arn, &self.name) {
            (Some(arn), _) => *arn == consumer.arn,
            (None, name) => name.as_ref() == Some(&consumer.name),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConsumerDescription {
    pub consumer_name: String,
    #[serde(rename = "ConsumerARN")]
    pub consumer_arn: String,
    pub consumer_status: &'static str,
    /// Seconds since 1970.
    pub consumer_creation_timestamp: f64,
    /// Only DescribeStreamConsumer says it.
    #[serde(rename = "StreamARN", skip_serializing_if = "Option::is_none")]
    pub stream_arn: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConsumerPage {
    pub consumers: Vec<ConsumerDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl Kinesis<'_> {
    pub fn register_consumer(&mut self, stream_arn: &str, name: &str) -> Result<ConsumerDescription> {
        let stream = Named { name: None, arn: Some(stream_arn.to_owned()) };
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_register(&stream, name);
        self.call(KinesisOp::RegisterStreamConsumer, stream.stream(), act)
    }

    pub fn describe_consumer(&mut self, consumer: &ConsumerNamed) -> Result<ConsumerDescription> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_describe_consumer(consumer);
        self.call(KinesisOp::DescribeStreamConsumer, consumer.stream().stream(), act)
    }

    pub fn deregister_consumer(&mut self, consumer: &ConsumerNamed) -> Result<()> {
        let act = |kinesis: &mut Kinesis<'_>| kinesis.do_deregister(consumer);
        self.call(KinesisOp::DeregisterStreamConsumer, consumer.stream().stream(), act)
    }

    pub(crate) fn do_register(&mut self, named: &Named, name: &str) -> Result<ConsumerDescription> {
        let now = self.now();
        let knobs = self.knobs().clone();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !(1..=128).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(AwsError::validation("ConsumerName must be 1 to 128 of a-z, A-Z, 0-9, _, - and ."));
        }
        let stream = self.stream_mut(named)?;
        may_register(stream, name, now, &knobs)?;
        let earliest = stream.last_registered_s.get(name).map_or(i64::MIN, |last| last + 1);
        let created_s = now.div_euclid(1000).max(earliest);
        stream.last_registered_s.insert(name.to_owned(), created_s);
        let consumer = Consumer {
            name: name.to_owned(),
            arn: format!("{}/consumer/{name}:{created_s}", stream.arn),
            created_s,
            active_from: now.saturating_add(knobs.consumer_creating_ms),
            deleted: None,
            shards: BTreeMap::new(),
        };
        let description = describe(&consumer, now, None);
        stream.consumers.insert(name.to_owned(), consumer);
        Ok(description)
    }

    pub(crate) fn do_describe_consumer(&self, named: &ConsumerNamed) -> Result<ConsumerDescription> {
        let stream = self.stream(&named.stream())?;
        let consumer = stream.consumers.values().find(|consumer| named.is(consumer));
        let consumer = consumer.ok_or_else(|| consumer_missing(named, stream))?;
        Ok(describe(consumer, self.now(), Some(stream.arn.to_string())))
    }

    pub(crate) fn do_deregister(&mut self, named: &ConsumerNamed) -> Result<()> {
        let now = self.now();
        let stays = self.knobs().consumer_deleting_ms > 0;
        let stream = self.stream_mut(&named.stream())?;
        let name =
            stream.consumers.values().find(|consumer| named.is(consumer)).map(|found| found.name.clone());
        let name = name.ok_or_else(|| consumer_missing(named, stream))?;
        match stream.consumers.get_mut(&name).filter(|_| stays) {
            Some(consumer) => consumer.deleted = consumer.deleted.or(Some(now)),
            None => drop(stream.consumers.remove(&name)),
        }
        Ok(())
    }

    pub(crate) fn do_list_consumers(
        &self,
        named: &Named,
        token: Option<&str>,
        limit: Option<usize>,
    ) -> Result<ConsumerPage> {
        let opened = token.map(|token| {
            let name = opaque::open(token).and_then(|parts| parts.into_iter().next());
            name.ok_or_else(|| invalid_argument("NextToken is invalid"))
        });
        let after = opened.transpose()?;
        let stream = self.stream(named)?;
        let behind = |consumer: &&Consumer| after.as_ref().is_none_or(|after| consumer.name > *after);
        let mut all = stream.consumers.values().filter(behind);
        // Documented: 100 by default.
        let consumers: Vec<_> = all.by_ref().take(limit.unwrap_or(100).max(1)).collect();
        let last = consumers.last().filter(|_| all.next().is_some());
        let next_token = last.map(|last| opaque::seal(&[&last.name]));
        let consumers = consumers.iter().map(|consumer| describe(consumer, self.now(), None)).collect();
        Ok(ConsumerPage { consumers, next_token })
    }

    /// A consumer that can be subscribed with.
    pub(crate) fn active_consumer(&mut self, arn: &str) -> Result<&mut Consumer> {
        let now = self.now();
        let named = ConsumerNamed::arn(arn);
        let stream = self.stream_mut(&named.stream())?;
        let missing = consumer_missing(&named, stream);
        let consumer = stream.consumers.values_mut().find(|consumer| consumer.arn == arn).ok_or(missing)?;
        match consumer.status(now) {
            "ACTIVE" => Ok(consumer),
            status => {
                Err(AwsError::in_use(format!("Consumer {arn} is not ACTIVE, instead in state {status}.")))
            }
        }
    }
}

/// Documented: so many consumers, so many of them in CREATING, one of a name.
fn may_register(stream: &Stream, name: &str, now: Millis, knobs: &KinesisKnobs) -> Result<()> {
    let creating = stream.consumers.values().filter(|consumer| consumer.status(now) == "CREATING").count();
    if stream.consumers.contains_key(name) {
        return Err(AwsError::in_use(format!(
            "Consumer {name} under stream {} under account {ACCOUNT} already exists.",
            stream.name
        )));
    }
    if stream.consumers.len() >= knobs.consumers || creating >= 5 {
        return Err(AwsError::limit_exceeded(format!(
            "Stream {} has {} consumers, {creating} of them CREATING; the limits are {} and 5",
            stream.name,
            stream.consumers.len(),
            knobs.consumers
        )));
    }
    Ok(())
}

fn describe(consumer: &Consumer, now: Millis, stream_arn: Option<String>) -> ConsumerDescription {
    ConsumerDescription {
        consumer_name: consumer.name.clone(),
        consumer_arn: consumer.arn.clone(),
        consumer_status: consumer.status(now),
        consumer_creation_timestamp: consumer.created_s as f64,
        stream_arn,
    }
}

fn consumer_missing(named: &ConsumerNamed, stream: &Stream) -> AwsError {
    let which = named.arn.as_deref().or(named.name.as_deref()).unwrap_or_default();
    AwsError::not_found(format!(
        "Consumer {which}, in stream {} under account {ACCOUNT}, not found.",
        stream.name
    ))
}
