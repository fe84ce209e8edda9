use arrow_array::{ArrayRef, RecordBatch, StringArray};
use shardarrow::decode::*;
use shardarrow::error::*;
use shardarrow::page::Page;
use shardarrow::position::SequenceNumber;
use std::sync::Arc;
#[derive(Default)]
pub struct Plain {
    rows: Vec<(String, String, String)>,
    schema: Arc<SchemaState>,
}
impl Decoder for Plain {
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        let text = std::str::from_utf8(&page.body[from..page.records.end]).unwrap();
        let text = text.trim_start_matches(',');
        let base = page.records.end - text.len();
        let mut out = Pushed::default();
        let mut iter = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
        let mut at = 0;
        loop {
            let rest = &text[at..];
            let rest2 = rest.trim_start_matches(',');
            at += rest.len() - rest2.len();
            if rest2.is_empty() {
                break;
            }
            if out.rows >= room.rows {
                out.rest = Some(base + at);
                break;
            }
            iter = serde_json::Deserializer::from_str(rest2).into_iter();
            let v = iter.next().unwrap().map_err(|e| Error::new(ErrorKind::BadPage, e.to_string()))?;
            at += iter.byte_offset();
            let seq = v["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned();
            let number = SequenceNumber::parse(&seq).unwrap();
            let t = v["dynamodb"]["ApproximateCreationDateTime"].as_f64().unwrap() as i64 * 1000;
            out.newest = out.newest.max(Some(t));
            out.last = Some(number.clone());
            if skip.created_before.is_some_and(|b| t < b)
                || skip.through.as_ref().is_some_and(|s| number <= *s)
            {
                out.skipped += 1;
                continue;
            }
            self.rows.push((
                page.shard.to_string(),
                seq,
                v["dynamodb"]["Keys"]["k"]["S"].as_str().unwrap().into(),
            ));
            out.rows += 1;
        }
        Ok(out)
    }
    fn rows(&self) -> usize {
        self.rows.len()
    }
    fn bytes(&self) -> usize {
        self.rows.len() * 100
    }
    fn flush(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let col = |f: fn(&(String, String, String)) -> &String| {
            Arc::new(StringArray::from_iter_values(rows.iter().map(f))) as ArrayRef
        };
        Ok(RecordBatch::try_from_iter([
            ("_shard", col(|r| &r.0)),
            ("_sequence", col(|r| &r.1)),
            ("k", col(|r| &r.2)),
        ])
        .unwrap())
    }
    fn schema_state(&self) -> Arc<SchemaState> {
        self.schema.clone()
    }
    fn take_notices(&mut self) -> Vec<String> {
        vec![]
    }
}
