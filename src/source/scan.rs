//! Scan: the items of a table, page by page, in segments that are read side by side.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use bytes::Bytes;

use super::envelope::{Envelope, OfItems};
use super::key::{self, KeyValue};
use crate::aws::capture::Keep;
use crate::aws::clients::Clients;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{ItemsPage, Millis, ScanKey, ScanRequest, Segment};

/// What the SDK parses in place of a page; it has no required members.
const STUB: &[u8] = br#"{"Items":[],"Count":0,"ScannedCount":0}"#;

/// "The maximum length of any expression string is 4 KB" (quotas of the developer guide).
const LONGEST_EXPRESSION: usize = 4096;

/// A table that is being scanned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanned<'a> {
    pub(super) clients: &'a Clients,
    pub(super) name: &'a str,
    /// Its name or its ARN, as requests have it.
    pub(super) asked: &'a str,
}

impl Scanned<'_> {
    /// One page, in one attempt. `keys` are the names of the table's keys, read with any columns.
    pub(super) async fn page(&self, request: &ScanRequest, keys: &[String]) -> Result<ItemsPage> {
        let subject = self.subject(request.segment);
        let (body, server_time) = self.scan(request, keys, &subject).await?;
        let envelope = Envelope::<OfItems>::read(&body)
            .map_err(|error| Error::new(error.kind(), format!("Scan of {subject}: {error}")))?;
        let OfItems { next, scanned, units } = envelope.about;
        if next.is_some() && next == request.after {
            let message = format!("Scan of {subject} goes round in circles: it goes on where it began");
            return Err(Error::new(ErrorKind::BadPage, message));
        }
        let (segment, items) = (request.segment, envelope.elements);
        Ok(ItemsPage { segment, body, items, next, scanned, units, server_time })
    }

    async fn scan(
        &self,
        request: &ScanRequest,
        keys: &[String],
        subject: &str,
    ) -> Result<(Bytes, Option<Millis>)> {
        let keep = Keep::body(STUB);
        let scan = self.clients.items.scan().table_name(self.asked);
        let scan = scan.segment(count(request.segment.index)).total_segments(count(request.segment.total));
        let scan = scan.consistent_read(request.consistent).set_limit(request.limit.map(count));
        let scan = scan.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let scan = scan.set_exclusive_start_key(self.start(request)?);
        let scan = match &request.columns {
            Some(columns) => project(scan, columns, keys),
            None => scan,
        };
        let sent = scan.customize().interceptor(keep.clone()).send().await;
        sent.map_err(|error| {
            let error = self.clients.failed("Scan", subject, &keep, &error);
            if error.kind() == ErrorKind::NotFound { self.clients.no_table(self.name, &keep) } else { error }
        })?;
        let body = keep.take_body().ok_or_else(|| Error::internal("Scan succeeded without a body"))?;
        Ok((body, keep.kept().server_time))
    }

    fn start(&self, request: &ScanRequest) -> Result<Option<HashMap<String, AttributeValue>>> {
        request.after.as_ref().map(start_key).transpose().map_err(|what| {
            let subject = self.subject(request.segment);
            let message = format!("the scan of {subject} cannot go on from its saved key: {what}");
            Error::new(ErrorKind::CheckpointCorrupt, message)
        })
    }

    fn subject(&self, segment: Segment) -> String {
        format!("table {}, segment {} of {}", self.name, segment.index, segment.total)
    }
}

/// A number that is too large stays too large, so that the service refuses it.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn start_key(after: &ScanKey) -> Result<HashMap<String, AttributeValue>, String> {
    let key = key::parse(&after.0)?;
    let key = key.into_iter().map(|(name, value)| (name, attribute(value)));
    Ok(key.collect())
}

fn attribute(value: KeyValue) -> AttributeValue {
    match value {
        KeyValue::S(text) => AttributeValue::S(text),
        KeyValue::N(digits) => AttributeValue::N(digits),
        KeyValue::B(bytes) => AttributeValue::B(Blob::new(bytes)),
    }
}

/// Asks for keys and columns alone, each behind a placeholder: names may be reserved words or hold
/// dots, which an expression would read as a path.
///
/// What is read costs the same with and without a projection, so more columns than an expression
/// holds (about 700) are not worth an error: then everything is read.
fn project(scan: ScanFluentBuilder, columns: &[String], keys: &[String]) -> ScanFluentBuilder {
    let mut names: Vec<&String> = Vec::with_capacity(keys.len() + columns.len());
    let mut seen = HashSet::new();
    names.extend(keys.iter().chain(columns).filter(|name| seen.insert(*name)));
    let places: Vec<String> = (0..names.len()).map(|number| format!("#a{number}")).collect();
    let expression = places.join(",");
    if expression.len() > LONGEST_EXPRESSION {
        return scan;
    }
    let names = places.into_iter().zip(names.into_iter().cloned()).collect();
    scan.projection_expression(expression).set_expression_attribute_names(Some(names))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
