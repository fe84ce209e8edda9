//! What stands around the data of a Kinesis record.
//!
//! Names are compared without case, as for changes: the service writes `PartitionKey`, what hands its
//! records on often `partitionKey`. Unknown members are passed over.

use super::envelope::{Glance, is_sequence, moment, once};
use super::json::{Cursor, Fallible, Text, bad_record};
use crate::position::SequenceNumber;

/// A record as a page has it.
pub(super) struct Delivery<'a> {
    pub(super) sequence: &'a [u8],
    /// When it arrived, in microseconds since 1970.
    pub(super) arrived: Option<i64>,
    pub(super) partition_key: Text<'a>,
    /// In base64.
    data: Text<'a>,
}

#[derive(Default)]
struct Members<'a> {
    sequence: Option<Text<'a>>,
    arrived: Option<i64>,
    partition_key: Option<Text<'a>>,
    data: Option<Text<'a>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Data,
    PartitionKey,
    SequenceNumber,
    Arrived,
    Other,
}

impl Member {
    fn of(name: &[u8]) -> Self {
        match name {
            b"Data" => return Self::Data,
            b"PartitionKey" => return Self::PartitionKey,
            b"SequenceNumber" => return Self::SequenceNumber,
            b"ApproximateArrivalTimestamp" => return Self::Arrived,
            _ => {}
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match () {
            () if is("Data") => Self::Data,
            () if is("PartitionKey") => Self::PartitionKey,
            () if is("SequenceNumber") => Self::SequenceNumber,
            () if is("ApproximateArrivalTimestamp") => Self::Arrived,
            () => Self::Other,
        }
    }
}

impl<'a> Delivery<'a> {
    /// Reads the record at the cursor.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Fallible<Self> {
        let mut known = Members::default();
        cursor.members(|cursor, name| {
            match Member::of(name.raw()) {
                Member::Data => known.data = Some(once(known.data, cursor.string()?, "Data")?),
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

    /// Appends the data.
    pub(super) fn data_into(&self, out: &mut Vec<u8>) -> Fallible<()> {
        let mut scratch = Vec::new();
        match base64_simd::STANDARD.decode_append(self.data.plain(&mut scratch)?, out) {
            Ok(()) => Ok(()),
            Err(_) => bad_record("its Data is not base64"),
        }
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

impl<'a> Members<'a> {
    fn all(self) -> Fallible<Delivery<'a>> {
        let Some(sequence) = self.sequence else { return bad_record("it has no SequenceNumber") };
        if !is_sequence(sequence.raw()) {
            return bad_record(format!("SequenceNumber {:?} is not a decimal number", sequence.lossy()));
        }
        let Some(partition_key) = self.partition_key else { return bad_record("it has no PartitionKey") };
        let Some(data) = self.data else { return bad_record("it has no Data") };
        Ok(Delivery { sequence: sequence.raw(), arrived: self.arrived, partition_key, data })
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
        let member = Member::of(name.raw());
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
