//! Asking for a page while the one before it is decoded.
//!
//! A page names the next one before any of its records is read, so the request can be on its way
//! meanwhile. It counts only when all of the page could be used: see `fetched`.

use super::*;
use crate::reader::Ahead;

impl Run {
    /// The request for the page behind the one that came. The driver sends it before `step` decodes
    /// what came; who calls `step` alone gets it among the actions.
    pub fn ask_ahead(&mut self, event: &Event, now: Now) -> Option<Action> {
        let Event::Fetched { shard, cursor, result: Ok(page) } = event else { return None };
        let next = page.next.clone().filter(|_| !page.records.is_empty())?;
        let at_once = self.readers.get(shard).is_some_and(|reader| reader.may_ask_ahead(cursor, page));
        // Readers that wait for memory come first: nobody gets two pages before they have one.
        let others = self.agenda.first().is_some_and(|(due, _)| *due <= now);
        if !at_once || others || !self.may_read_shards() || self.is_overtaken(shard, now) {
            return None;
        }
        if !self.memory.reserve(self.options.terms.page_bytes) {
            return None;
        }
        let closed = self.is_listed_closed(shard);
        let reader = self.readers.get_mut(shard)?;
        reader.ahead = Some(Ahead { cursor: next.clone(), asked_closed: closed });
        self.shards_asked += 1;
        Some(Action::Fetch { shard: shard.clone(), cursor: next })
    }
}
