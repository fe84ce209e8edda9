//! Scan: the table at rest, page by page.

use std::ops::Bound;
use std::sync::Arc;

use crate::aws::Aws;
use crate::calls::Op;
use crate::error::{AwsError, Result};
use crate::item::{self, Attributes, Item, Slot};

/// Documented: a page ends at 1 MB of items.
const PAGE_BYTES: usize = 1_048_576;

#[derive(Debug, Clone, PartialEq)]
pub struct ScanPage {
    pub items: Vec<Attributes>,
    pub last_evaluated_key: Option<Attributes>,
}

pub(crate) struct RawScanPage {
    pub(crate) items: Vec<Arc<Item>>,
    /// The key of the last item, as JSON text.
    pub(crate) last: Option<Arc<str>>,
}

impl Aws {
    /// Always consistent: the twin has one copy of a table.
    pub fn scan(
        &mut self,
        table: &str,
        limit: Option<usize>,
        start: Option<&Attributes>,
    ) -> Result<ScanPage> {
        let page = self.typed(Op::Scan, None, |aws| aws.do_scan(table, limit, start))?;
        Ok(ScanPage {
            items: page.items.iter().map(|found| item::attributes(&found.json)).collect(),
            last_evaluated_key: page.last.map(|key| item::attributes(&key)),
        })
    }

    /// The whole table without a call: what a mirror must equal.
    pub fn items(&self, table: &str) -> Result<Vec<Attributes>> {
        Ok(self.table(table)?.items.values().map(|found| item::attributes(&found.json)).collect())
    }

    pub(crate) fn do_scan(
        &self,
        table: &str,
        limit: Option<usize>,
        start: Option<&Attributes>,
    ) -> Result<RawScanPage> {
        if limit == Some(0) {
            return Err(AwsError::validation("Limit must be at least 1"));
        }
        let table = self.table(table)?;
        let start = start.map(|start| item::key(&table.keys, &table.types, start)).transpose()?;
        let from: Bound<Slot> = start.map_or(Bound::Unbounded, |key| Bound::Excluded(key.slot));
        let mut rest = table.items.range((from, Bound::Unbounded));
        let mut page = RawScanPage { items: Vec::new(), last: None };
        let (mut bytes, mut last) = (0, None);
        for (slot, found) in rest.by_ref() {
            bytes += found.size;
            page.items.push(found.clone());
            last = Some(&slot.1);
            if bytes >= PAGE_BYTES || Some(page.items.len()) == limit {
                break;
            }
        }
        page.last = rest.next().and(last).cloned();
        Ok(page)
    }
}
