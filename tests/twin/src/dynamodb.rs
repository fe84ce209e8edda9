//! DynamoDB: tables and items, as far as a consumer and its tests need them.

use std::sync::Arc;

use crate::aws::Aws;
use crate::calls::Op;
use crate::clock;
use crate::condition::Condition;
use crate::error::{AwsError, Result};
use crate::item::{self, Attributes, Item, Key};
use crate::record::{Change, Place, Record, ViewType};
use crate::stream::Stream;
use crate::table::{CreateTable, StreamSpecification, Table, TableDescription, name_of};

/// One request of a BatchWriteItem.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    Put(Attributes),
    Delete(Attributes),
}

impl Aws {
    /// How many lineages a table created later under this name has (default 1).
    pub fn set_partitions(&mut self, table: &str, count: usize) {
        self.planned_partitions.insert(table.to_owned(), count.clamp(1, 10_000));
    }

    pub fn create_table(&mut self, request: &CreateTable) -> Result<TableDescription> {
        self.typed(Op::CreateTable, None, |aws| aws.do_create_table(request))
    }

    pub fn describe_table(&mut self, table: &str) -> Result<TableDescription> {
        self.typed(Op::DescribeTable, None, |aws| aws.do_describe_table(table, "ACTIVE"))
    }

    /// Enables or disables the table's stream.
    pub fn update_table(&mut self, table: &str, stream: &StreamSpecification) -> Result<TableDescription> {
        self.typed(Op::UpdateTable, None, |aws| aws.do_update_table(table, Some(stream)))
    }

    pub fn delete_table(&mut self, table: &str) -> Result<TableDescription> {
        self.typed(Op::DeleteTable, None, |aws| aws.do_delete_table(table))
    }

    /// Gives back the item that was there before.
    pub fn put_item(&mut self, table: &str, item: &Attributes) -> Result<Option<Attributes>> {
        self.put_item_if(table, item, &Condition::default())
    }

    /// As [`Aws::put_item`], if the item that is there fits.
    pub fn put_item_if(
        &mut self,
        table: &str,
        item: &Attributes,
        condition: &Condition,
    ) -> Result<Option<Attributes>> {
        let old = self.typed(Op::PutItem, None, |aws| aws.do_put_item(table, item, condition))?;
        Ok(old.map(|old| item::attributes(&old.json)))
    }

    /// Gives back the item that was there before.
    pub fn delete_item(&mut self, table: &str, key: &Attributes) -> Result<Option<Attributes>> {
        self.delete_item_if(table, key, &Condition::default())
    }

    /// As [`Aws::delete_item`], if the item that is there fits.
    pub fn delete_item_if(
        &mut self,
        table: &str,
        key: &Attributes,
        condition: &Condition,
    ) -> Result<Option<Attributes>> {
        let old = self.typed(Op::DeleteItem, None, |aws| aws.do_delete_item(table, key, condition, false))?;
        Ok(old.map(|old| item::attributes(&old.json)))
    }

    pub fn get_item(&mut self, table: &str, key: &Attributes) -> Result<Option<Attributes>> {
        let found = self.typed(Op::GetItem, None, |aws| aws.do_get_item(table, key))?;
        Ok(found.map(|found| item::attributes(&found.json)))
    }

    /// Applies all writes or none; throttled writes that come back unprocessed are not modelled.
    pub fn batch_write_item(&mut self, writes: &[(String, Write)]) -> Result<()> {
        self.typed(Op::BatchWriteItem, None, |aws| aws.do_batch_write(writes))
    }

    /// Removes an item as time to live does: no call, a record with the service's identity.
    pub fn expire(&mut self, table: &str, key: &Attributes) -> Result<()> {
        self.settle();
        self.do_delete_item(table, key, &Condition::default(), true).map(drop)
    }

