//! Batches at rest: in memory up to a limit, beyond it in a temporary file.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, Schema, SchemaRef};

use crate::error::{Error, ErrorKind, Result};

/// Brings a batch to a later schema of the same stream.
pub type Conform = fn(&RecordBatch, &SchemaRef) -> Result<RecordBatch>;

/// What a whole read gave, as one table with one schema: the last one reached.
///
/// The file has no name from the start, so nothing is left behind whenever the process ends.
pub struct Table {
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
    limit: usize,
    /// Rows beyond these are not taken.
    most: Option<usize>,
    resting: Vec<Part>,
    memory: Vec<RecordBatch>,
    file: Option<Arc<File>>,
    conform: Conform,
}

/// Batches of one schema, as an Arrow IPC stream that begins at `offset` of the file.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
}

impl Table {
    pub fn new(limit: usize, conform: Conform) -> Self {
        Self {
            schema: Arc::new(Schema::empty()),
            rows: 0,
            bytes: 0,
            limit,
            most: None,
            resting: Vec::new(),
            memory: Vec::new(),
            file: None,
            conform,
        }
    }

    /// The table takes the first `most` rows.
    #[must_use]
    pub fn with_most(mut self, most: Option<usize>) -> Self {
        self.most = most;
        self
    }

    /// Whether it takes no more rows.
    pub fn is_full(&self) -> bool {
        self.most.is_some_and(|most| self.rows >= most)
    }

    /// # Errors
    /// `Internal` when the temporary file cannot be written.
    pub fn push(&mut self, records: &RecordBatch, bytes: usize) -> Result<()> {
        let room = self.most.map_or(usize::MAX, |most| most - self.rows);
        let records = records.slice(0, records.num_rows().min(room));
        self.schema = records.schema();
        self.rows += records.num_rows();
        self.bytes += bytes;
        self.memory.push(records);
        if self.bytes > self.limit { self.rest().map_err(unwritable) } else { Ok(()) }
    }

    /// The schema of an empty table, or one known before the first batch.
    pub fn set_schema(&mut self, schema: SchemaRef) {
        self.schema = schema;
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_resting(&self) -> bool {
        self.file.is_some()
    }

    /// Every batch from the first, brought to the final schema. May be called any number of times.
    pub fn reader(&self) -> TableReader {
        TableReader {
            schema: self.schema.clone(),
            resting: self.resting.clone().into_iter(),
            current: None,
            memory: self.memory.clone().into_iter(),
            file: self.file.clone(),
            conform: self.conform,
        }
    }

    fn rest(&mut self) -> Result<(), ArrowError> {
        if self.file.is_none() {
            self.file = Some(Arc::new(tempfile::tempfile()?));
        }
        let Some(file) = self.file.clone() else { return Ok(()) };
        for batches in self.memory.chunk_by(|a, b| a.schema_ref() == b.schema_ref()) {
            let offset = file.as_ref().seek(SeekFrom::End(0))?;
            let mut writer = StreamWriter::try_new(BufWriter::new(file.as_ref()), &batches[0].schema())?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.finish()?;
            writer.into_inner()?.flush()?;
            self.resting.push(Part { offset });
        }
        self.memory.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn unwritable(cause: ArrowError) -> Error {
    Error::new(
        ErrorKind::Internal,
        "the temporary file for what exceeds memory_limit cannot be written; free some space, \
         point TMPDIR to another place or raise memory_limit",
    )
    .with_cause(cause)
}

/// One pass over a `Table`.
pub struct TableReader {
    schema: SchemaRef,
    resting: std::vec::IntoIter<Part>,
    current: Option<StreamReader<io::BufReader<Section>>>,
    memory: std::vec::IntoIter<RecordBatch>,
    file: Option<Arc<File>>,
    conform: Conform,
}

impl TableReader {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        loop {
            if let Some(batch) = self.current.as_mut().and_then(Iterator::next) {
                return batch.map(Some);
            }
            let (Some(part), Some(file)) = (self.resting.next(), &self.file) else {
                return Ok(self.memory.next());
            };
            let section = Section { file: file.clone(), offset: part.offset };
            self.current = Some(StreamReader::try_new(io::BufReader::new(section), None)?);
        }
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next_batch().transpose()?;
        Some(batch.and_then(|batch| {
            (self.conform)(&batch, &self.schema).map_err(|error| ArrowError::ExternalError(Box::new(error)))
        }))
    }
}

impl RecordBatchReader for TableReader {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Reads the shared file from a place of its own, so that several readers do not disturb each other.
struct Section {
    file: Arc<File>,
    offset: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
