//! What a change becomes, and which rows are none.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::*;

use super::*;

const KEYS: &str = r#"{"id":{"S":"a"}}"#;
const IMAGE: &str = r#"{"id":{"S":"a"},"n":{"N":"1.50"}}"#;

/// One row.
fn change(op: &str, new_image: Option<&str>, old_image: Option<&str>) -> RecordBatch {
    let times = TimestampMicrosecondArray::from(vec![1_720_740_233_012_995]).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 7] = [
        ("_op", Arc::new(DictionaryArray::<Int8Type>::from_iter([op]))),
        ("_time", Arc::new(times)),
        ("_event_id", Arc::new(StringArray::from(vec![Some("7-\"x\"")]))),
        ("_ttl", Arc::new(BooleanArray::from(vec![op == "remove"]))),
        ("keys", Arc::new(StringArray::from(vec![KEYS]))),
        ("new_image", Arc::new(StringArray::from(vec![new_image]))),
        ("old_image", Arc::new(StringArray::from(vec![old_image]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn written(batch: &RecordBatch, table: Option<&str>) -> Result<String, String> {
    let mut out = Vec::new();
    Columns::require(batch.schema_ref()).unwrap().write(&mut out, batch, 0, table)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_change_is_written_as_dynamodb_writes_it() {
    assert_eq!(
        written(&change("modify", Some(IMAGE), Some(KEYS)), Some("orders")).unwrap(),
        concat!(
            r#"{"eventID":"7-\"x\"","eventName":"MODIFY","userIdentity":null,"recordFormat":"application/json","#,
            r#""tableName":"orders","dynamodb":{"ApproximateCreationDateTime":1720740233012995,"#,
            r#""ApproximateCreationDateTimePrecision":"MICROSECOND","Keys":{"id":{"S":"a"}},"#,
            r#""NewImage":{"id":{"S":"a"},"n":{"N":"1.50"}},"OldImage":{"id":{"S":"a"}}},"eventSource":"aws:dynamodb"}"#
        )
    );
    assert_eq!(
        written(&change("remove", None, None), None).unwrap(),
        concat!(
            r#"{"eventID":"7-\"x\"","eventName":"REMOVE","#,
            r#""userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},"#,
            r#""recordFormat":"application/json","dynamodb":{"ApproximateCreationDateTime":1720740233012995,"#,
            r#""ApproximateCreationDateTimePrecision":"MICROSECOND","Keys":{"id":{"S":"a"}}},"#,
            r#""eventSource":"aws:dynamodb"}"#
        )
    );
}

#[test]
fn what_is_no_change_is_refused_with_its_reason() {
    for (batch, reason) in [
        (change("snapshot", Some(IMAGE), None), "item of a snapshot"),
        (change("put", None, None), "\"_op\" is \"put\""),
        (change("remove", Some(IMAGE), None), "removes the item, but has a new image"),
        (change("insert", Some("[1]"), None), "\"new_image\" is not a JSON object"),
        (change("insert", Some("{"), None), "\"new_image\" is not a JSON object"),
    ] {
        let error = written(&batch, None).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn columns_that_are_no_changes_are_named() {
    let batch = change("insert", Some(IMAGE), None);
    let without = |name: &str| {
        let kept: Vec<_> = (0..7).filter(|place| batch.schema_ref().field(*place).name() != name).collect();
        batch.project(&kept).unwrap()
    };
    for name in NEEDED {
        let error = Columns::require(without(name).schema_ref()).unwrap_err();
        assert!(error.message().contains("images=\"json\""), "{error}");
    }
    for name in ["_time", "_event_id", "_ttl"] {
        let less = without(name);
        assert!(Columns::require(less.schema_ref()).is_ok(), "{name}");
        let mut columns: Vec<(&str, ArrayRef)> = vec![(name, Arc::new(Int32Array::from(vec![1])))];
        let schema = less.schema();
        let rest = schema.fields().iter().zip(less.columns());
        columns.extend(rest.map(|(field, column)| (field.name().as_str(), column.clone())));
        let other = RecordBatch::try_from_iter(columns).unwrap();
        let error = Columns::require(other.schema_ref()).unwrap_err();
        assert!(error.message().contains(&format!("column {name:?} must be")), "{error}");
    }
}

#[test]
fn a_partition_key_is_the_same_however_the_keys_are_written() {
    let key = |text: &str| {
        let keys: ArrayRef = Arc::new(StringArray::from(vec![text]));
        partition_key(&RecordBatch::try_from_iter([("keys", keys)]).unwrap(), 0, 0)
    };
    let first = key(r#"{"id":{"S":"a"},"n":{"N":"1.0"}}"#).unwrap();
    assert_eq!(first.len(), 32);
    assert_eq!(key(r#" {"n": {"N":"1"}, "id":{"S":"\u0061"}}"#).unwrap(), first);
    assert_ne!(key(r#"{"id":{"S":"a"},"n":{"N":"2"}}"#).unwrap(), first);
    for broken in ["", "{", "7", r#"{"id":{"X":"a"}}"#] {
        let error = key(broken).unwrap_err();
        assert!(error.contains("\"keys\" is no key of an item"), "{error}");
    }
}