    pub(crate) fn do_create_table(&mut self, request: &CreateTable) -> Result<TableDescription> {
        let name = &request.table_name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if !(3..=255).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(AwsError::validation("TableName must be 3 to 255 of a-z, A-Z, 0-9, _, - and ."));
        }
        if self.tables.contains_key(name) {
            return Err(AwsError::in_use(format!("Table already exists: {name}")));
        }
        let partitions = self.planned_partitions.get(name).copied().unwrap_or(1);
        let id = self.counter.event_id();
        let table = Table::new(request, id, self.now_ms(), partitions)?;
        self.tables.insert(name.clone(), table);
        if let Some(specification) = &request.stream_specification {
            self.do_update_table(name, Some(specification))
                .inspect_err(|_| drop(self.tables.remove(name)))?;
        }
        self.do_describe_table(name, "ACTIVE")
    }

    pub(crate) fn do_describe_table(&self, table: &str, status: &'static str) -> Result<TableDescription> {
        let table = self.table(table)?;
        let status =
            if status == "ACTIVE" { table.status(self.now_ms(), &self.streams, &self.knobs) } else { status };
        Ok(table.describe(status, self.now_ms(), &self.knobs, &self.streams))
    }

    pub(crate) fn do_update_table(
        &mut self,
        table: &str,
        stream: Option<&StreamSpecification>,
    ) -> Result<TableDescription> {
        let at = self.table(table)?;
        let enabled = at.stream.is_some();
        // Documented: one change at a time.
        if at.status(self.now_ms(), &self.streams, &self.knobs) != "ACTIVE" {
            return Err(AwsError::in_use(format!(
                "Attempt to change a resource which is still in use: {table}"
            )));
        }
        match stream {
            None => {}
            Some(StreamSpecification { stream_enabled: true, .. }) if enabled => {
                return Err(AwsError::validation(format!(
                    "Table already has an enabled stream: TableName: {table}"
                )));
            }
            Some(StreamSpecification { stream_enabled: true, stream_view_type: Some(view) }) => {
                self.enable(table, *view)?;
            }
            Some(StreamSpecification { stream_enabled: true, .. }) => {
                return Err(AwsError::validation("StreamViewType is required to enable a stream"));
            }
            Some(_) if !enabled => {
                return Err(AwsError::validation(format!(
                    "Table has no stream to disable: TableName: {table}"
                )));
            }
            Some(_) => self.disable(table)?,
        }
        self.do_describe_table(table, "ACTIVE")
    }

    pub(crate) fn do_delete_table(&mut self, table: &str) -> Result<TableDescription> {
        let description = self.do_describe_table(table, "DELETING")?;
        // Documented: the stream stays readable for 24 hours, like a disabled one.
        self.disable(table)?;
        if let Some(table) = self.tables.remove(table) {
            self.channels.of_table.remove(&table.name);
        }
        Ok(description)
    }

    pub(crate) fn do_put_item(
        &mut self,
        table: &str,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<Option<Arc<Item>>> {
        let new = item::item(attributes)?;
        let at = self.table(table)?;
        let key = item::key(&at.keys, &at.types, attributes)?;
        self.expect(table, &key, condition)?;
        self.write(table, &key, Some(new), false)
    }

    pub(crate) fn do_delete_item(
        &mut self,
        table: &str,
        key: &Attributes,
        condition: &Condition,
        ttl: bool,
    ) -> Result<Option<Arc<Item>>> {
        let key = self.key(table, key)?;
        self.expect(table, &key, condition)?;
        self.write(table, &key, None, ttl)
    }

    /// # Errors
    /// `ConditionalCheckFailedException` when the item is not as the condition says.
    fn expect(&self, table: &str, key: &Key, condition: &Condition) -> Result<()> {
        if condition.expression.is_none() {
            return condition.check(None);
        }
        let found = self.table(table)?.items.get(&key.slot).map(|found| item::attributes(&found.json));
        condition.check(found.as_ref())
    }

    pub(crate) fn do_get_item(&self, table: &str, key: &Attributes) -> Result<Option<Arc<Item>>> {
        let key = self.key(table, key)?;
        Ok(self.table(table)?.items.get(&key.slot).cloned())
    }

    pub(crate) fn do_batch_write(&mut self, writes: &[(String, Write)]) -> Result<()> {
        if !(1..=25).contains(&writes.len()) {
            return Err(AwsError::validation("BatchWriteItem takes 1 to 25 requests"));
        }
        let mut prepared = Vec::with_capacity(writes.len());
        for (table, write) in writes {
            let at = self.table(table)?;
            prepared.push(match write {
                Write::Put(all) => (table, item::key(&at.keys, &at.types, all)?, Some(item::item(all)?)),
                Write::Delete(key) => (table, self.key(table, key)?, None),
            });
        }
        let mut slots: Vec<_> = prepared.iter().map(|(table, key, _)| (*table, &key.slot)).collect();
        slots.sort();
        if slots.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(AwsError::validation("Provided list of item keys contains duplicates"));
        }
        for (table, key, new) in prepared {
            self.write(table, &key, new, false)?;
        }
        Ok(())
    }

    pub(crate) fn table(&self, table: &str) -> Result<&Table> {
        let name = name_of(table);
        self.tables.get(name).ok_or_else(|| {
            AwsError::not_found(format!("Requested resource not found: Table: {name} not found"))
        })
    }

    /// A request's `Key`: the key attributes and nothing else.
    pub(crate) fn key(&self, table: &str, attributes: &Attributes) -> Result<Key> {
        let table = self.table(table)?;
        if attributes.len() != table.keys.len() {
            return Err(AwsError::validation("The provided key element does not match the schema"));
        }
        item::key(&table.keys, &table.types, attributes)
    }

    /// Writes or removes one item and records what changed; no change leaves no record (documented).
    fn write(&mut self, table: &str, key: &Key, new: Option<Item>, ttl: bool) -> Result<Option<Arc<Item>>> {
        let name = self.table(table)?.name.clone();
        let Some(at) = self.tables.get_mut(&name) else { return Err(AwsError::not_found(name)) };
        let new = new.map(Arc::new);
        let old = at.replace(&key.slot, new.clone(), self.clock.now(), &self.knobs);
        if old.as_ref().map(|old| &old.json) != new.as_ref().map(|new| &new.json) {
            let change = Change { key, old: old.as_deref(), new: new.as_deref(), ttl };
            self.replicate(&name, &change);
            self.append(&name, change);
        }
        Ok(old)
    }

    fn append(&mut self, table: &str, change: Change<'_>) {
        let now = self.clock.now();
        let Some(table) = self.tables.get_mut(table) else { return };
        let Some(stream) = table.stream.as_ref().and_then(|arn| self.streams.get_mut(arn)) else { return };
        if self.knobs.enabling_drops && stream.status(now, &self.knobs) == "ENABLING" {
            return;
        }
        let Some(partition) = table.partition_of(change.key.slot.0) else { return };
        let Some(shard) = partition.open.as_ref().and_then(|id| stream.shards.get_mut(id)) else { return };
        let place = Place {
            stream: stream.arn.clone(),
            shard: shard.id.clone(),
            sequence: self.counter.sequence(&mut partition.numbering),
            event_id: self.counter.event_id(),
            view: stream.view,
            now,
        };
        let record = Arc::new(Record::new(&change, place));
        shard.trim(now.saturating_sub(self.knobs.retention_ms));
        shard.push(record.clone());
        if self.knobs.keep_history {
            self.history.push(record);
        }
    }

    fn enable(&mut self, table: &str, view: ViewType) -> Result<()> {
        let now = self.now_ms();
        let at = self.table(table)?;
        let (name, keys, prefix) = (at.name.clone(), at.keys.clone(), at.arn());
        let arn_at = |at: i64| -> Arc<str> { format!("{prefix}/stream/{}", clock::label(at)).into() };
        // A label is a time; two streams of one virtual millisecond still need two labels.
        let at = (now..).find(|at| !self.streams.contains_key(&arn_at(*at))).unwrap_or(now);
        let (arn, label) = (arn_at(at), clock::label(at));
        let mut stream = Stream {
            arn: arn.clone(),
            label,
            table: name.clone(),
            view,
            keys,
            created: now,
            disabled: None,
            shards: Default::default(),
        };
        let Some(table) = self.tables.get_mut(&name) else { return Err(AwsError::not_found(name)) };
        for partition in &mut table.partitions {
            stream.open(partition, None, now, &mut self.counter);
        }
        (table.stream, table.latest) = (Some(arn.clone()), Some(arn.clone()));
        self.streams.insert(arn, stream);
        Ok(())
    }

    /// Documented: disabling closes the open shards; the stream stays readable.
    fn disable(&mut self, table: &str) -> Result<()> {
        let now = self.now_ms();
        let name = self.table(table)?.name.clone();
        let Some(table) = self.tables.get_mut(&name) else { return Err(AwsError::not_found(name)) };
        let Some(stream) = table.stream.take().and_then(|arn| self.streams.get_mut(&arn)) else {
            return Ok(());
        };
        for partition in &mut table.partitions {
            stream.close(partition, now, &mut self.counter, self.knobs.ending_beyond);
        }
        stream.disabled = Some(now);
        Ok(())
    }
}
