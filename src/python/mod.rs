//! The wall to Python. Nothing before this stage knows that Python exists.
//!
//! Thin: convert, delegate, convert. No thread of ours ever attaches to the interpreter.

mod allocator;
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

use pyo3::prelude::*;

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
    use pyo3::prelude::*;

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

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::allocator::give_back_soon();
        Ok(())
    }

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
