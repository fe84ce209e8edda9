//! The records of users in an aggregate.

use super::super::OnBadRecord;
use super::super::aggregate::Aggregate;
use super::super::delivery::Delivery;
use super::super::json::{Fallible, bad_record};
use super::super::rows::{Items, Progress, RowDecoder};
use super::{Deliveries, Payload, quarantine, reason_of};
use crate::position::SequenceNumber;

impl Deliveries<'_> {
    /// How many parts of a record are behind the position already.
    fn parts_used(&self, record: &SequenceNumber) -> u32 {
        let through = self.skip.through.as_ref();
        let sub = through.and_then(|through| through.sub().filter(|sub| record.part(*sub) == *through));
        sub.map_or(0, |sub| sub.saturating_add(1))
    }

    /// Adds the parts of an aggregate, each as a row. All of them come into one batch.
    pub(super) fn parts<'a, I: Items>(
        &self,
        rows: &mut RowDecoder<I>,
        delivery: &Delivery<'a>,
        aggregate: &Aggregate<'_>,
        shard: i32,
        progress: &mut Progress<'a>,
    ) -> Fallible<()> {
        let record = delivery.number()?;
        let used = self.parts_used(&record);
        self.count(|counts| counts.aggregates += u64::from(used == 0));
        for (number, part) in (0u32..).zip(aggregate.parts()) {
            if number < used {
                progress.pushed.skipped += 1;
                continue;
            }
            let Ok(part) = part else { return bad_record("it is an aggregate that cannot be read twice") };
            let payload = Payload {
                sequence: delivery.sequence,
                part: Some(number),
                arrived: delivery.arrived,
                partition_key: part.partition_key.as_bytes(),
                explicit_hash_key: part.explicit_hash_key.map(str::as_bytes),
                data: part.data,
            };
            match self.row(rows, &payload, shard) {
                Ok(taken) => self.took(taken, progress),
                Err(fault) => {
                    let reason = reason_of(*fault);
                    rows.undo(rows.rows);
                    if rows.on_bad_record == OnBadRecord::Fail {
                        return self.cut_at(number, &record, delivery.arrived, reason, progress);
                    }
                    let sequence = record.part(number);
                    progress.pushed.quarantined.push(quarantine::part(sequence, &payload, reason));
                }
            }
            if self.page.hash_keys.is_some_and(|shard| part.is_outside(shard)) {
                self.count(|counts| counts.out_of_range += 1);
            }
        }
        progress.used(Some(delivery.sequence), delivery.arrived);
        Ok(())
    }

    /// Gives up an aggregate at a bad part, right behind the part before.
    fn cut_at(
        &self,
        part: u32,
        record: &SequenceNumber,
        arrived: Option<i64>,
        reason: String,
        progress: &mut Progress<'_>,
    ) -> Fallible<()> {
        self.cut.set(Some(part));
        if let Some(before) = part.checked_sub(1) {
            progress.bad(Some(record.part(before)), arrived);
        }
        bad_record(reason)
    }
}
