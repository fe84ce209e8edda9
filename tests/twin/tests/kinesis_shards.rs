//! Kinesis' shard tree: splits, merges, and listings honest or not.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::HOUR;
use common::kinesis::{id, ids, orders, shards, stream, texts};
use twin::kinesis::{CreateStream, KinesisOp, ListShards, Named, ShardFilter};
use twin::{Aws, AwsError, Op};

fn code<T: std::fmt::Debug>(result: Result<T, AwsError>) -> String {
    result.unwrap_err().code
}

fn all() -> ListShards {
    ListShards::of("orders")
}

fn filter(kind: &str, shard: Option<String>, at_ms: Option<i64>) -> ListShards {
    let filter =
        ShardFilter { r#type: kind.into(), shard_id: shard, timestamp: at_ms.map(|ms| ms as f64 / 1000.0) };
    ListShards { shard_filter: Some(filter), ..all() }
}

/// The open shards' ranges, in order; they must hold every key once.
fn open_ranges(aws: &mut Aws) -> Vec<(u128, u128)> {
    let open = shards(aws, all().filter("AT_LATEST"));
    let range = |shard: &twin::kinesis::ShardDescription| {
        let range = &shard.hash_key_range;
        (range.starting_hash_key.parse().unwrap(), range.ending_hash_key.parse().unwrap())
    };
    let mut ranges: Vec<(u128, u128)> = open.iter().map(range).collect();
    ranges.sort_unstable();
    assert_eq!((ranges[0].0, ranges[ranges.len() - 1].1), (0, u128::MAX));
    assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{ranges:?}");
    ranges
}

#[test]
fn a_split_and_a_merge_leave_a_tree() {
    let mut aws = stream(1);
    aws.kinesis().put("orders", "a", b"before").unwrap();
    let (lower, upper) = aws.kinesis().split_shard(&orders(), &id(0), Some(1 << 127)).unwrap();
    assert_eq!((&lower, &upper), (&id(1), &id(2)));
    aws.kinesis().put("orders", "a", b"lower").unwrap();
    aws.kinesis().put("orders", "e", b"upper").unwrap();
    let merged = aws.kinesis().merge_shards(&orders(), &upper, &lower).unwrap();
    aws.kinesis().put("orders", "e", b"after").unwrap();

    let tree = shards(&mut aws, all());
    let parents: Vec<_> = tree
        .iter()
        .map(|shard| (shard.parent_shard_id.clone(), shard.adjacent_parent_shard_id.clone()))
        .collect();
    let [zero, one, two] = [0, 1, 2].map(|index| Some(id(index)));
    assert_eq!(parents, [(None, None), (zero.clone(), None), (zero, None), (two, one)]);
    let ended = |shard: &twin::kinesis::ShardDescription| {
        shard.sequence_number_range.ending_sequence_number.is_some()
    };
    assert_eq!(tree.iter().map(ended).collect::<Vec<_>>(), [true, true, true, false]);
    let found = [id(0), lower, upper, merged].map(|shard| texts(&mut aws, &shard));
    assert_eq!(found, [["before"], ["lower"], ["upper"], ["after"]]);
    assert!(aws.kinesis_history().is_sorted_by(|a, b| a.sequence < b.sequence));
    assert_eq!(open_ranges(&mut aws).len(), 1);
}

#[test]
fn a_child_has_higher_numbers_than_its_parents() {
    let mut aws = stream(1);
    for _ in 0..6 {
        for (shard, _) in shards(&mut aws, all().filter("AT_LATEST")).iter().zip(0..3) {
            aws.kinesis().put("orders", "a", b"x").unwrap();
            aws.kinesis().split_shard(&orders(), &shard.shard_id, None).unwrap();
        }
    }
    let tree = shards(&mut aws, all());
    let bound = |id: &str, ending: bool| {
        let range = &tree.iter().find(|shard| shard.shard_id == id).unwrap().sequence_number_range;
        if ending {
            range.ending_sequence_number.clone().unwrap()
        } else {
            range.starting_sequence_number.clone()
        }
    };
    for child in tree.iter().filter(|shard| shard.parent_shard_id.is_some()) {
        let parent = bound(child.parent_shard_id.as_ref().unwrap(), true);
        let own = bound(&child.shard_id, false);
        assert!((parent.len(), &parent) < (own.len(), &own), "{parent} {own}");
    }
}

#[test]
fn only_what_can_be_split_or_merged_is() {
    let mut aws = stream(3);
    let mut kinesis = aws.kinesis();
    assert_eq!(code(kinesis.merge_shards(&orders(), &id(0), &id(2))), "InvalidArgumentException");
    assert_eq!(code(kinesis.split_shard(&orders(), &id(9), None)), "ResourceNotFoundException");
    assert_eq!(code(kinesis.split_shard(&orders(), &id(0), Some(u128::MAX))), "InvalidArgumentException");
    kinesis.split_shard(&orders(), &id(0), None).unwrap();
    assert_eq!(code(kinesis.split_shard(&orders(), &id(0), None)), "InvalidArgumentException");
    assert_eq!(code(kinesis.update_shard_count(&orders(), 9)), "InvalidArgumentException");
    assert_eq!(code(kinesis.update_shard_count(&orders(), 1)), "InvalidArgumentException");
}

#[test]
fn a_stream_scales_to_even_shards() {
    let mut aws = stream(2);
    for target in [3, 4, 2, 3, 5, 7, 4] {
        aws.kinesis().update_shard_count(&orders(), target).unwrap();
        let ranges = open_ranges(&mut aws);
        assert_eq!(ranges.len(), target as usize);
        let width = u128::MAX / u128::from(target);
        assert!(ranges.iter().all(|(low, high)| (high - low).abs_diff(width) < 16), "{ranges:?}");
    }
    aws.kinesis().create_stream(&CreateStream::on_demand("busy")).unwrap();
    aws.kinesis().scale(&Named::of("busy"), 16).unwrap();
    assert_eq!(ids(&mut aws, ListShards::of("busy").filter("AT_LATEST")).len(), 16);
}

#[test]
fn a_listing_is_paged_and_its_tokens_expire() {
    let mut aws = stream(7);
    assert_eq!(ids(&mut aws, all().limit(3)).len(), 7);
    assert_eq!(aws.count(Op::Kinesis(KinesisOp::ListShards)).shards["orders"], 3);
    let token = aws.kinesis().list_shards(&all().limit(3)).unwrap().next_token.unwrap();
    let both = ListShards { next_token: Some(token.clone()), ..all() };
    assert_eq!(code(aws.kinesis().list_shards(&both)), "InvalidArgumentException");
    aws.advance(300_000);
    assert!(aws.kinesis().list_shards(&ListShards::next(&token)).is_ok());
    aws.advance(1);
    assert_eq!(code(aws.kinesis().list_shards(&ListShards::next(&token))), "ExpiredNextTokenException");
    assert_eq!(code(aws.kinesis().list_shards(&ListShards::next("x"))), "InvalidArgumentException");
    let page = aws.kinesis().describe_stream(&orders(), Some(&id(4)), Some(1)).unwrap();
    assert_eq!((&*page.shards[0].shard_id, page.has_more_shards), (&*id(5), true));
}

#[test]
fn filters_select_by_place_and_time() {
    let mut aws = stream(2);
    let created = aws.now_ms();
    aws.advance(HOUR);
    aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
    let split = aws.now_ms();
    aws.advance(HOUR);
    let mut list =
        |kind: &str, shard: Option<u32>, at: Option<i64>| ids(&mut aws, filter(kind, shard.map(id), at));
    assert_eq!(list("AFTER_SHARD_ID", Some(1), None), [id(2), id(3)]);
    assert_eq!(list("AT_LATEST", None, None), [id(1), id(2), id(3)]);
    assert_eq!(list("AT_TRIM_HORIZON", None, None), [id(0), id(1)]);
    assert_eq!(list("FROM_TRIM_HORIZON", None, None).len(), 4);
    assert_eq!(list("AT_TIMESTAMP", None, Some(created)), [id(0), id(1)]);
    assert_eq!(list("AT_TIMESTAMP", None, Some(split)).len(), 4, "both ends belong to it");
    assert_eq!(list("AT_TIMESTAMP", None, Some(split + 1)), [id(1), id(2), id(3)]);
    assert_eq!(list("FROM_TIMESTAMP", None, Some(0)).len(), 4);
    assert_eq!(list("FROM_TIMESTAMP", None, Some(split + 1)), [id(1), id(2), id(3)]);
    for bad in ["AFTER_SHARD_ID", "AT_TIMESTAMP", "FROM_TIMESTAMP"] {
        let refused = aws.kinesis().list_shards(&filter(bad, None, None));
        assert_eq!(code(refused), "InvalidArgumentException", "{bad}");
    }
    assert_eq!(code(aws.kinesis().list_shards(&filter("CHILDREN", None, None))), "ValidationException");
}

#[test]
fn a_closed_shard_expires_with_its_last_record() {
    let mut aws = stream(1);
    aws.advance(HOUR);
    aws.kinesis().put("orders", "a", b"x").unwrap();
    aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
    aws.advance(24 * HOUR - 1);
    assert_eq!(ids(&mut aws, all()), [id(0), id(1), id(2)]);
    aws.advance(1);
    let left = shards(&mut aws, all());
    assert_eq!(left.iter().map(|shard| shard.shard_id.clone()).collect::<Vec<_>>(), [id(1), id(2)]);
    assert_eq!(left[0].parent_shard_id, Some(id(0)), "children still name a parent that is gone");
    let request =
        twin::kinesis::GetShardIterator::at("orders", &id(0), twin::kinesis::IteratorType::TrimHorizon);
    assert_eq!(code(aws.kinesis().get_shard_iterator(&request)), "ResourceNotFoundException");
    assert_eq!(ids(&mut aws, all().filter("AT_TRIM_HORIZON")), [id(1), id(2)]);
}

#[test]
fn listings_may_be_permuted_late_or_partial() {
    let mut aws = stream(16);
    aws.knobs_mut().permute = Some(5);
    let permuted = ids(&mut aws, all().limit(3));
    assert!(!permuted.is_sorted());
    assert_eq!(permuted.iter().collect::<BTreeSet<_>>().len(), 16);

    let mut aws = stream(1);
    aws.advance(HOUR);
    let (lower, upper) = aws.kinesis().split_shard(&orders(), &id(0), None).unwrap();
    aws.knobs_mut().stale_ms = 60_000;
    let before = shards(&mut aws, all());
    assert_eq!((before.len(), &before[0].sequence_number_range.ending_sequence_number), (1, &None));
    aws.knobs_mut().stale_ms = 0;
    aws.knobs_mut().hide_parent_ms = 1000;
    assert_eq!(ids(&mut aws, all()), [lower.clone(), upper.clone()]);
    (aws.knobs_mut().hide_parent_ms, aws.knobs_mut().hide_child_ms) = (0, 1000);
    assert_eq!(ids(&mut aws, all()), [id(0)]);
    (aws.knobs_mut().hide_child_ms, aws.knobs_mut().omit) = (0, vec![lower]);
    assert_eq!(ids(&mut aws, all()), [id(0), upper]);
    aws.knobs_mut().omit_share = 1.0;
    aws.knobs_mut().kinesis.listing_page = 1;
    let page = aws.kinesis().list_shards(&all()).unwrap();
    assert!(page.shards.is_empty() && page.next_token.is_some(), "an empty page may go on");
}

/// A small seeded generator: the same tree for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }
}

