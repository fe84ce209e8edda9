//! A checkpoint only moves forward.

use crate::checkpoint::{Checkpoint, ShardState};
use crate::error::{Error, Result};
use crate::position::ShardId;

/// Refuses to replace `saved` by a checkpoint that knows less.
///
/// A new stream or a new epoch begins again, so positions are compared only within one of each.
/// A shard that `next` no longer names has aged out.
///
/// # Errors
/// `Internal`, naming the shard: the frontier never asks for this, whatever the service says.
pub(super) fn refuse_backwards(saved: &Checkpoint, next: &Checkpoint) -> Result<()> {
    if next.epoch < saved.epoch {
        let (next, saved) = (next.epoch, saved.epoch);
        return Err(Error::internal(format!("the checkpoint would go back from epoch {saved} to {next}")));
    }
    if next.epoch > saved.epoch || next.stream_arn != saved.stream_arn {
        return Ok(());
    }
    for (shard, before) in &saved.shards {
        if let Some(after) = next.shards.get(shard) {
            refuse_shard(shard, before, after)?;
        }
    }
    Ok(())
}

fn refuse_shard(shard: &ShardId, before: &ShardState, after: &ShardState) -> Result<()> {
    if after.position < before.position {
        let (was, now) = (&before.position, &after.position);
        let message = format!("the checkpoint of shard {shard} would go back from {was} to {now}");
        return Err(Error::internal(message).with_shard(shard).with_position(after.position.clone()));
    }
    if before.finished.is_some() && after.finished.is_none() {
        let message = format!("the checkpoint would open shard {shard} again, which it says is finished");
        return Err(Error::internal(message).with_shard(shard));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::position::{Position, SequenceNumber};

    fn checkpoint(position: Position, finished: Option<i64>) -> Checkpoint {
        let shard = ShardState {
            parents: Vec::new(),
            position,
            created_before: None,
            verified: None,
            parents_gone: false,
            finished,
        };
        Checkpoint {
            format: crate::checkpoint::FORMAT,
            table: "orders".into(),
            table_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/orders".into(),
            stream_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/1".into(),
            epoch: 3,
            epoch_begun: 0,
            start: "earliest".into(),
            shards: [(ShardId::from("shard-a"), shard)].into(),
            schema: Default::default(),
            snapshot: None,
        }
    }

    fn after(number: &str) -> Position {
        Position::After(SequenceNumber::parse(number).unwrap())
    }

    #[test]
    fn positions_go_forward_as_numbers_not_as_text() {
        let (nine, ten) = (checkpoint(after("9"), None), checkpoint(after("10"), None));
        assert!(refuse_backwards(&nine, &ten).is_ok());
        assert!(refuse_backwards(&nine, &nine).is_ok());
        let error = refuse_backwards(&ten, &nine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("shard-a"), "{error}");
    }

    #[test]
    fn a_finished_shard_stays_finished_or_leaves() {
        let (open, closed) = (checkpoint(after("9"), None), checkpoint(after("9"), Some(1)));
        assert!(refuse_backwards(&open, &closed).is_ok());
        assert!(refuse_backwards(&closed, &open).is_err());
        let mut gone = open;
        gone.shards.clear();
        assert!(refuse_backwards(&closed, &gone).is_ok());
    }

    #[test]
    fn a_new_stream_or_epoch_begins_again() {
        let saved = checkpoint(after("10"), Some(1));
        let mut next = checkpoint(Position::Beginning, None);
        assert!(refuse_backwards(&saved, &next).is_err());
        next.epoch = 4;
        assert!(refuse_backwards(&saved, &next).is_ok());
        next.epoch = 2;
        assert!(refuse_backwards(&saved, &next).is_err());
        next.epoch = 3;
        next.stream_arn.push('2');
        assert!(refuse_backwards(&saved, &next).is_ok());
    }
}
