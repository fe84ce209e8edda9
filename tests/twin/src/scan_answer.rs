//! A scanned page as the bytes the service sends.

use bytes::Bytes;

use crate::aws::Aws;
use crate::knobs::ScanMembers;
use crate::scan::{RawScanPage, ScanRequest};

impl Aws {
    /// Items are copied as the text they are kept in.
    pub(crate) fn scan_answer(&mut self, request: &ScanRequest, page: &RawScanPage) -> Bytes {
        let mut members = members(request, page);
        self.arrange(&mut members);
        let size: usize = members.iter().map(|member| member.len() + 1).sum();
        let mut body = String::with_capacity(size + 1);
        for (i, member) in members.iter().enumerate() {
            body.push(if i == 0 { '{' } else { ',' });
            body.push_str(member);
        }
        body.push('}');
        body.into()
    }

    fn arrange(&mut self, members: &mut [String]) {
        let is_items = |member: &String| member.starts_with("\"Items\"");
        match self.knobs.scan_members {
            ScanMembers::Sorted => {}
            ScanMembers::ItemsFirst => members.sort_by_key(|member| !is_items(member)),
            ScanMembers::ItemsLast => members.sort_by_key(is_items),
            ScanMembers::Mixed => members.sort_by_cached_key(|_| self.requests.next()),
        }
    }
}

/// Every member the answer has, sorted by name.
fn members(request: &ScanRequest, page: &RawScanPage) -> Vec<String> {
    let count = page.items.len();
    let mut members = Vec::with_capacity(5);
    if request.return_consumed_capacity.as_deref() == Some("TOTAL") {
        // A table may be named by its ARN; neither form has characters that JSON escapes.
        let (units, table) = (page.units, request.table());
        members
            .push(format!("\"ConsumedCapacity\":{{\"CapacityUnits\":{units:?},\"TableName\":\"{table}\"}}"));
    }
    members.push(format!("\"Count\":{count}"));
    if request.select.as_deref() != Some("COUNT") {
        members.push(format!("\"Items\":[{}]", page.items.join(",")));
    }
    if let Some(last) = &page.last {
        members.push(format!("\"LastEvaluatedKey\":{last}"));
    }
    members.push(format!("\"ScannedCount\":{count}"));
    members
}
