//! What a table's description says to those who read its stream, besides what is needed for reading.

use aws_sdk_dynamodb::types::{TableDescription as SdkTable, TableStatus};

use super::Streams;
use crate::error::Result;

impl Streams {
    pub(super) async fn cautions_of_table(&self) -> Result<Vec<String>> {
        let table = self.room().await?.table(self.asked_table()).await?;
        Ok([encryption(&table), status(&table), replicas(&table)].into_iter().flatten().collect())
    }
}

/// "Indicates the time, in UNIX epoch date format, when DynamoDB detected that the table's KMS key was
/// inaccessible. […] DynamoDB will initiate the table archival process when table's KMS key remains
/// inaccessible for more than seven days from this date" (API reference, `SSEDescription`).
fn encryption(table: &SdkTable) -> Option<String> {
    let description = table.sse_description()?;
    description.inaccessible_encryption_date_time()?;
    let key = description.kms_master_key_arn().unwrap_or("of the table");
    Some(format!(
        "DynamoDB cannot use the KMS key {key}: enable the key and let the table's grants use it, within seven days"
    ))
}

/// A table is written and read while it is `UPDATING`.
fn status(table: &SdkTable) -> Option<String> {
    match table.table_status()? {
        TableStatus::Active | TableStatus::Updating => None,
        other => Some(format!("the table is {}: its items may be out of reach", other.as_str())),
    }
}

/// The developer guide advises one reader for each shard of a global table's stream instead of two. Only
/// the replica where an item expired names the service as its remover; elsewhere it is a plain removal.
fn replicas(table: &SdkTable) -> Option<String> {
    match table.replicas().len() {
        0 => None,
        others => Some(format!(
            "the table is a global table with {others} other replicas: let one process read its stream, and \
             do not rely on `_ttl`, which is false for items that another replica let expire"
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::scripted::{Reply, Scripted};
    use crate::source::Source;

    async fn cautions(more: Value) -> Vec<String> {
        let mut table = json!({"TableName": "orders", "TableStatus": "ACTIVE"});
        let (into, from) = (table.as_object_mut().unwrap(), more.as_object().unwrap());
        into.extend(from.iter().map(|(name, value)| (name.clone(), value.clone())));
        let server = Scripted::replies([Reply::Say(200, json!({"Table": table}).to_string())]);
        Streams::new("orders", server.connection()).unwrap().cautions().await.unwrap()
    }

    #[tokio::test]
    async fn a_plain_table_needs_no_caution() {
        assert!(cautions(json!({})).await.is_empty());
        assert!(cautions(json!({"TableStatus": "UPDATING", "SSEDescription": {}})).await.is_empty());
    }

    #[tokio::test]
    async fn a_key_out_of_reach_a_table_in_a_bad_state_and_replicas_are_said() {
        let key = "arn:aws:kms:eu-west-1:123456789012:key/k";
        let sse = json!({"KMSMasterKeyArn": key, "InaccessibleEncryptionDateTime": 1.0});
        let cases = [
            (json!({"SSEDescription": sse}), key),
            (
                json!({"TableStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}),
                "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
            ),
            (
                json!({"Replicas": [{"RegionName": "us-east-1"}, {"RegionName": "us-east-2"}]}),
                "2 other replicas",
            ),
        ];
        for (table, word) in cases {
            let said = cautions(table).await;
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(word), "{said:?}");
        }
    }
}
