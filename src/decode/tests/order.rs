//! Items whose attributes have no order, and old images that are mostly the new ones: two ways that must agree.

use super::properties::{Item, Value, attributes, compare, joined, value, written};
use super::*;
use proptest::prelude::*;

/// Names on both sides of a column of bits, of all lengths up to one that is longer than a block.
fn known(place: usize) -> String {
    format!("{}_{place}", "n".repeat(place % 40))
}

/// What an attribute mostly is, so that its column is known before it is met out of order.
fn usual(place: usize) -> BoxedStrategy<Value> {
    match place % 5 {
        0 => "[ -~]{0,90}".prop_map(Value::S).boxed(),
        1 => any::<i64>().prop_map(|number| Value::N(number.to_string())).boxed(),
        2 => any::<bool>().prop_map(Value::Bool).boxed(),
        3 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Value::B).boxed(),
        _ => "[é-ü\n\"\\\\]{0,9}".prop_map(Value::S).boxed(),
    }
}

/// Up to 80 attributes with names and values, a few of another kind than usual, and how they are ordered.
fn shuffled() -> impl Strategy<Value = Vec<(String, Value)>> {
    let attribute = (0usize..80).prop_flat_map(|place| {
        (Just(place), prop_oneof![12 => usual(place), 1 => value()])
            .prop_map(|(place, value)| (known(place), value))
    });
    let item = prop::collection::vec(attribute, 0..60).prop_map(|attributes| {
        attributes.into_iter().collect::<std::collections::HashMap<_, _>>().into_iter().collect::<Vec<_>>()
    });
    item.prop_flat_map(|attributes| Just(attributes).prop_shuffle())
}

fn in_order(item: &[(String, Value)]) -> String {
    joined(
        item.iter().map(|(name, value)| format!("{}:{}", super::properties::quoted(name), value.written())),
    )
}

fn mode() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{}",
        r#"{"max_columns":40}"#,
        r#"{"nested":"struct"}"#,
        r#"{"numbers":"float64"}"#,
    ])
}

