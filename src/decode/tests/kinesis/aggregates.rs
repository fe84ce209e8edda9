//! Aggregates: what went in comes out, whole or not at all, and damage of both kinds is noticed.

use super::*;
use arrow_array::types::GenericBinaryType;
use proptest::prelude::*;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    /// Partition key, explicit hash key, data.
    records: Vec<(String, Option<String>, String)>,
    data: String,
}

fn decoded(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).unwrap()
}

fn datas(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let data = batch.column_by_name("data").unwrap().as_bytes::<GenericBinaryType<i32>>();
    data.iter().map(|data| data.unwrap().to_vec()).collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let texts = batch.column_by_name(name).unwrap().as_string::<i32>();
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// `tests/aggregates.py` made them.
#[test]
fn what_another_implementation_put_in_comes_out() {
    let path = format!("{}/tests/data/kinesis/aggregates.json", env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let mut decoder = kinesis(BYTES);
        let pushed = push(&mut *decoder, &deliveries(&[b"before", &decoded(&case.data)]));
        assert_eq!((pushed.rows, pushed.last), (case.records.len() + 1, Some(number("2"))), "{}", case.name);
        assert_eq!(decoder.counts(), Counts { aggregates: 1, ..Counts::default() });
        let batch = decoder.flush().unwrap();
        check(&batch);
        let batch = batch.slice(1, case.records.len());
        assert_eq!(datas(&batch), case.records.iter().map(|record| decoded(&record.2)).collect::<Vec<_>>());
        let keys = case.records.iter().map(|record| Some(record.0.clone()));
        assert_eq!(texts(&batch, "_partition_key"), keys.collect::<Vec<_>>(), "{}", case.name);
        let explicit = case.records.iter().map(|record| record.1.clone());
        assert_eq!(texts(&batch, "_explicit_hash_key"), explicit.collect::<Vec<_>>(), "{}", case.name);
        let sequences = (0..case.records.len()).map(|part| format!("2:{part}"));
        assert_eq!(column(&batch, "_sequence"), sequences.collect::<Vec<_>>());
    }
}

#[test]
fn an_aggregate_of_nothing_is_used() {
    let mut decoder = kinesis(BYTES);
    let pushed = push(&mut *decoder, &deliveries(&[&aggregate(&[])]));
    assert_eq!((pushed.rows, pushed.rest, pushed.last), (0, None, Some(number("1"))));
    assert_eq!(pushed.newest, Some(1500));
    let pushed = push(&mut *decoder, &deliveries(&[&sealed(b""), b"x"]));
    assert_eq!((pushed.rows, pushed.last), (1, Some(number("2"))));
}

#[test]
fn a_wrong_checksum_makes_a_plain_record_that_is_counted() {
    let whole = aggregate(&[b"one", b"two"]);
    for place in 4..whole.len() {
        let mut data = whole.clone();
        data[place] ^= 1;
        let mut decoder = kinesis(BYTES);
        let pushed = push(&mut *decoder, &deliveries(&[&data]));
        assert_eq!((pushed.rows, pushed.last), (1, Some(number("1"))), "{place}");
        assert_eq!(decoder.counts(), Counts { broken_aggregates: 1, ..Counts::default() }, "{place}");
        let batch = decoder.flush().unwrap();
        assert_eq!((datas(&batch), column(&batch, "_sequence")), (vec![data], vec!["1".to_owned()]));
    }
    for end in 0..whole.len() {
        let mut decoder = kinesis(BYTES);
        push(&mut *decoder, &deliveries(&[&whole[..end]]));
        assert_eq!(decoder.counts().broken_aggregates, u64::from(end >= 4), "{end}");
        assert_eq!(datas(&decoder.flush().unwrap()), [&whole[..end]]);
    }
}

#[test]
fn a_message_that_cannot_be_read_is_a_bad_record_of_which_nothing_is_taken() {
    let good = part(0, None, b"x");
    let key = field(1, Err(b"a"));
    let long = "k".repeat(257);
    let cases: Vec<(Vec<u8>, &str)> = vec![
        ([&key[..], &good, &[0x1a]].concat(), "middle of a field"),
        ([&key[..], &good, &[0x1a, 5, 8, 0]].concat(), "middle of a field"),
        ([&key[..], &good, &[0x80]].concat(), "middle of a field"),
        ([&key[..], &good, &[0xff; 11]].concat(), "64 bits"),
        ([&key[..], &good, &[0x1a], &[0xff; 9], &[1]].concat(), "middle of a field"),
        ([&key[..], &good, &[0x0b, 0x0c]].concat(), "protobuf"),
        ([&key[..], &good, &[0x00, 0x00]].concat(), "number 0"),
        ([&key[..], &good, &[0x21, 1, 2, 3]].concat(), "middle of a field"),
        ([&key[..], &good, &field(1, Ok(7))].concat(), "another type"),
        ([&key[..], &good, &field(3, Ok(7))].concat(), "another type"),
        ([&key[..], &good, &part(1, None, b"x")].concat(), "not there"),
        ([&key[..], &good, &part(u64::MAX, None, b"x")].concat(), "not there"),
        ([&key[..], &good, &part(0, Some(0), b"x")].concat(), "not there"),
        ([&key[..], &good, &field(3, Err(&field(1, Ok(0))))].concat(), "no data"),
        ([&key[..], &good, &field(3, Err(&field(3, Err(b"x"))))].concat(), "no partition key"),
        ([&key[..], &good, &field(3, Err(&field(3, Ok(1))))].concat(), "another type"),
        ([&key[..], &good, &field(3, Err(b"\x08"))].concat(), "middle of a field"),
        ([&key[..], &good, &field(1, Err(b"\xff"))].concat(), "not UTF-8"),
        ([&key[..], &good, &field(1, Err(long.as_bytes()))].concat(), "256 characters"),
        ([&key[..], &good, &field(2, Err(long.as_bytes()))].concat(), "256 characters"),
        (good.clone(), "not there"),
    ];
    for (message, reason) in cases {
        let page = deliveries(&[b"first", &sealed(&message), b"last"]);
        let mut decoder = kinesis(BYTES);
        let pushed = push(&mut *decoder, &page);
        assert_eq!((pushed.rows, pushed.last), (1, Some(number("1"))), "{reason}");
        let error = decoder.push(&page, pushed.rest.unwrap(), ALL, &Skip::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRecord);
        assert_eq!(error.position(), Some(&Position::At(number("2"))));
        assert!(error.message().contains(reason), "{reason}: {error}");

        let mut keeper = kinesis(&keeping(BYTES));
        let pushed = push(&mut *keeper, &page);
        assert_eq!((pushed.rows, pushed.last), (2, Some(number("3"))), "{reason}");
        let kept = &pushed.quarantined[0];
        assert_eq!(kept.sequence, Some(number("2")));
        assert_eq!(kept.raw, delivery(2, &sealed(&message)).as_bytes());
        assert_eq!(keeper.counts(), Counts::default());
        assert_eq!(column(&keeper.flush().unwrap(), "_sequence"), ["1", "3"]);
    }
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_passed_over() {
    let tags = field(4, Err(&[field(1, Err(b"name")), field(2, Err(b"value"))].concat()));
    let odd =
        [field(3, Err(b"thrown away")), tags, field(9, Ok(1 << 60)), field(3, Err(b"kept")), field(1, Ok(1))];
    let unknown = [field(7, Err(b"?")), vec![0x41, 1, 2, 3, 4, 5, 6, 7, 8], vec![0x4d, 1, 2, 3, 4]].concat();
    let message = [
        field(3, Err(&odd.concat())),
        unknown,
        part(0, Some(1), b"second"),
        field(2, Err(b"not a number")),
        field(1, Err(b"a")),
        field(1, Err(b"b")),
        field(2, Err(b"7")),
    ];
    let mut decoder = kinesis(BYTES);
    push(&mut *decoder, &deliveries(&[&sealed(&message.concat())]));
    let batch = decoder.flush().unwrap();
    assert_eq!(datas(&batch), [b"kept".to_vec(), b"second".to_vec()]);
    assert_eq!(column(&batch, "_partition_key"), ["b", "a"]);
    assert_eq!(column(&batch, "_explicit_hash_key"), ["-", "7"]);
}

#[test]
fn a_part_of_another_shard_is_a_row_and_is_counted() {
    // The MD5 of "a" begins with 0x0c, that of "b" with 0x92.
    let keys = [field(1, Err(b"a")), field(1, Err(b"b")), field(2, Err(b"5")), field(2, Err(b"?"))].concat();
    let parts = [
        part(0, None, b"inside"),
        part(1, None, b"outside"),
        part(1, Some(0), b"inside by its explicit hash key"),
        part(1, Some(1), b"nobody knows"),
    ];
    let data = sealed(&[keys, parts.concat()].concat());
    let lower = HashKeys { first: 0, last: u128::MAX / 2 };
    let upper = HashKeys { first: u128::MAX / 2 + 1, last: u128::MAX };
    for (hash_keys, expected) in [(None, 0), (Some(lower), 1), (Some(upper), 2)] {
        let page = Page { hash_keys, ..deliveries(&[&data, b"plain"]) };
        let mut decoder = kinesis(BYTES);
        assert_eq!(push(&mut *decoder, &page).rows, 5);
        assert_eq!(decoder.counts(), Counts { aggregates: 1, out_of_range: expected, ..Counts::default() });
    }
}

#[test]
fn parts_of_one_record_come_into_one_batch() {
    let parts: Vec<Vec<u8>> = (0..500).map(|part: u32| part.to_le_bytes().repeat(50)).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let page = deliveries(&[b"x", &aggregate(&parts), b"y"]);
    for room in
        [Room { rows: 1, bytes: 1 }, Room { rows: 2, bytes: usize::MAX }, Room { rows: 300, bytes: 2000 }]
    {
        let mut decoder = kinesis(BYTES);
        let (mut from, mut batches) = (Some(page.records.start), Vec::new());
        while let Some(start) = from {
            let pushed = decoder.push(&page, start, room, &Skip::default()).unwrap();
            assert_eq!(pushed.last.unwrap().sub(), None);
            from = pushed.rest;
            batches.push(column(&decoder.flush().unwrap(), "_sequence"));
        }
        let rows = batches.iter().position(|batch| batch.contains(&"2:0".to_owned())).unwrap();
        assert!(batches[rows].contains(&"2:499".to_owned()));
        assert_eq!(batches.concat().len(), 502);
    }
}

#[test]
fn the_largest_aggregates_keep_their_bounds() {
    // As many parts as fit into 10 MiB, and keys that blow each of them up.
    let empty = part(0, None, b"");
    let count = (10 << 20) / empty.len();
    let mut decoder = kinesis(BYTES);
    let pushed =
        push(&mut *decoder, &deliveries(&[&sealed(&[field(1, Err(b"a")), empty.repeat(count)].concat())]));
    assert_eq!(pushed.rows, count);
    let batch = decoder.flush().unwrap();
    assert_eq!(column(&batch.slice(count - 1, 1), "_sequence"), [format!("1:{}", count - 1)]);

    let key = "\u{1f40b}".repeat(256);
    let data = sealed(&[field(1, Err(key.as_bytes())), empty.repeat(count)].concat());
    let error = push_error(&mut *decoder, &deliveries(&[&data]));
    assert!(error.message().contains("512 MiB"), "{error}");
    assert_eq!(decoder.rows(), 0);
}

proptest! {
    /// Every message under a right checksum is taken whole or refused, and never panics.
    #[test]
    fn any_message_is_taken_whole_or_refused(
        fields in prop::collection::vec((1u64..5, prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 8, 0x0a, 0x10, 0x1a, 0x80, 0xff]), 0..12)), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let message = fields.iter().flat_map(|(number, bytes)| field(*number, Err(bytes))).chain(tail);
        let page = deliveries(&[b"x", &sealed(&message.collect::<Vec<u8>>()), b"y"]);
        let mut keeper = kinesis(&keeping(BYTES));
        let pushed = push(&mut *keeper, &page);
        prop_assert_eq!(pushed.last, Some(number("3")));
        prop_assert_eq!(keeper.counts().aggregates + pushed.quarantined.len() as u64, 1);
        let batch = keeper.flush().unwrap();
        check(&batch);
        prop_assert_eq!(batch.num_rows(), pushed.rows);
        prop_assert!(pushed.quarantined.is_empty() || pushed.rows == 2);
    }

    #[test]
    fn what_was_put_in_comes_out(parts in prop::collection::vec(("[a-zé]{0,9}", prop::option::of(any::<u128>()), prop::collection::vec(any::<u8>(), 0..300)), 0..40)) {
        let keys = parts.iter().flat_map(|(key, ..)| field(1, Err(key.as_bytes())));
        let explicit: Vec<_> = parts.iter().filter_map(|(_, key, _)| key.map(|key| key.to_string())).collect();
        let hash_keys = explicit.iter().flat_map(|key| field(2, Err(key.as_bytes())));
        let mut used = 0;
        let records = parts.iter().zip(0..).flat_map(|((_, key, data), place)| {
            let explicit = key.map(|_| { used += 1; used - 1 });
            part(place, explicit, data)
        });
        let records: Vec<u8> = records.collect();
        let data = sealed(&keys.chain(records).chain(hash_keys).collect::<Vec<u8>>());
        let mut decoder = kinesis(BYTES);
        push(&mut *decoder, &deliveries(&[&data]));
        let batch = decoder.flush().unwrap();
        let (mut keys, mut explicit, mut data) = (vec![], vec![], vec![]);
        for (key, hash_key, bytes) in parts {
            keys.push(Some(key));
            explicit.push(hash_key.map(|key| key.to_string()));
            data.push(bytes);
        }
        prop_assert_eq!(texts(&batch, "_partition_key"), keys);
        prop_assert_eq!(texts(&batch, "_explicit_hash_key"), explicit);
        prop_assert_eq!(datas(&batch), data);
    }
}
