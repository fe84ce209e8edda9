//! The wall to Python. Nothing before this stage knows that Python exists.
//!
//! Thin: convert, delegate, convert. No thread of ours ever attaches to the interpreter.

mod batch;
mod config;
mod deregister;
mod errors;
mod examine;
mod export;
mod inspect;
mod memory;
mod shards;
mod signal;
mod store;
mod stream;
mod table;
mod writer;

use std::time::Duration;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Of this extension alone: Python and other extensions keep theirs. Pages and columns of a megabyte
/// come and go with every batch, on several threads, which costs glibc's allocator a fifth of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Ends every stream of the process; called when the interpreter leaves.
#[pyfunction]
fn shut_down(py: Python<'_>) {
    py.detach(|| {
        crate::stream::shut_down(Duration::from_secs(1));
        signal::wait_until_empty(Duration::from_secs(1));
    });
}

#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::batch::{Batch, Schema, schema_words};
    #[pymodule_export]
    use super::deregister::deregister;
    #[pymodule_export]
    use super::examine::examine;
    #[pymodule_export]
    use super::inspect::inspect_checkpoints;
    #[pymodule_export]
    use super::memory::Memory;
    #[pymodule_export]
    use super::shards::Listing;
    #[pymodule_export]
    use super::shut_down;
    #[pymodule_export]
    use super::signal::Bell;
    #[pymodule_export]
    use super::store::CheckpointFile;
    #[pymodule_export]
    use super::stream::{Stream, Ticket};
    #[pymodule_export]
    use super::table::Table;
    #[pymodule_export]
    use super::writer::{Write, Writer};

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
