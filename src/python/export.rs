//! A stream as one Arrow stream: whoever reads it waits on its own thread, without the interpreter.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};

use super::signal::{SLICE, Signal};
use crate::decode::conform;
use crate::stream::{Next, Stream};

pub(super) struct Export {
    stream: Arc<Stream>,
    signal: Arc<Signal>,
    schema: SchemaRef,
    finishing: bool,
    current: Option<u64>,
}

impl Export {
    pub(super) fn new(stream: Arc<Stream>, signal: Arc<Signal>, schema: SchemaRef, finishing: bool) -> Self {
        Self { stream, signal, schema, finishing, current: None }
    }

    fn finish_current(&mut self) {
        if let Some(number) = self.current.take()
            && self.finishing
        {
            self.stream.done(number, false);
        }
    }
}

impl Iterator for Export {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.finish_current();
        loop {
            let seen = self.signal.changes();
            match self.stream.try_next() {
                Next::Batch(batch) => {
                    self.current = Some(batch.number);
                    return Some(conform(&batch.records, &self.schema).map_err(external));
                }
                Next::Pending => self.signal.wait(seen, SLICE),
                Next::Ended => return None,
                Next::Failed(error) => return Some(Err(external(error))),
            }
        }
    }
}

fn external(error: crate::error::Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

impl RecordBatchReader for Export {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}
