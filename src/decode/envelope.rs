//! What stands around the images of a change, as DynamoDB Streams gives it or as Kinesis delivers it.
//!
//! Names are compared without case: the service writes `eventName`, SDKs and their users also
//! `EventName`, `eventId`, `Dynamodb`. Unknown members are passed over.

use arrow_schema::TimeUnit;

use super::json::{Cursor, Fallible, Text, bad_record};
use super::members::Members;
use super::metadata::Op;
use super::scan::are_digits;
use super::time::{self, Ticks};
use crate::position::SequenceNumber;

/// The parts of a record that hold attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Keys,
    NewImage,
    OldImage,
}

/// Who brings a change. Through Kinesis its time is in milliseconds, or in microseconds where
/// `ApproximateCreationDateTimePrecision` says so, which may change in mid-stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    #[default]
    Streams,
    Kinesis,
}

#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub(super) event_id: Option<Text<'a>>,
    pub(super) op: Option<Op>,
    pub(super) micros: Option<i64>,
    pub(super) sequence: Option<&'a [u8]>,
    pub(super) ttl: bool,
    /// Of a change that Kinesis delivers: its table.
    pub(super) table: Option<Text<'a>>,
    origin: Origin,
    /// The time of such a change, whose unit stands elsewhere, often behind it.
    ticks: Option<Ticks<'a>>,
    ticks_are_micros: Option<bool>,
    /// Where the value of each part begins.
    pub(super) keys: Option<usize>,
    pub(super) new_image: Option<usize>,
    pub(super) old_image: Option<usize>,
}

/// The members of a record, in the order in which the service writes them.
#[derive(Clone, Copy)]
enum Around {
    EventId,
    EventName,
    Change,
    Identity,
    Table,
    Other,
}

const AROUND: [(&str, Around); 9] = [
    ("eventID", Around::EventId),
    ("eventName", Around::EventName),
    ("eventVersion", Around::Other),
    ("eventSource", Around::Other),
    ("awsRegion", Around::Other),
    ("dynamodb", Around::Change),
    ("userIdentity", Around::Identity),
    ("recordFormat", Around::Other),
    ("tableName", Around::Table),
];

/// The members of its change.
#[derive(Clone, Copy)]
enum Inside {
    Time,
    Precision,
    Part(Part),
    Sequence,
    Other,
}

const INSIDE: [(&str, Inside); 8] = [
    ("ApproximateCreationDateTime", Inside::Time),
    ("ApproximateCreationDateTimePrecision", Inside::Precision),
    ("Keys", Inside::Part(Part::Keys)),
    ("NewImage", Inside::Part(Part::NewImage)),
    ("OldImage", Inside::Part(Part::OldImage)),
    ("SequenceNumber", Inside::Sequence),
    ("SizeBytes", Inside::Other),
    ("StreamViewType", Inside::Other),
];

/// Which members follow which, learned from the records before.
pub(super) struct Order {
    around: Members<Around>,
    inside: Members<Inside>,
}

