//! Faults of a seed, drawn one after the other and counted by kind.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use shardarrow::run::Event;
use twin::kinesis::{KinesisKnobs, KinesisOp};
use twin::{EndIterator, EndPage, Fault, Injection, Op};

use crate::service::Service;
use crate::world::{Unsaved, World};

const OUTAGE: &str = "outage for longer than stall_timeout";

/// How often each kind of fault struck.
#[derive(Default)]
pub struct Trouble {
    pub struck: BTreeMap<&'static str, u64>,
    waiting: Option<(&'static str, u64)>,
    /// Whether the page that was to come damaged has come.
    damaged: Rc<Cell<bool>>,
    save: Option<Unsaved>,
}

impl Trouble {
    pub fn count(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.struck.entry(kind).or_default() += times;
        }
    }

    /// Takes back what has not struck, and counts what has.
    pub fn end(&mut self, world: &mut World) {
        let left: u64 = world.aws.pending_faults().iter().map(|fault| fault.times).sum();
        world.aws.clear_faults();
        world.tamper = None;
        match (self.save.take(), world.next_save_fails.take()) {
            (Some(Unsaved::NotWritten), None) => self.count("save not written", 1),
            (Some(Unsaved::NotConfirmed), None) => self.count("save not confirmed", 1),
            _ => {}
        }
        if self.damaged.take() {
            self.count("page damaged in its middle", 1);
        }
        if let Some((kind, times)) = self.waiting.take() {
            let struck = times.saturating_sub(left);
            // However many calls it refuses, it is one.
            self.count(kind, if kind == OUTAGE { struck.min(1) } else { struck });
        }
    }

    /// One fault of the service or of the way to it. One after the other: a page that stays damaged is
    /// an error by design.
    pub fn inject_any(&mut self, world: &mut World) {
        let call = Call::draw(world);
        if call == Call::List && world.dice.chance(30) {
            return self.cut_listings_short(world);
        }
        if call == Call::Fetch && world.dice.chance(10) {
            return self.damage_a_page(world);
        }
        self.inject(call, world);
    }

    fn inject(&mut self, call: Call, world: &mut World) {
        self.end(world);
        let (kind, fault) = draw(call, world);
        // Who is denied for long has no permission.
        let times = if kind == "access denied" { 1 } else { 1 + world.dice.roll(3) };
        self.waiting = Some((kind, times));
        world.aws.inject(Injection { times, ..Injection::once(call.op(world.service), fault) });
    }

    /// Each listing begins, and its second page fails.
    fn cut_listings_short(&mut self, world: &mut World) {
        self.end(world);
        let (times, op) = (1 + world.dice.roll(100), Call::List.op(world.service));
        self.waiting = Some(("listing cut short", times));
        for _ in 0..times {
            world.aws.inject(Injection { skip: 1, ..Injection::once(op, error("InternalServerError", 500)) });
        }
    }

    /// The next page with records is good up to its middle.
    fn damage_a_page(&mut self, world: &mut World) {
        self.end(world);
        let struck = self.damaged.clone();
        world.tamper = Some(Box::new(move |event| {
            if let Event::Fetched { result: Ok(page), .. } = event
                && page.records.len() > 1
                && !struck.replace(true)
            {
                let mut body = page.body.to_vec();
                let middle = page.records.start + page.records.len() / 2;
                body[middle..page.records.end].fill(b' ');
                // Between two records the rest would be a page with fewer of them.
                body[middle] = b'{';
                page.body = body.into();
            }
        }));
    }

    /// A page of the scan fails.
    pub fn inject_into_the_scan(&mut self, world: &mut World) {
        self.inject(Call::Scan, world);
    }

    /// The store of checkpoints fails once. The write may be durable all the same.
    pub fn fail_next_save(&mut self, world: &mut World) {
        let written = world.dice.chance(50);
        world.next_save_fails = Some(if written { Unsaved::NotConfirmed } else { Unsaved::NotWritten });
        self.save = world.next_save_fails;
    }

    /// From now on listings leave out a shard that is read to its end.
    pub fn hide_a_finished_shard(&mut self, world: &mut World) {
        let Some(checkpoint) = &world.durable.checkpoint else { return };
        let finished = checkpoint.shards.iter().filter(|(_, state)| state.finished.is_some());
        let finished: Vec<_> = finished.map(|(id, _)| id.to_string()).collect();
        if !finished.is_empty() {
            let at = world.dice.roll(finished.len() as u64) as usize;
            world.aws.knobs_mut().omit = vec![finished[at].clone()];
            self.count("finished shard not listed", 1);
        }
    }

