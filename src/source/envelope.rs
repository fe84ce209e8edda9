//! What a page says about itself, read from the head and the tail of its body.
//!
//! The records or items between are left to the decoder, which goes over them once.

mod ends;
mod whole;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;

use super::key;
use crate::error::{Error, ErrorKind, Result};
use crate::page::ScanKey;

/// A page of one array of objects and of members about it, without a look at the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<T> {
    /// The elements of the array: behind its `[`, up to its `]`.
    pub elements: Range<usize>,
    pub about: T,
}

/// What one kind of page says about itself.
pub trait About: Sized {
    /// The name of the array.
    const ARRAY: &'static str;

    /// # Errors
    /// What is wrong with a member.
    fn read(around: &Around<'_>) -> Result<Self, String>;

    /// Whether more comes behind this page.
    fn goes_on(&self) -> bool;
}

/// `{"Records": […], "NextShardIterator": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfRecords {
    pub next: Option<String>,
}

/// `{"Records": […], "NextShardIterator": "…", "MillisBehindLatest": 0, "ChildShards": […]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfKinesis {
    pub next: Option<String>,
    pub behind: Option<i64>,
    pub children: Vec<Child>,
}

/// `{"Records": […], "ContinuationSequenceNumber": "…", "MillisBehindLatest": 0, "ChildShards": […]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfEvent {
    pub continuation: Option<String>,
    pub behind: Option<i64>,
    pub children: Vec<Child>,
}

/// A shard that goes on where the one of this page ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Child {
    pub shard_id: String,
    pub parent_shards: Vec<String>,
    pub hash_key_range: Option<Hashes>,
}

/// Both ends belong to the range; they are numbers of 128 bits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Hashes {
    pub starting_hash_key: String,
    pub ending_hash_key: String,
}

/// `{"Items": […], "LastEvaluatedKey": {…}, "ScannedCount": 1, "ConsumedCapacity": {…}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct OfItems {
    pub next: Option<ScanKey>,
    pub scanned: u64,
    pub units: Option<f64>,
}

/// Where the array's elements are, and the members around it as JSON.
pub struct Around<'a> {
    elements: Range<usize>,
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<T: About> Envelope<T> {
    /// Reads head and tail when they are as plain as the service writes them, else the whole body.
    ///
    /// The short way counts only when it finds where to go on, so the end of a shard or a segment
    /// is never read from half a page. It takes an array of objects that stands last for the
    /// page's: the service has no other, and of a body cut short the decoder finds that its array
    /// has no end.
    ///
    /// # Errors
    /// `BadPage` when the body is not JSON, has no such array, or a member is not what it should be.
    pub fn read(body: &[u8]) -> Result<Self> {
        let short = ends::read(body, T::ARRAY).and_then(|around| Self::of(around).ok());
        if let Some(envelope) = short.filter(|envelope| envelope.about.goes_on()) {
            return Ok(envelope);
        }
        whole::read(body, T::ARRAY)
            .and_then(Self::of)
            .map_err(|what| Error::new(ErrorKind::BadPage, format!("the page cannot be read: {what}")))
    }

    fn of(around: Around<'_>) -> Result<Self, String> {
        let about = T::read(&around)?;
        Ok(Self { elements: around.elements, about })
    }
}

impl About for OfRecords {
    const ARRAY: &'static str = "Records";

    fn read(around: &Around<'_>) -> Result<Self, String> {
        let next: Option<Cow<'_, str>> = around.member("NextShardIterator")?;
        Ok(Self { next: next.filter(|next| !next.is_empty()).map(Cow::into_owned) })
    }

    fn goes_on(&self) -> bool {
        self.next.is_some()
    }
}

impl About for OfKinesis {
    const ARRAY: &'static str = "Records";

    fn read(around: &Around<'_>) -> Result<Self, String> {
        let next: Option<Cow<'_, str>> = around.member("NextShardIterator")?;
        let children: Option<Vec<Child>> = around.member("ChildShards")?;
        Ok(Self {
            next: next.filter(|next| !next.is_empty()).map(Cow::into_owned),
            behind: around.member("MillisBehindLatest")?,
            children: children.unwrap_or_default(),
        })
    }

    fn goes_on(&self) -> bool {
        self.next.is_some()
    }
}

impl About for OfEvent {
    const ARRAY: &'static str = "Records";

    fn read(around: &Around<'_>) -> Result<Self, String> {
        let continuation: Option<Cow<'_, str>> = around.member("ContinuationSequenceNumber")?;
        let children: Option<Vec<Child>> = around.member("ChildShards")?;
        Ok(Self {
            continuation: continuation.filter(|number| !number.is_empty()).map(Cow::into_owned),
            behind: around.member("MillisBehindLatest")?,
            children: children.unwrap_or_default(),
        })
    }

    fn goes_on(&self) -> bool {
        self.continuation.is_some()
    }
}

impl About for OfItems {
    const ARRAY: &'static str = "Items";

    fn read(around: &Around<'_>) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Consumed {
            capacity_units: Option<f64>,
        }
        let scanned = around.member("ScannedCount")?.or(around.member("Count")?);
        let consumed: Option<Consumed> = around.member("ConsumedCapacity")?;
        Ok(Self {
            next: last_key(around)?,
            scanned: scanned.ok_or("it has no ScannedCount")?,
            units: consumed.and_then(|consumed| consumed.capacity_units),
        })
    }

    fn goes_on(&self) -> bool {
        self.next.is_some()
    }
}

/// The key as its own text, checked, so that what is saved can be asked for.
fn last_key(around: &Around<'_>) -> Result<Option<ScanKey>, String> {
    let Some(text) = around.text("LastEvaluatedKey")?.filter(|text| *text != "null") else {
        return Ok(None);
    };
    let key = key::parse(text).map_err(|what| format!("LastEvaluatedKey: {what}"))?;
    Ok((!key.is_empty()).then(|| ScanKey(Arc::from(text))))
}

impl<'a> Around<'a> {
    /// The JSON of a member that may be there once.
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        let mut named = self.members.iter().filter(|(key, _)| key == name).map(|(_, text)| *text);
        match (named.next(), named.next()) {
            (_, Some(_)) => Err(format!("{name} stands twice in it")),
            (text, None) => Ok(text),
        }
    }

    /// The value of a member that may be there once; `null` is as good as none.
    fn member<V: Deserialize<'a>>(&self, name: &str) -> Result<Option<V>, String> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        serde_json::from_str(text).map_err(|cause| format!("{name}: {cause}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
