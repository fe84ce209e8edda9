//! What stands around the data of a Kinesis record.
//!
//! Names are compared without case, as for changes: the service writes `PartitionKey`, what hands its
//! records on often `partitionKey`. Unknown members are passed over.

use super::envelope::{Glance, is_sequence, moment, once};
use super::json::{Cursor, Fallible, Text, bad_record};
use super::members::Members;
use crate::position::SequenceNumber;

/// A record as a page has it.
pub(super) struct Delivery<'a> {
    pub(super) sequence: &'a [u8],
    /// When it arrived, in microseconds since 1970.
    pub(super) arrived: Option<i64>,
    pub(super) partition_key: Text<'a>,
}

#[derive(Default)]
struct Known<'a> {
    sequence: Option<Text<'a>>,
    arrived: Option<i64>,
    partition_key: Option<Text<'a>>,
    data: Option<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Arrived,
    Data,
    PartitionKey,
    SequenceNumber,
    Other,
}

/// In the order in which the service writes them.
const MEMBERS: [(&str, Member); 5] = [
    ("ApproximateArrivalTimestamp", Member::Arrived),
    ("Data", Member::Data),
    ("EncryptionType", Member::Other),
    ("PartitionKey", Member::PartitionKey),
    ("SequenceNumber", Member::SequenceNumber),
];

/// What reading deliveries needs again and again.
pub(super) struct Desk {
    members: Members<Member>,
    /// The data of the delivery at hand.
    pub(super) data: Vec<u8>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { members: Members::new(&MEMBERS), data: Vec::new() }
    }
}

impl<'a> Delivery<'a> {
    /// Reads the record at the cursor, with its data.
    pub(super) fn read(cursor: &mut Cursor<'a>, Desk { members, data }: &mut Desk) -> Fallible<Self> {
        let mut known = Known::default();
        members.read(cursor, |member, cursor| {
            match member {
                Member::Data => {
                    data.clear();
                    cursor.base64(data, |_| bad_record("its Data is not base64"))?;
                    known.data = Some(once(known.data, (), "Data")?);
                }
                Member::PartitionKey => {
                    let key = cursor.string()?;
                    known.partition_key = Some(once(known.partition_key, key, "PartitionKey")?);
                }
                Member::SequenceNumber => {
                    let number = cursor.string()?;
                    known.sequence = Some(once(known.sequence, number, "SequenceNumber")?);
                }
                Member::Arrived if !cursor.take(b"null") => {
                    let time = moment(cursor)?;
                    known.arrived = Some(once(known.arrived, time, "ApproximateArrivalTimestamp")?);
                }
                Member::Arrived => {}
                Member::Other => cursor.skip_value()?,
            }
            Ok(())
        })?;
        known.all()
    }

    pub(super) fn number(&self) -> Fallible<SequenceNumber> {
        let number =
            std::str::from_utf8(self.sequence).ok().and_then(|text| SequenceNumber::parse(text).ok());
        match number {
            Some(number) => Ok(number),
            None => bad_record("its SequenceNumber is not a decimal number"),
        }
    }
}

impl<'a> Known<'a> {
    fn all(self) -> Fallible<Delivery<'a>> {
        let Some(sequence) = self.sequence else { return bad_record("it has no SequenceNumber") };
        if !is_sequence(sequence.raw()) {
            return bad_record(format!("SequenceNumber {:?} is not a decimal number", sequence.lossy()));
        }
        let Some(partition_key) = self.partition_key else { return bad_record("it has no PartitionKey") };
        if self.data.is_none() {
            return bad_record("it has no Data");
        }
        Ok(Delivery { sequence: sequence.raw(), arrived: self.arrived, partition_key })
    }
}

/// Passes the record at the cursor, and says what can be said of it without taking it.
///
/// # Errors
/// Only that of a damaged page.
pub(super) fn glance(cursor: &mut Cursor<'_>) -> Fallible<Glance> {
    let mut glance = Glance::default();
    let start = cursor.at;
    cursor.skip_value()?;
    let mut inside = cursor.clone();
    inside.back_to(start);
    // What is wrong with it is found when it is taken; what was read before that holds.
    let _ = inside.members(|inside, name| {
        let is = |known: &str| name.raw().eq_ignore_ascii_case(known.as_bytes());
        let member = MEMBERS.iter().find(|(known, _)| is(known)).map_or(Member::Other, |(_, member)| *member);
        let mut value = inside.clone();
        inside.skip_value()?;
        match member {
            Member::SequenceNumber => {
                let text = value.string().ok().filter(|text| is_sequence(text.raw()));
                let text = text.and_then(|text| std::str::from_utf8(text.raw()).ok());
                glance.sequence = text.and_then(|text| SequenceNumber::parse(text).ok());
            }
            Member::Arrived => glance.micros = moment(&mut value).ok(),
            _ => {}
        }
        Ok(())
    });
    Ok(glance)
}
