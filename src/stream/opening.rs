//! From a plan to a run that may start.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::describing::describe;
use super::store::Store;
use super::{Keep, Plan, Shared};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::run::{Event, Keeper, Run};
use crate::source::Source;

/// Everything up to a `Run` that may start: checkpoint, connection, description, decoder.
pub(super) async fn open(
    plan: Plan,
    shared: &Shared,
    saved: mpsc::UnboundedSender<Event>,
    store: &mut Option<Store>,
) -> Result<Arc<dyn Source>> {
    let mut options = plan.options;
    let checkpoint = match plan.keep {
        Keep::Store(open) => {
            let (opened, checkpoint) = Store::open(open, saved, shared.wake.clone()).await?;
            *store = Some(opened);
            options.keeper = Keeper::Store;
            checkpoint
        }
        Keep::Loader(checkpoint) => {
            options.keeper = Keeper::Loader;
            checkpoint.map(|checkpoint| *checkpoint)
        }
    };
    let source = plan.source;
    options.terms = source.terms();
    let description = describe(source.as_ref(), &options, plan.enable_stream, checkpoint.as_ref()).await?;
    let schema = checkpoint.as_ref().map(|checkpoint: &Checkpoint| checkpoint.schema.clone());
    let mut decoder = (plan.decoder)(&description, schema.as_deref())?;
    let columns = decoder.flush()?.schema();
    let mut front = shared.front();
    front.description = Some(Arc::new(description.clone()));
    front.schema = Some(columns);
    drop(front);
    *shared.run() = Some(Run::new(description, options, decoder, checkpoint)?);
    Ok(source)
}
