//! shardarrow turns DynamoDB Streams into Arrow record batches.
//!
//! A record travels one way, like water in a river; each module is a stage and imports
//! only from those above it:
//!
//! source → reader → decode → batch → stream → Python → loader
//!
//! and a checkpoint marks how far it has been used. Beside the river stands `broken`: the tests'
//! switch for faults, which is nothing in any other build.

pub mod broken;
pub mod position;
pub mod error;
pub mod page;
pub mod lineage;
pub mod frontier;
pub mod budget;
pub mod aws;
pub mod source;
pub mod reader;
pub mod decode;
pub mod batch;
pub mod checkpoint;
pub mod snapshot;
pub mod run;
pub mod stream;
pub mod writer;
#[cfg(feature = "python")]
mod python;
