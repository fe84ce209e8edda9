//! Kinesis Data Streams, read by enhanced fan-out: the service pushes each shard's records as they arrive.
//!
//! A fetch gives the next event of the shard's subscription as a page, and subscribes when there is
//! none. What is not fetched is not read from the connection.

mod consumer;
mod event;
mod frames;
mod place;
mod session;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::types::StartingPosition;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::aws::arn::ConsumerTarget;
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::aws::errors::Call;
use crate::budget::Jitter;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{
    Cursor, Description, ItemsPage, Listing, Millis, OpenAt, Opened, Page, ScanRequest, Scope,
    TableDescription, Terms,
};
use crate::position::ShardId;
use crate::source::envelope::OfEvent;
use crate::source::kinesis::{Kinesis, child};
use crate::source::{Answer, Source};
use consumer::Consumer;
use event::Event;
use place::Place;
use session::Session;
use subscription::{Rules, Subscription, Told};

const OPERATION: &str = "SubscribeToShard";

/// A shard is pushed at most 2 MB a second (API reference), several events of them, a third more as
/// base64. Only one record of the larger kind passes 4 MiB, and such an event is still read.
const PAGE_BYTES: usize = 4 << 20;

/// As many pages as the default `memory_limit` has room for. Where more shards are read, each waits
/// less for an event, so that all have their turn as often.
const AT_ONCE: u32 = 64;

/// One Kinesis stream, and the consumer its records are pushed to.
#[derive(Debug)]
pub struct FanOut {
    kinesis: Kinesis,
    consumer: ConsumerTarget,
    rules: Rules,
    clients: OnceCell<Clients>,
    /// The consumer's ARN, once it is known to be active. Held while it is being found out.
    active: tokio::sync::Mutex<Option<Arc<str>>>,
    subscriptions: Mutex<HashMap<ShardId, Arc<tokio::sync::Mutex<Subscription>>>>,
    jitter: Mutex<Jitter>,
}

impl FanOut {
    /// `consumer` is a consumer's name or its ARN. Nothing is contacted.
    ///
    /// # Errors
    /// `Usage`, naming the value.
    pub fn new(kinesis: Kinesis, consumer: &str) -> Result<Self> {
        let consumer = ConsumerTarget::parse(consumer, kinesis.target())?;
        Ok(Self {
            kinesis,
            consumer,
            rules: Rules::OF_THE_SERVICE,
            clients: OnceCell::new(),
            active: tokio::sync::Mutex::default(),
            subscriptions: Mutex::default(),
            jitter: Mutex::new(Jitter::new(RandomState::new().hash_one(0))),
        })
    }

    /// Removes the consumer from the stream. Subscriptions end with it.
    ///
    /// # Errors
    /// As of any call; a consumer that is not there is as good as removed.
    pub async fn deregister(&self) -> Result<()> {
        let stream = self.kinesis.describe().await?;
        let clients = self.clients().await?;
        self.consumer(clients, &stream.table_arn).deregister().await
    }

    async fn fetch(&self, shard: &ShardId, cursor: &Cursor) -> Result<Page> {
        let place = Place::read(cursor)?;
        let consumer = self.active_consumer().await?;
        let told = match self.next(shard, &place, &consumer).await {
            Ok(told) => told,
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_lost(&consumer).await? => {
                Told::Nothing
            }
            Err(error) => return Err(error.with_shard(shard)),
        };
        match told {
            Told::Nothing => Ok(Page::nothing_yet(shard, cursor)),
            Told::Event(event, next, server_time) => {
                if next.is_none() {
                    lock(&self.subscriptions).remove(shard);
                }
                page(shard, event, next, server_time)
            }
        }
    }

    async fn next(&self, shard: &ShardId, place: &Place, consumer: &Arc<str>) -> Result<Told> {
        let clients = self.clients().await?;
        let subject = format!("shard {shard}");
        let call = Call {
            service: "kinesis",
            operation: OPERATION,
            subject: &subject,
            region: &clients.region,
            endpoint: None,
        };
        let jitter = lock(&self.jitter).draw();
        let subscription = self.subscription(shard);
        let deadline = Instant::now() + self.wait();
        let mut subscription = subscription.lock().await;
        let subscribe = |place: Place| subscribe(clients.clone(), consumer.clone(), shard.clone(), place);
        subscription.next(place, deadline, subscribe, &call, jitter).await
    }

    /// How long one fetch waits for an event.
    fn wait(&self) -> Duration {
        let shards = u32::try_from(lock(&self.subscriptions).len()).unwrap_or(u32::MAX);
        self.rules.wait.mul_f64(f64::from(AT_ONCE) / f64::from(shards.max(AT_ONCE)))
    }

