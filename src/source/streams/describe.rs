//! What is behind a name: the table, its keys, its newest stream.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{ScalarAttributeType, TableDescription as SdkTable};
use aws_sdk_dynamodbstreams::types::{StreamDescription, StreamViewType};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{RETENTION, Room, Streams, status};
use crate::aws::arn::{Arn, Target};
use crate::aws::capture::Keep;
use crate::error::{Error, ErrorKind, Result};
use crate::page::{Cursor, Description, KeyAttribute, KeyKind, OpenAt, Scope, TableDescription, ViewType};

/// How far to look for a record that shows the types of the keys.
const PEEK_SHARDS: usize = 20;
const PEEK_PAGES: usize = 10;

impl Streams {
    pub(super) async fn describe_target(&self) -> Result<Description> {
        let room = self.room().await?;
        match &self.target {
            Target::Table(_) | Target::TableArn(_) => self.describe_table(room).await,
            Target::Stream(arn) => self.describe_stream(room, arn).await,
        }
    }

    pub(super) async fn describe_table_alone(&self) -> Result<TableDescription> {
        let table = self.room().await?.table(self.asked_table()).await?;
        self.described(&table)
    }

    /// The names of the table's keys, as a scan asks for them.
    pub(super) async fn key_names(&self, room: &Room) -> Result<Vec<String>> {
        let table = room.table(self.asked_table()).await?;
        Ok(names_of(&table).into_iter().map(str::to_owned).collect())
    }

    /// What calls about the table name it by. An ARN keeps its account: the same name may be
    /// another table in the account of these credentials.
    pub(super) fn asked_table(&self) -> &str {
        match &self.target {
            Target::Table(name) => name,
            Target::TableArn(arn) | Target::Stream(arn) => arn.table_arn(),
        }
    }

    fn described(&self, table: &SdkTable) -> Result<TableDescription> {
        Ok(TableDescription {
            table: self.target.table().to_owned(),
            table_arn: table.table_arn().unwrap_or_default().to_owned(),
            keys: table_keys(table)?,
            items: table.item_count().and_then(|count| u64::try_from(count).ok()),
            bytes: table.table_size_bytes().and_then(|bytes| u64::try_from(bytes).ok()),
            stream_arn: table.latest_stream_arn().filter(|arn| !arn.is_empty()).map(str::to_owned),
        })
    }

    async fn describe_table(&self, room: &Room) -> Result<Description> {
        let table = room.table(self.asked_table()).await?;
        self.describe_stream_of(room, &table).await
    }

    pub(super) async fn describe_stream_of(&self, room: &Room, table: &SdkTable) -> Result<Description> {
        let table = self.described(table)?;
        let Some(arn) = table.stream_arn.clone() else { return Err(no_stream(&table.table)) };
        match room.describe_stream(&arn, None, &Scope::Full, Some(1)).await {
            Ok(described) => description(table, &arn, &described.stream),
            // The table remembers a stream that was turned off more than a day ago.
            Err(error) if error.kind() == ErrorKind::NotFound => Err(no_stream(&table.table)),
            Err(error) => Err(error),
        }
    }