impl Default for Order {
    fn default() -> Self {
        Self { around: Members::new(&AROUND), inside: Members::new(&INSIDE) }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the change at the cursor; `visit` takes the parts, each standing at its object.
    pub(super) fn read(
        origin: Origin,
        order: &mut Order,
        cursor: &mut Cursor<'a>,
        mut visit: impl FnMut(Part, &mut Cursor<'a>) -> Fallible<()>,
    ) -> Fallible<Self> {
        let mut envelope = Self { origin, ..Self::default() };
        let mut change_seen = false;
        order.around.read(cursor, |member, cursor| match member {
            Around::EventId => envelope.event_id(cursor),
            Around::EventName => envelope.event_name(cursor),
            Around::Change => {
                if std::mem::replace(&mut change_seen, true) {
                    return bad_record("\"dynamodb\" stands twice in it");
                }
                envelope.change(&mut order.inside, cursor, &mut visit)
            }
            Around::Identity => envelope.identity(cursor),
            Around::Table if origin == Origin::Kinesis => envelope.table(cursor),
            Around::Table | Around::Other => cursor.skip_value(),
        })?;
        if let Some(ticks) = envelope.ticks {
            envelope.micros = Some(ticks.to_micros(envelope.unit())?);
        }
        Ok(envelope)
    }

    /// A change with a sequence number of DynamoDB Streams was put into the Kinesis stream by something
    /// that reads those, and has their seconds.
    fn unit(&self) -> TimeUnit {
        match (self.ticks_are_micros, self.sequence) {
            (Some(true), _) => TimeUnit::Microsecond,
            (None, Some(_)) => TimeUnit::Second,
            _ => TimeUnit::Millisecond,
        }
    }

    fn event_id(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        if !cursor.take(b"null") {
            self.event_id = Some(once(self.event_id, cursor.string()?, "eventID")?);
        }
        Ok(())
    }

    fn event_name(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        let name = cursor.string()?;
        let op = match name.raw() {
            b"INSERT" => Op::Insert,
            b"MODIFY" => Op::Modify,
            b"REMOVE" => Op::Remove,
            _ => {
                return bad_record(format!("eventName {:?} is none of INSERT, MODIFY, REMOVE", name.lossy()));
            }
        };
        self.op = Some(once(self.op, op, "eventName")?);
        Ok(())
    }

    /// A delete by time to live is the service's own: type `Service`, principal `dynamodb.amazonaws.com`
    /// (Developer Guide, "DynamoDB Streams and Time to Live").
    fn identity(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        if cursor.byte() != Some(b'{') {
            return cursor.skip_value();
        }
        let (mut service, mut dynamodb) = (false, false);
        cursor.members(|cursor, name| {
            let start = cursor.at;
            cursor.skip_value()?;
            let value = cursor.since(start);
            if name.raw().eq_ignore_ascii_case(b"type") {
                service = value == br#""Service""#;
            } else if name.raw().eq_ignore_ascii_case(b"principalId") {
                dynamodb = value == br#""dynamodb.amazonaws.com""#;
            }
            Ok(())
        })?;
        self.ttl = service && dynamodb;
        Ok(())
    }

    fn change(
        &mut self,
        inside: &mut Members<Inside>,
        cursor: &mut Cursor<'a>,
        visit: &mut impl FnMut(Part, &mut Cursor<'a>) -> Fallible<()>,
    ) -> Fallible<()> {
        inside.read(cursor, |member, cursor| {
            let part = match member {
                Inside::Part(part) => part,
                Inside::Time => return self.time(cursor),
                Inside::Precision => return self.precision(cursor),
                Inside::Sequence => return self.sequence(cursor),
                Inside::Other => return cursor.skip_value(),
            };
            if cursor.take(b"null") {
                return Ok(());
            }
            let start = match part {
                Part::Keys => &mut self.keys,
                Part::NewImage => &mut self.new_image,
                Part::OldImage => &mut self.old_image,
            };
            *start = Some(once(*start, cursor.at, "an image or Keys")?);
            visit(part, cursor)
        })
    }

    fn sequence(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        let text = cursor.string()?;
        if !is_sequence(text.raw()) {
            return bad_record(format!("SequenceNumber {:?} is not a decimal number", text.lossy()));
        }
        self.sequence = Some(once(self.sequence, text.raw(), "SequenceNumber")?);
        Ok(())
    }

    fn time(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        if cursor.take(b"null") {
            return Ok(());
        }
        let what = "ApproximateCreationDateTime";
        if self.origin == Origin::Kinesis && cursor.byte() != Some(b'"') {
            let Some(b'-' | b'0'..=b'9') = cursor.byte() else { return cursor.mismatch("a time") };
            self.ticks = Some(once(self.ticks, Ticks::read(cursor)?, what)?);
        } else {
            self.micros = Some(once(self.micros, moment(cursor)?, what)?);
        }
        Ok(())
    }

    fn precision(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        if self.origin == Origin::Streams || cursor.byte() == Some(b'n') {
            return cursor.skip_value();
        }
        let what = "ApproximateCreationDateTimePrecision";
        let name = cursor.string()?;
        let are_micros = match name.raw() {
            b"MILLISECOND" => false,
            b"MICROSECOND" => true,
            _ => {
                return bad_record(format!(
                    "{what} {:?} is neither MILLISECOND nor MICROSECOND",
                    name.lossy()
                ));
            }
        };
        self.ticks_are_micros = Some(once(self.ticks_are_micros, are_micros, what)?);
        Ok(())
    }

    fn table(&mut self, cursor: &mut Cursor<'a>) -> Fallible<()> {
        if !cursor.take(b"null") {
            self.table = Some(once(self.table, cursor.string()?, "tableName")?);
        }
        Ok(())
    }
}

/// A moment in microseconds since 1970: seconds as a number, or RFC 3339 as text.
pub(super) fn moment(cursor: &mut Cursor<'_>) -> Fallible<i64> {
    match cursor.byte() {
        Some(b'"') => {
            let text = cursor.string()?;
            let micros = time::rfc3339_to_nanos(text.raw())?.div_euclid(1000);
            i64::try_from(micros).or_else(|_| bad_record(format!("{:?} is not a time", text.lossy())))
        }
        Some(b'-' | b'0'..=b'9') => Ticks::read(cursor)?.to_micros(TimeUnit::Second),
        _ => cursor.mismatch("a time"),
    }
}

pub(super) fn is_sequence(text: &[u8]) -> bool {
    (1..=SequenceNumber::MAX_DIGITS).contains(&text.len()) && are_digits(text)
}

pub(super) fn once<T>(known: Option<T>, value: T, what: &str) -> Fallible<T> {
    match known {
        None => Ok(value),
        Some(_) => bad_record(format!("{what} stands twice in it")),
    }
}

/// What can be said of a record without taking it: for leaving it out, and for naming a bad one.
#[derive(Default)]
pub(super) struct Glance {
    pub(super) sequence: Option<SequenceNumber>,
    pub(super) micros: Option<i64>,
}

impl Glance {
    /// Passes the record at the cursor.
    ///
    /// # Errors
    /// Only that of a damaged page: a record that says nothing sensible has nothing to say.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Fallible<Self> {
        let mut glance = Self::default();
        let start = cursor.at;
        cursor.skip_value()?;
        let mut inside = cursor.clone();
        inside.back_to(start);
        // What is wrong with it is found when it is taken; what was read before that holds.
        let _ = inside.members(|inside, name| {
            if !name.raw().eq_ignore_ascii_case(b"dynamodb") {
                return inside.skip_value();
            }
            inside.members(|inside, name| glance.member(name, inside))
        });
        Ok(glance)
    }

    fn member(&mut self, name: Text<'_>, cursor: &mut Cursor<'_>) -> Fallible<()> {
        let start = cursor.at;
        cursor.skip_value()?;
        let mut value = cursor.clone();
        value.back_to(start);
        if name.raw().eq_ignore_ascii_case(b"sequenceNumber") {
            let text = value.string().ok().and_then(|text| std::str::from_utf8(text.raw()).ok());
            self.sequence = text.and_then(|text| SequenceNumber::parse(text).ok());
        } else if name.raw().eq_ignore_ascii_case(b"approximateCreationDateTime") {
            self.micros = moment(&mut value).ok();
        }
        Ok(())
    }
}