    fn subscription(&self, shard: &ShardId) -> Arc<tokio::sync::Mutex<Subscription>> {
        let mut subscriptions = lock(&self.subscriptions);
        let fresh = || Arc::new(tokio::sync::Mutex::new(Subscription::new(self.rules)));
        subscriptions.entry(shard.clone()).or_insert_with(fresh).clone()
    }

    async fn active_consumer(&self) -> Result<Arc<str>> {
        let mut active = self.active.lock().await;
        if let Some(arn) = active.as_ref() {
            return Ok(arn.clone());
        }
        let stream = self.kinesis.describe().await?;
        let clients = self.clients().await?;
        let arn: Arc<str> = self.consumer(clients, &stream.table_arn).ensure().await?.into();
        *active = Some(arn.clone());
        Ok(arn)
    }

    /// Whether the consumer was removed under us. It is found or registered anew then: another one of
    /// its name has another ARN, but the positions in the shards are the same for all.
    async fn is_lost(&self, consumer: &str) -> Result<bool> {
        let mut active = self.active.lock().await;
        if active.as_deref() != Some(consumer) {
            // Another shard was first to find out.
            return Ok(true);
        }
        let stream = self.kinesis.describe().await?;
        let clients = self.clients().await?;
        if self.consumer(clients, &stream.table_arn).is_still(consumer).await? {
            return Ok(false);
        }
        *active = None;
        Ok(true)
    }

    async fn clients(&self) -> Result<&Clients> {
        self.clients.get_or_try_init(|| async { Ok(self.kinesis.room().await?.clients.clone()) }).await
    }

    fn consumer<'a>(&'a self, clients: &'a Clients, stream_arn: &'a str) -> Consumer<'a> {
        let (stream, target, patience) = (self.kinesis.target(), &self.consumer, self.rules.registration);
        Consumer { clients, stream, stream_arn, target, patience }
    }
}

impl Source for FanOut {
    fn describe(&self) -> Answer<'_, Description> {
        self.kinesis.describe()
    }

    fn describe_table(&self) -> Answer<'_, TableDescription> {
        self.kinesis.describe_table()
    }

    fn enable_stream(&self) -> Answer<'_, Description> {
        self.kinesis.enable_stream()
    }

    fn list<'a>(&'a self, stream: &'a str, scope: &'a Scope) -> Answer<'a, Listing> {
        Source::list(&self.kinesis, stream, scope)
    }

    /// No call: a place in a shard is all that a subscription needs.
    fn open<'a>(&'a self, _stream: &'a str, _shard: &'a ShardId, at: &'a OpenAt) -> Answer<'a, Opened> {
        Box::pin(async move { Ok(Opened { cursor: Place::from(at).cursor(), server_time: None }) })
    }

    fn fetch<'a>(&'a self, shard: &'a ShardId, cursor: &'a Cursor) -> Answer<'a, Page> {
        Box::pin(FanOut::fetch(self, shard, cursor))
    }

    fn scan<'a>(&'a self, request: &'a ScanRequest) -> Answer<'a, ItemsPage> {
        self.kinesis.scan(request)
    }

    fn terms(&self) -> Terms {
        Terms {
            page_bytes: PAGE_BYTES,
            pause: Duration::ZERO,
            shard_bytes_per_second: None,
            pushes: true,
            ..self.kinesis.terms()
        }
    }
}

/// Calls for a session of the shard that begins at `place`.
async fn subscribe(clients: Clients, consumer: Arc<str>, shard: ShardId, place: Place) -> Result<Session> {
    let keep = Keep::unread_body();
    let position: StartingPosition = place.starting_position()?;
    let request = clients.fan_out.subscribe_to_shard();
    let request = request.consumer_arn(&*consumer).shard_id(shard.as_str()).starting_position(position);
    let sent = request.customize().interceptor(keep.clone()).send().await;
    let subject = format!("shard {shard}");
    sent.map_err(|error| clients.kinesis_failed(OPERATION, &subject, &keep, &error))?;
    let body = keep.take_unread_body();
    let body = body.ok_or_else(|| Error::internal("SubscribeToShard succeeded without a body"))?;
    Ok(Session::new(body, keep.kept().server_time))
}

fn page(shard: &ShardId, event: Event, next: Option<Place>, server_time: Option<Millis>) -> Result<Page> {
    let OfEvent { behind, children, .. } = event.envelope.about;
    if children.iter().any(|child| child.parent_shards.is_empty()) {
        let message = format!("an event of shard {shard} names a child shard without parents");
        return Err(Error::new(ErrorKind::BadPage, message).with_shard(shard));
    }
    Ok(Page {
        shard: shard.clone(),
        body: event.payload,
        records: event.envelope.elements,
        next: next.map(|place| place.cursor()),
        behind: behind.map(|behind| behind.max(0)),
        children: children.into_iter().map(child).collect::<Result<_>>()?,
        hash_keys: None,
        weight: 0,
        server_time,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
