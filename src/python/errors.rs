//! Errors become Python exceptions in one place.

use std::error::Error as _;

use pyo3::prelude::*;

use crate::error::Error;

/// Builds the exception in `shardarrow.errors`, where the classes are.
pub(super) fn raise(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failure| failure, PyErr::from_value)
}

fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    py.import("shardarrow.errors")?.getattr("_from_native")?.call1((
        error.kind().name(),
        error.message(),
        error.retryable(),
        error.code(),
        error.shard().map(|shard| shard.as_str()),
        error.position().map(ToString::to_string),
        causes(error),
    ))
}

fn causes(error: &Error) -> Vec<String> {
    std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect()
}

/// `?` for the core's results where Python is at hand.
pub(super) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for crate::error::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raise(py, &error))
    }
}
