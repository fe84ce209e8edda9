//! A start at places that the user names: which shards they are in, and where the others start.

use super::start::{EARLIEST_SLACK, at_beginning};
use super::*;

impl Run {
    pub(super) fn start_at(
        &mut self,
        positions: Vec<(Option<ShardId>, Position)>,
        others: Others,
        listing: &Listing,
    ) -> Result<()> {
        let mut placed = BTreeSet::new();
        for (shard, position) in positions {
            let id = self.named_shard(shard, &position)?;
            for ancestor in self.graph.ancestors(&id) {
                let mut state = at_beginning(self.graph.parents(&ancestor), None);
                state.finished = Some(listing.server_time.unwrap_or(0));
                self.graph.finish(&ancestor);
                self.remember(&ancestor, state);
                placed.insert(ancestor);
            }
            for descendant in self.graph.descendants(&id) {
                placed.insert(descendant);
            }
            let mut state = at_beginning(self.graph.parents(&id), None);
            state.position = position;
            self.remember(&id, state);
            placed.insert(id);
        }
        let descendants: Vec<_> =
            placed.iter().filter(|id| !self.starts.contains_key(*id)).cloned().collect();
        for id in descendants {
            let state = at_beginning(self.graph.parents(&id), None);
            self.remember(&id, state);
        }
        let rest = self.graph.ids().filter(|id| !placed.contains(*id)).cloned().collect::<Vec<_>>();
        match others {
            Others::Latest => self.start_at_latest(rest, listing),
            Others::Earliest => {
                let verified =
                    listing.server_time.map(|time| time - self.description.retention + EARLIEST_SLACK);
                for id in rest {
                    let state = at_beginning(self.graph.parents(&id), verified);
                    self.remember(&id, state);
                }
            }
        }
        Ok(())
    }

    fn named_shard(&self, shard: Option<ShardId>, position: &Position) -> Result<ShardId> {
        if let Some(id) = shard {
            if self.graph.contains(&id) {
                return Ok(id);
            }
            let known: Vec<_> = self.graph.ids().map(ShardId::as_str).collect();
            return Err(Error::usage(format!(
                "start names shard {id}, which the stream does not list; its shards are {}",
                abridged(&known)
            )));
        }
        let candidates: Vec<_> = match position.sequence() {
            Some(number) => self.graph.holding(number).map(ShardId::as_str).collect(),
            None => self.graph.ids().map(ShardId::as_str).collect(),
        };
        match candidates.as_slice() {
            [one] => Ok((*one).into()),
            [] => Err(Error::usage(format!("no listed shard can hold the start {position}"))),
            several => Err(Error::usage(format!(
                "the start {position} can be in any of {}; name one with shard=",
                abridged(several)
            ))),
        }
    }
}

/// A list that stays readable: the first few names and how many more there are.
fn abridged(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