    /// A stream outlives its table by a day, so the table is asked only for what the stream's
    /// description lacks: the types of its keys, and how large it is.
    async fn describe_stream(&self, room: &Room, arn: &Arn) -> Result<Description> {
        let stream = room.describe_stream(&arn.text, None, &Scope::Full, Some(1)).await?.stream;
        let table = match room.table(&arn.table).await {
            Ok(table) if is_of(&table, &stream, arn) => {
                TableDescription { table_arn: arn.table_arn().to_owned(), ..self.described(&table)? }
            }
            Ok(_) => {
                unseen(arn, self.keys_of_records(&stream, arn).await?.unwrap_or_else(|| text_keys(&stream)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Without records the types do not matter: nothing will ever be written again.
                unseen(arn, self.keys_of_records(&stream, arn).await?.unwrap_or_else(|| text_keys(&stream)))
            }
            Err(error) if error.kind() == ErrorKind::AccessDenied => {
                unseen(arn, self.keys_of_records(&stream, arn).await?.ok_or(error)?)
            }
            Err(error) => return Err(error),
        };
        description(table, &arn.text, &stream)
    }

    /// Key types as the first record found shows them.
    async fn keys_of_records(
        &self,
        stream: &StreamDescription,
        arn: &Arn,
    ) -> Result<Option<Vec<KeyAttribute>>> {
        let listing = self.list(&arn.text, &Scope::Full).await?;
        for shard in listing.shards.iter().take(PEEK_SHARDS) {
            let mut cursor: Option<Cursor> =
                Some(self.open(&arn.text, &shard.id, &OpenAt::Beginning).await?.cursor);
            for _ in 0..PEEK_PAGES {
                let Some(at) = cursor else { break };
                let page = self.fetch(&shard.id, &at).await?;
                let records = page.body.get(page.records.clone()).unwrap_or_default();
                if let Some(keys) = record_keys(records, stream) {
                    return Ok(Some(keys));
                }
                cursor = page.next;
            }
        }
        Ok(None)
    }
}

impl Room {
    pub(super) async fn table(&self, name: &str) -> Result<SdkTable> {
        let keep = Keep::headers();
        let request = self.clients.tables.describe_table().table_name(name);
        let output = request.customize().interceptor(keep.clone()).send().await;
        let output = output.map_err(|error| {
            let error = self.clients.failed("DescribeTable", &format!("table {name}"), &keep, &error);
            if error.kind() == ErrorKind::NotFound { self.clients.no_table(name, &keep) } else { error }
        })?;
        output.table.ok_or_else(|| {
            Error::new(ErrorKind::BadPage, format!("DescribeTable of table {name} gave no description"))
        })
    }
}

fn no_stream(table: &str) -> Error {
    let message = format!(
        "table {table} has no stream; enable one: aws dynamodb update-table --table-name {table} \
         --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
    );
    Error::new(ErrorKind::StreamUnusable, message)
}

fn description(table: TableDescription, stream_arn: &str, stream: &StreamDescription) -> Result<Description> {
    Ok(Description {
        table: table.table,
        table_arn: table.table_arn,
        stream_arn: stream_arn.to_owned(),
        keys: table.keys,
        view: view(stream)?,
        status: status(stream),
        retention: RETENTION,
        items: table.items,
        bytes: table.bytes,
    })
}

/// A table of which only its stream speaks.
fn unseen(arn: &Arn, keys: Vec<KeyAttribute>) -> TableDescription {
    TableDescription {
        table: arn.table.clone(),
        table_arn: arn.table_arn().to_owned(),
        keys,
        items: None,
        bytes: None,
        stream_arn: None,
    }
}

fn view(stream: &StreamDescription) -> Result<ViewType> {
    match stream.stream_view_type() {
        Some(StreamViewType::KeysOnly) => Ok(ViewType::KeysOnly),
        Some(StreamViewType::NewImage) => Ok(ViewType::NewImage),
        Some(StreamViewType::OldImage) => Ok(ViewType::OldImage),
        Some(StreamViewType::NewAndOldImages) => Ok(ViewType::NewAndOldImages),
        other => {
            let view = other.map_or("missing", StreamViewType::as_str);
            let message = format!("the stream's view type is {view}, which this version does not know");
            Err(Error::new(ErrorKind::StreamUnusable, message))
        }
    }
}

fn table_keys(table: &SdkTable) -> Result<Vec<KeyAttribute>> {
    let kind = |name: &str| {
        let definition =
            table.attribute_definitions().iter().find(|definition| definition.attribute_name() == name);
        match definition?.attribute_type() {
            ScalarAttributeType::S => Some(KeyKind::Text),
            ScalarAttributeType::N => Some(KeyKind::Number),
            ScalarAttributeType::B => Some(KeyKind::Binary),
            _ => None,
        }
    };
    let names = names_of(table);
    let keys = names.iter().map(|name| {
        let kind = kind(name).ok_or_else(|| {
            Error::new(ErrorKind::BadPage, format!("DescribeTable gives no type for key attribute {name:?}"))
        });
        Ok(KeyAttribute { name: (*name).to_owned(), kind: kind? })
    });
    keys.collect()
}

fn names_of(table: &SdkTable) -> Vec<&str> {
    let mut schema: Vec<_> = table.key_schema().iter().collect();
    schema.sort_by_key(|element| element.key_type().as_str() != "HASH");
    schema.into_iter().map(|element| element.attribute_name()).collect()
}

fn names_in(stream: &StreamDescription) -> Vec<&str> {
    let mut schema: Vec<_> = stream.key_schema().iter().collect();
    schema.sort_by_key(|element| element.key_type().as_str() != "HASH");
    schema.into_iter().map(|element| element.attribute_name()).collect()
}

/// Whether this is the table the stream was made for, not a later one of the same name.
fn is_of(table: &SdkTable, stream: &StreamDescription, arn: &Arn) -> bool {
    let newest = table.latest_stream_arn() == Some(arn.text.as_str());
    let older = match (table.creation_date_time(), stream.creation_request_date_time()) {
        (Some(table), Some(stream)) => table.as_nanos() <= stream.as_nanos(),
        _ => false,
    };
    (newest || older) && (names_in(stream).is_empty() || names_in(stream) == names_of(table))
}

fn text_keys(stream: &StreamDescription) -> Vec<KeyAttribute> {
    let key = |name: &str| KeyAttribute { name: name.to_owned(), kind: KeyKind::Text };
    names_in(stream).into_iter().map(key).collect()
}

/// The keys of the first of these records, in the order of the stream's key schema.
fn record_keys(records: &[u8], stream: &StreamDescription) -> Option<Vec<KeyAttribute>> {
    #[derive(Deserialize)]
    struct Record {
        dynamodb: Change,
    }
    #[derive(Deserialize)]
    struct Change {
        #[serde(rename = "Keys")]
        keys: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
    }
    let mut records = serde_json::Deserializer::from_slice(records).into_iter::<Record>();
    let keys = records.next()?.ok()?.dynamodb.keys;
    let kind = |name: &str| match keys.get(name)?.keys().next()?.as_str() {
        "S" => Some(KeyKind::Text),
        "N" => Some(KeyKind::Number),
        "B" => Some(KeyKind::Binary),
        _ => None,
    };
    let key = |name: &str| Some(KeyAttribute { name: name.to_owned(), kind: kind(name)? });
    match names_in(stream) {
        names if names.is_empty() => None,
        names => names.into_iter().map(key).collect(),
    }
}