    /// From now on every page is refused.
    pub fn inject_outage(&mut self, world: &mut World) {
        self.end(world);
        let times = u64::MAX / 2;
        self.waiting = Some((OUTAGE, times));
        let fault = error("InternalServerError", 500);
        world.aws.inject(Injection { times, ..Injection::once(Call::Fetch.op(world.service), fault) });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Fetch,
    Open,
    List,
    Scan,
}

impl Call {
    fn draw(world: &mut World) -> Self {
        let calls = [Self::Fetch, Self::Fetch, Self::Open, Self::List, Self::Scan];
        let known = if world.service == Service::Table { calls.len() } else { calls.len() - 1 };
        calls[world.dice.roll(known as u64) as usize]
    }

    fn op(self, service: Service) -> Op {
        match (self, service) {
            (Self::Scan, _) => Op::Scan,
            (Self::Fetch, Service::Table) => Op::GetRecords,
            (Self::Open, Service::Table) => Op::GetShardIterator,
            (Self::List, Service::Table) => Op::DescribeStream,
            (Self::Fetch, Service::Pushed) => Op::Kinesis(KinesisOp::SubscribeToShardEvent),
            (Self::Open, Service::Pushed) => Op::Kinesis(KinesisOp::SubscribeToShard),
            (Self::Fetch, _) => Op::Kinesis(KinesisOp::GetRecords),
            (Self::Open, _) => Op::Kinesis(KinesisOp::GetShardIterator),
            (Self::List, _) => Op::Kinesis(KinesisOp::ListShards),
        }
    }
}

fn error(code: &str, status: u16) -> Fault {
    Fault::Error { code: code.into(), status, message: "scripted".into() }
}

fn draw(call: Call, world: &mut World) -> (&'static str, Fault) {
    let of_shard = matches!(call, Call::Fetch | Call::Open);
    match world.dice.roll(10) {
        0 => ("internal error", error("InternalServerError", 500)),
        1 => ("throttled", error("ThrottlingException", 400)),
        2 => ("limit exceeded", error("LimitExceededException", 400)),
        3 => ("throughput exceeded", error("ProvisionedThroughputExceededException", 400)),
        4 if call == Call::Fetch => ("cursor expired", error("ExpiredIteratorException", 400)),
        5 if of_shard => ("shard not found", error("ResourceNotFoundException", 400)),
        6 if matches!(call, Call::Fetch | Call::Scan) => ("cut JSON", Fault::InvalidJson),
        7 if matches!(call, Call::Fetch | Call::Scan) => ("wrong checksum", Fault::WrongCrc),
        8 => ("connection reset", Fault::Reset),
        9 if of_shard => ("access denied", error("AccessDeniedException", 400)),
        _ => ("lost reply", Fault::LostReply),
    }
}

/// What the service does all the time: pages, listings and ends as awkward as they may be.
pub fn make_awkward(world: &mut World) {
    let mut roll = |below: u64| world.dice.roll(below);
    // A live parent is hidden no longer than the three listings of a first look, 200 ms apart, take: whoever
    // looks for the first time cannot tell one that is hidden for longer from one that is trimmed.
    let (permute, stale, hide) = (roll(1 << 32), roll(3) * roll(4_000), roll(2) * 400);
    let page = 1 + roll(4) as usize * roll(12) as usize;
    let (listing, empty, end) = (1 + roll(5) as usize * 2, [0, 1, 2, 3, 3, 9][roll(6) as usize], roll(3));
    let refuses = roll(2) == 0;
    let kinesis = KinesisKnobs {
        listing_page: listing,
        page_records: page,
        empty_pages: empty,
        hide_children_ms: hide as i64,
        arrival_jitter_ms: roll(2) * 200,
        ..KinesisKnobs::default()
    };
    let rates = roll(2) == 0;
    let end_iterator = if roll(2) == 0 { EndIterator::Absent } else { EndIterator::Null };
    let (scan_items, scan_empty, scan_stale) = (1 + roll(4), roll(3), roll(3_000));
    let (late_child, late_end) = (roll(3) * 600, roll(2) * 300);
    let knobs = world.aws.knobs_mut();
    knobs.kinesis = if rates { kinesis.with_documented_rates() } else { kinesis };
    (knobs.permute, knobs.stale_ms, knobs.hide_parent_ms) = (Some(permute), stale as i64, hide as i64);
    (knobs.listing_page, knobs.page_records, knobs.empty_pages) = (listing, page, empty);
    knobs.end_page = [EndPage::WithRecords, EndPage::Separate, EndPage::Mixed][end as usize];
    (knobs.end_iterator, knobs.refuse_after_trimmed) = (end_iterator, refuses);
    (knobs.ending_late_ms, knobs.hide_child_ms) = (late_end as i64, late_child as i64);
    knobs.scan_page_items = Some(scan_items as usize);
    (knobs.scan_empty_pages, knobs.scan_stale_ms) = (scan_empty as u32, scan_stale as i64);
}