fn page_in_order(items: &[Vec<(String, Value)>]) -> Page {
    let texts: Vec<String> = items.iter().map(|item| in_order(item)).collect();
    inserts(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn attributes_come_back_whatever_their_order(items in prop::collection::vec(shuffled(), 1..8)) {
        let mut decoder = decoder_with("{}");
        push(&mut *decoder, &page_in_order(&items));
        let batch = decoder.flush().unwrap();
        check(&batch);
        let items: Vec<Item> = items.into_iter().map(|item| item.into_iter().collect()).collect();
        compare(&batch, &items)?;
    }

    /// The row of an item does not depend on the order of those before it, the text of its rest included.
    #[test]
    fn the_order_of_other_items_makes_no_difference(
        first in prop::collection::vec(shuffled(), 4),
        last in shuffled(),
        json in mode(),
    ) {
        let mut after = decoder_with(json);
        push(&mut *after, &page_in_order(&first));
        after.flush().unwrap();
        let state = after.schema_state();
        let mut alone = decoder(&options(json), &[key("id", KeyKind::Text)], Some(&state)).unwrap();
        let page = page_in_order(&[last]);
        push(&mut *after, &page);
        push(&mut *alone, &page);
        prop_assert_eq!(after.schema_state(), alone.schema_state());
        prop_assert_eq!(after.flush().unwrap(), alone.flush().unwrap());
    }

    /// A name that stands twice is found wherever the two stand, and takes nothing with it.
    #[test]
    fn a_name_that_stands_twice_is_found_without_an_order(
        items in prop::collection::vec(shuffled(), 4),
        one in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let mut decoder = decoder_with(r#"{"on_bad_record":"quarantine"}"#);
        push(&mut *decoder, &page_in_order(&items));
        let expected = decoder.flush().unwrap();
        let mut bad = items[3].clone();
        if bad.is_empty() {
            return Ok(());
        }
        let again = bad[one.index(bad.len())].clone();
        bad.insert(to.index(bad.len() + 1), again);
        let with_bad = [&items[..3], &[bad], &items[3..]].concat();
        let pushed = push(&mut *decoder, &page_in_order(&with_bad));
        prop_assert_eq!(pushed.quarantined.len(), 1);
        prop_assert!(pushed.quarantined[0].reason.contains("twice"), "{}", pushed.quarantined[0].reason);
        let found = decoder.flush().unwrap();
        check(&found);
        prop_assert_eq!(&found.columns()[6..], &expected.columns()[6..]);
    }

    /// An old image beside a new one has the values it has by itself, whatever the records before were.
    #[test]
    fn an_old_image_is_itself_beside_a_new_one(
        changes in prop::collection::vec((item(), item(), prop::bool::weighted(0.4), prop::bool::weighted(0.2)), 1..12),
        json in prop::sample::select(vec!["{}", r#"{"nested":"struct"}"#]),
    ) {
        let json = json.replace('{', r#"{"old_image":true,"on_bad_record":"quarantine","#).replace(",}", "}");
        let keys = r#""Keys":{"id":{"S":"k"}}"#;
        let (mut together, mut apart, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (new, old, is_bad, is_first)) in (1..).zip(&changes) {
            let (mut new, old) = (attributes(new), written(old));
            if *is_bad {
                new = [new.as_str(), r#""x":{"N":"no number"}"#].join(if new.is_empty() { "" } else { "," });
            }
            let (new, old) = (format!(r#""NewImage":{{{new}}}"#), format!(r#""OldImage":{old}"#));
            let images = if *is_first { [&old, &new] } else { [&new, &old] }.map(String::as_str).join(",");
            together.push(record("MODIFY", number, &format!("{keys},{images}")));
            if !is_bad {
                let (new, old) = (("INSERT", new), ("REMOVE", old));
                let [one, other] = if *is_first { [old, new] } else { [new, old] };
                apart.extend([one, other].map(|(op, image)| record(op, number, &format!("{keys},{image}"))));
                rows.push(if *is_first { (apart.len() - 1, apart.len() - 2) } else { (apart.len() - 2, apart.len() - 1) });
            }
        }
        let batch = |records: Vec<String>| {
            let mut decoder = decoder_with(&json);
            push(&mut *decoder, &page(&records.join(",")));
            decoder.flush().unwrap()
        };
        let (together, apart) = (batch(together), batch(apart));
        check(&together);
        prop_assert_eq!(together.num_rows(), rows.len());
        let old_names = |batch: &RecordBatch| {
            let mut names: Vec<String> =
                batch.column_by_name("_old").unwrap().as_struct().column_names().iter().map(|name| (*name).to_owned()).collect();
            names.sort();
            names
        };
        prop_assert_eq!(old_names(&together), old_names(&apart));
        let old_values = |batch: &RecordBatch, name: &str| {
            let old = batch.column_by_name("_old").unwrap().as_struct();
            let schema = arrow_schema::Schema::new(old.fields().clone());
            column(&RecordBatch::try_new(Arc::new(schema), old.columns().to_vec()).unwrap(), name)
        };
        for name in old_names(&together) {
            let (new, old) = (column(&together, &name), old_values(&together, &name));
            let (all_new, all_old) = (column(&apart, &name), old_values(&apart, &name));
            for (row, (of_new, of_old)) in rows.iter().enumerate() {
                prop_assert_eq!((&new[row], &old[row]), (&all_new[*of_new], &all_old[*of_old]), "{} {}", name, row);
            }
        }
    }
}

/// Nested values from so few that both images often have the same one.
fn item() -> impl Strategy<Value = Item> {
    let nested = prop::sample::select(vec![
        Value::M([("a".to_owned(), Value::N("1".to_owned()))].into()),
        Value::M([("a".to_owned(), Value::S("1".to_owned()))].into()),
        Value::M([].into()),
        Value::L(vec![Value::S("x".to_owned()), Value::Null]),
        Value::L(vec![Value::S("x".to_owned())]),
        Value::L(vec![]),
        Value::S("text".to_owned()),
    ]);
    prop::collection::btree_map("[l-n]", nested, 0..4)
}