/// Splits, merges or scales whatever the dice say, if the service lets it.
fn reshard(aws: &mut Aws, dice: &mut Dice) {
    let mut open = shards(aws, all().filter("AT_LATEST"));
    open.sort_by_key(|shard| shard.hash_key_range.starting_hash_key.parse::<u128>().unwrap());
    let at = dice.roll(open.len());
    let one = &open[at].shard_id;
    match (dice.roll(5), open.get(at + 1)) {
        (0, _) => drop(aws.kinesis().scale(&orders(), 1 + dice.roll(5) as u32)),
        (1 | 2, Some(other)) => drop(aws.kinesis().merge_shards(&orders(), one, &other.shard_id).unwrap()),
        _ => drop(aws.kinesis().split_shard(&orders(), one, None).unwrap()),
    }
}

#[test]
fn whatever_splits_and_merges_holds_every_key_and_every_record() {
    for seed in 0..20 {
        let (mut aws, mut dice) = (stream(2), Dice(seed));
        for n in 0..120 {
            let (shard, _) = aws.kinesis().put("orders", &format!("k{}", dice.roll(30)), b"x").unwrap();
            assert!(ids(&mut aws, all().filter("AT_LATEST")).contains(&shard), "seed {seed}");
            if n % 4 == 0 {
                reshard(&mut aws, &mut dice);
                open_ranges(&mut aws);
                aws.advance(dice.roll(3_000) as u64);
            }
        }
        let tree = shards(&mut aws, all());
        let read: usize = tree.iter().map(|shard| texts(&mut aws, &shard.shard_id).len()).sum();
        assert_eq!(read, 120, "seed {seed}");
        follow_children(&mut aws, &tree);
    }
}

/// The children that a shard's end names are those that the listing knows, with the same parents.
fn follow_children(aws: &mut Aws, tree: &[twin::kinesis::ShardDescription]) {
    for shard in tree {
        let at = common::kinesis::horizon(aws, &shard.shard_id);
        let end = common::kinesis::pages(aws, at, 10_000).pop().unwrap();
        assert_eq!(end.next.is_none(), shard.sequence_number_range.ending_sequence_number.is_some());
        let of = |child: &&twin::kinesis::ShardDescription| {
            [&child.parent_shard_id, &child.adjacent_parent_shard_id].contains(&&Some(shard.shard_id.clone()))
        };
        let listed: BTreeSet<_> = tree.iter().filter(of).map(|child| child.shard_id.clone()).collect();
        let named: BTreeSet<_> = end.child_shards.iter().map(|child| child.shard_id.clone()).collect();
        assert_eq!(named, listed, "{}", shard.shard_id);
        assert!(end.child_shards.iter().all(|child| child.parent_shards.contains(&shard.shard_id)));
    }
}
