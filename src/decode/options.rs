//! What is asked of a decoder.

use serde::Deserialize;

/// What the columns are. Every default is the one of the public surface.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeOptions {
    /// What the records of the pages are.
    pub format: Format,
    /// Fixes the attribute columns; nothing is inferred then.
    pub schema: Option<Vec<DeclaredColumn>>,
    /// Only these attributes; keys are always kept.
    pub columns: Option<Vec<String>>,
    pub numbers: Numbers,
    pub nested: Nested,
    pub json: JsonFields,
    pub images: Images,
    pub old_image: bool,
    /// What the names of metadata columns begin with.
    pub metadata_prefix: String,
    /// How many attributes besides the keys are inferred.
    pub max_columns: usize,
    pub on_bad_record: OnBadRecord,
    /// `dynamodb`: only changes of this table; others are left out. Without it, all must be of one table.
    pub changes_of: Option<String>,
    /// Two columns more of a change, `_new_hash` and `_old_hash`: a hash of each image that is the same
    /// for the same values, however they are written. For loaders that have to compare images.
    pub image_hashes: bool,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            format: Format::Streams,
            schema: None,
            columns: None,
            numbers: Numbers::Exact,
            nested: Nested::Json,
            json: JsonFields::Text,
            images: Images::Columns,
            old_image: false,
            metadata_prefix: "_".to_owned(),
            max_columns: 1000,
            on_bad_record: OnBadRecord::Fail,
            changes_of: None,
            image_hashes: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Pages of DynamoDB Streams.
    #[default]
    Streams,
    /// Pages of Kinesis whose data is taken as it is.
    Bytes,
    /// Pages of Kinesis whose data is a JSON object.
    Json,
    /// Pages of Kinesis whose data is a change that DynamoDB sent there.
    Dynamodb,
}

/// A column of a declared schema: an attribute's name and its type in words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// int64, widening to decimal and to text; every digit is kept.
    Exact,
    /// The nearest float64; keys stay exact.
    Float64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nested {
    /// Maps and lists as plain JSON text.
    Json,
    /// Maps and lists as inferred structs and lists.
    Struct,
}

/// How columns of JSON text are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum JsonFields {
    /// By the field's metadata only.
    #[serde(rename = "text")]
    Text,
    /// Also by the canonical extension type.
    #[serde(rename = "arrow.json")]
    ArrowJson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// A column for each attribute.
    Columns,
    /// Keys and images as DynamoDB JSON, as they came.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRecord {
    Fail,
    Quarantine,
}
