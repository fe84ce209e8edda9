//! The next page is asked for while one is decoded, and counts only when that one could be used.

use super::*;

/// Decodes a page only when the one behind it has been asked for, and calls the first one broken `bad` times.
struct Slow {
    numbers: Numbers,
    script: Arc<Script>,
    pages: usize,
    bad: usize,
}

impl Slow {
    fn wait_until_the_next_is_asked_for(&mut self) {
        self.pages += 1;
        let until = Instant::now() + PATIENCE;
        while self.script.fetches.load(Ordering::SeqCst) <= self.pages {
            assert!(Instant::now() < until, "the next page is not asked for");
            std::thread::yield_now();
        }
    }
}

impl Decoder for Slow {
    fn push(&mut self, page: &Page, from: usize, room: Room, skip: &Skip) -> Result<Pushed> {
        if page.body.len() > 1 {
            self.wait_until_the_next_is_asked_for();
        }
        if self.bad > 0 {
            self.bad -= 1;
            return Err(Error::new(ErrorKind::BadPage, "the test asked for it"));
        }
        self.numbers.push(page, from, room, skip)
    }

    fn push_items(&mut self, page: &ItemsPage, from: usize, room: Room) -> Result<Pushed> {
        self.numbers.push_items(page, from, room)
    }

    fn rows(&self) -> usize {
        self.numbers.rows()
    }

    fn bytes(&self) -> usize {
        self.numbers.bytes()
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        self.numbers.flush()
    }

    fn schema_state(&self) -> Arc<SchemaState> {
        self.numbers.schema_state()
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.numbers.take_notices()
    }
}

/// Reads `steps` to the number 3, with a decoder that calls the first `bad` pages broken.
fn read(steps: Vec<Step>, bad: usize) -> Vec<i64> {
    let script = Arc::new(Script::of(steps));
    let decoder = Slow { numbers: Numbers::default(), script: script.clone(), pages: 0, bad };
    let consumer = Consumer::decoding(script, Box::new(decoder), Shown::default().keep());
    let mut found = vec![];
    while !found.contains(&3) {
        found.extend(consumer.batch().1);
    }
    found
}

#[test]
fn the_next_page_is_asked_for_before_one_is_decoded() {
    assert_eq!(read(vec![Step::Records(vec![1, 2]), Step::Records(vec![3])], 0), [1, 2, 3]);
}

#[test]
fn what_came_ahead_of_a_page_that_could_not_be_used_counts_for_nothing() {
    let first = || Step::Records(vec![1, 2]);
    let steps = vec![first(), Step::Records(vec![3]), first(), Step::Records(vec![3])];
    assert_eq!(read(steps, 1), [1, 2, 3]);
}
