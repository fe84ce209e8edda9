//! Scan: a table page by page, whole or in segments.
//!
//! The order is that of the hash keys' places and does not depend on what is written meanwhile:
//! a page sees what lies ahead of its start key at the moment of its request, never what was
//! written behind it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::aws::Aws;
use crate::between::key_at;
use crate::calls::Op;
use crate::error::{AwsError, Result};
use crate::faults::Fault;
use crate::item::{self, Attributes, Item, Slot};
use crate::knobs::Knobs;
use crate::past::Undo;
use crate::projection::Projection;
use crate::segment::Segment;
use crate::table::{Table, name_of};

/// What is asked of a table's scan, by the service's own names.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScanRequest {
    pub table_name: String,
    pub segment: Option<u64>,
    pub total_segments: Option<u64>,
    pub limit: Option<usize>,
    pub exclusive_start_key: Option<Attributes>,
    pub consistent_read: Option<bool>,
    pub projection_expression: Option<String>,
    pub expression_attribute_names: BTreeMap<String, String>,
    /// `NONE` or `TOTAL`.
    pub return_consumed_capacity: Option<String>,
    /// `COUNT`, `ALL_ATTRIBUTES` or `SPECIFIC_ATTRIBUTES`.
    pub select: Option<String>,
}

impl ScanRequest {
    /// A consistent scan of the whole table that reports its capacity.
    pub fn of(table: &str) -> Self {
        Self {
            table_name: table.to_owned(),
            consistent_read: Some(true),
            return_consumed_capacity: Some("TOTAL".to_owned()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn segment(self, index: u64, total: u64) -> Self {
        Self { segment: Some(index), total_segments: Some(total), ..self }
    }

    #[must_use]
    pub fn after(self, key: &Attributes) -> Self {
        Self { exclusive_start_key: Some(key.clone()), ..self }
    }

    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit: Some(limit), ..self }
    }

    #[must_use]
    pub fn eventual(self) -> Self {
        Self { consistent_read: Some(false), ..self }
    }

    /// What faults, counters and the log know the call by; none for a scan that is not parallel.
    pub(crate) fn scope(&self) -> Option<String> {
        Some(format!("{}/{}", self.segment?, self.total_segments?))
    }

    /// The table's name, also where the request names it by its ARN.
    pub(crate) fn table(&self) -> &str {
        name_of(&self.table_name)
    }

    pub(crate) fn is_consistent(&self) -> bool {
        self.consistent_read.unwrap_or(false)
    }

    fn projection(&self) -> Result<Option<Projection>> {
        let specific = self.select.as_deref() == Some("SPECIFIC_ATTRIBUTES");
        match &self.projection_expression {
            Some(expression) if specific || self.select.is_none() => {
                Projection::parse(expression, &self.expression_attribute_names).map(Some)
            }
            None if !specific && self.expression_attribute_names.is_empty() => Ok(None),
            Some(_) => Err(AwsError::validation("a ProjectionExpression needs Select SPECIFIC_ATTRIBUTES")),
            None => Err(AwsError::validation(
                "SPECIFIC_ATTRIBUTES and ExpressionAttributeNames need a ProjectionExpression",
            )),
        }
    }

    fn check(&self) -> Result<()> {
        if self.limit == Some(0) {
            return Err(AwsError::validation("Limit must be at least 1"));
        }
        if !matches!(self.select.as_deref(), None | Some("COUNT" | "ALL_ATTRIBUTES" | "SPECIFIC_ATTRIBUTES"))
        {
            return Err(AwsError::validation("Select must be ALL_ATTRIBUTES, SPECIFIC_ATTRIBUTES or COUNT"));
        }
        if !matches!(self.return_consumed_capacity.as_deref(), None | Some("NONE" | "TOTAL")) {
            return Err(AwsError::validation("the twin models ReturnConsumedCapacity NONE and TOTAL"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    pub items: Vec<Attributes>,
    /// Only `None` is the end; a page may be empty and go on.
    pub last_evaluated_key: Option<Attributes>,
    pub capacity_units: f64,
}

/// What the table gave, before it is written down.
pub(crate) struct RawScanPage {
    pub(crate) items: Vec<Arc<str>>,
    /// Where the next page starts, as JSON text.
    pub(crate) last: Option<Arc<str>>,
    pub(crate) units: f64,
}

/// A stretch of items, and whether anything lies behind it.
struct Run {
    items: Vec<Arc<Item>>,
    last: Option<Arc<str>>,
    bytes: usize,
}

impl Aws {
    pub fn scan(&mut self, request: &ScanRequest) -> Result<ScanPage> {
        let page = self.typed(Op::Scan, request.scope().as_deref(), |aws| aws.do_scan(request))?;
        Ok(ScanPage {
            items: page.items.iter().map(|found| item::attributes(found)).collect(),
            last_evaluated_key: page.last.map(|key| item::attributes(&key)),
            capacity_units: page.units,
        })
    }

    /// Scan as the bytes the service sends; scripted damage is done to them.
    ///
    /// # Errors
    /// As [`Aws::get_records_body`].
    pub fn scan_body(&mut self, request: &ScanRequest) -> Result<Bytes> {
        let scope = request.scope();
        let page = self.observe(Op::Scan, scope.as_deref(), |aws| aws.do_scan(request))?;
        let body = self.scan_answer(request, &page);
        match self.take_damage() {
            Some(Fault::InvalidJson) => Ok(body.slice(..body.len() / 2)),
            None => Ok(body),
            Some(damage) if damage.leaves_whole() => Ok(body),
            Some(_) => Err(AwsError::bad_body()),
        }
    }

    /// The whole table without a call: what a mirror must equal.
    pub fn items(&self, table: &str) -> Result<Vec<Attributes>> {
        Ok(self.table(table)?.items.values().map(|found| item::attributes(&found.json)).collect())
    }

    pub(crate) fn do_scan(&mut self, request: &ScanRequest) -> Result<RawScanPage> {
        let segment = Segment::of(request.segment, request.total_segments)?;
        request.check()?;
        let projection = request.projection()?;
        let name = self.table(&request.table_name)?.name.clone();
        let start = request.exclusive_start_key.as_ref();
        let start = start.map(|key| self.key(&name, key)).transpose()?.map(|key| key.slot);
        let now = self.now_ms();
        self.buckets.may_read(&name, now, self.knobs.scan_units_per_second)?;
        let Some(table) = self.tables.get_mut(&name) else { return Err(AwsError::not_found(name)) };
        let run = table.scan(request, segment, start, now, &self.knobs)?;
        let units = units(run.bytes, request.is_consistent());
        self.buckets.spend(&name, units);
        let items = run.items.iter().map(|found| match &projection {
            Some(projection) => projection.apply(found).map(Arc::from),
            None => Ok(found.json.clone()),
        });
        Ok(RawScanPage { items: items.collect::<Result<_>>()?, last: run.last, units })
    }
}

/// Documented: the sizes of all items together, in steps of 4 KB; half for eventual consistency.
/// That an empty page costs one step is assumed.
fn units(bytes: usize, consistent: bool) -> f64 {
    let steps = bytes.div_ceil(4096).max(1) as f64;
    if consistent { steps } else { steps / 2.0 }
}

/// Keys that scans of a table gave out.
#[derive(Debug, Default)]
pub(crate) struct Issued(BTreeMap<Arc<str>, (u32, Vec<Segment>)>);

impl Issued {
    /// A key that a scan never gave out is anybody's.
    fn is_foreign(&self, key: &Arc<str>, segment: Segment) -> bool {
        self.0.get(key).is_some_and(|(_, owners)| !owners.contains(&segment))
    }

    /// How many empty pages in a row ended at this key.
    fn empties(&self, key: Option<&Slot>) -> u32 {
        key.and_then(|slot| self.0.get(&slot.1)).map_or(0, |(empties, _)| *empties)
    }

    fn note(&mut self, key: &Arc<str>, segment: Segment, empties: u32) {
        let (before, owners) = self.0.entry(key.clone()).or_default();
        *before = empties;
        if !owners.contains(&segment) {
            owners.push(segment);
        }
    }
}

impl Table {
    fn scan(
        &mut self,
        request: &ScanRequest,
        segment: Segment,
        start: Option<Slot>,
        now: i64,
        knobs: &Knobs,
    ) -> Result<Run> {
        if let Some(slot) = &start {
            let foreign = knobs.scan_strict_keys && self.issued.is_foreign(&slot.1, segment);
            if foreign || !segment.places().contains(&slot.0) {
                return Err(segment.refuses_key());
            }
        }
        let stale = if request.is_consistent() { knobs.scan_behind_ms } else { knobs.scan_stale_ms };
        let undo = if stale > 0 { self.past.undo(now.saturating_sub(stale)) } else { Undo::default() };
        let empties = self.issued.empties(start.as_ref());
        let empty =
            (empties < knobs.scan_empty_pages).then(|| self.stop_ahead(&undo, segment, start.as_ref()));
        let (run, empties) = match empty.flatten() {
            Some(last) => (Run { items: Vec::new(), last: Some(last), bytes: 0 }, empties + 1),
            None => (self.fill(&undo, segment, start, request.limit, knobs), 0),
        };
        if let Some(last) = &run.last {
            self.issued.note(last, segment, empties);
        }
        Ok(run)
    }

    fn fill(
        &self,
        undo: &Undo,
        segment: Segment,
        start: Option<Slot>,
        limit: Option<usize>,
        knobs: &Knobs,
    ) -> Run {
        let from = behind(segment, start);
        let high = *segment.places().end();
        let rest = undo.walk(&self.items, &from).take_while(|(slot, _)| slot.0 <= high);
        let most = knobs.scan_page_items.unwrap_or(usize::MAX).max(1);
        let mut run = Run { items: Vec::new(), last: None, bytes: 0 };
        let (mut last, mut more) = (None, knobs.scan_empty_pages > 0);
        for (slot, found) in rest {
            let full = run.items.len() >= most || run.bytes + found.size > knobs.scan_page_bytes;
            if full && !run.items.is_empty() {
                more = true;
                break;
            }
            run.bytes += found.size;
            run.items.push(found.clone());
            last = Some(&slot.1);
            // Documented: the limit ends a page with a key, also where nothing follows.
            if Some(run.items.len()) == limit {
                more = true;
                break;
            }
        }
        run.last = last.filter(|_| more).cloned();
        run
    }

    /// The key at which an empty page ends: ahead of its start, before the next item.
    fn stop_ahead(&self, undo: &Undo, segment: Segment, start: Option<&Slot>) -> Option<Arc<str>> {
        let (low, high) = segment.places().into_inner();
        let low = start.map_or(Some(low), |slot| slot.0.checked_add(1))?;
        let next = undo.walk(&self.items, &behind(segment, start.cloned())).next();
        let ceiling = next.and_then(|(slot, _)| slot.0.checked_sub(1)).map_or(high, |place| place.min(high));
        key_at(&self.keys, &self.types, &(low..=ceiling)).map(|slot| slot.1)
    }
}

fn behind(segment: Segment, start: Option<Slot>) -> Bound<Slot> {
    let first = || Bound::Included((*segment.places().start(), Arc::from("")));
    start.map_or_else(first, Bound::Excluded)
}
