//! Where in a shard a subscription begins, or goes on.

use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
use aws_smithy_types::DateTime;

use crate::error::{Error, Result};
use crate::page::{Cursor, Millis, OpenAt};
use crate::position::SequenceNumber;

/// The position that a subscription is asked for. It never expires: as a cursor it is its own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Horizon,
    Latest,
    Time(Millis),
    At(SequenceNumber),
    After(SequenceNumber),
}

impl Place {
    pub(super) fn cursor(&self) -> Cursor {
        let text = match self {
            Self::Horizon => "TRIM_HORIZON".to_owned(),
            Self::Latest => "LATEST".to_owned(),
            Self::Time(moment) => format!("AT_TIMESTAMP {moment}"),
            Self::At(number) => format!("AT_SEQUENCE_NUMBER {}", number.record()),
            Self::After(number) => format!("AFTER_SEQUENCE_NUMBER {}", number.record()),
        };
        Cursor(text.into())
    }

    /// # Errors
    /// `Internal`: cursors come from `cursor`.
    pub(super) fn read(cursor: &Cursor) -> Result<Self> {
        let bad = || Error::internal(format!("{:?} is not a cursor of a subscription", cursor.0));
        let (kind, value) = cursor.0.split_once(' ').unwrap_or((&cursor.0, ""));
        let number = || SequenceNumber::parse(value).map_err(|_| bad());
        Ok(match kind {
            "TRIM_HORIZON" => Self::Horizon,
            "LATEST" => Self::Latest,
            "AT_TIMESTAMP" => Self::Time(value.parse().map_err(|_| bad())?),
            "AT_SEQUENCE_NUMBER" => Self::At(number()?),
            "AFTER_SEQUENCE_NUMBER" => Self::After(number()?),
            _ => return Err(bad()),
        })
    }

    /// As the service takes it.
    pub(super) fn starting_position(&self) -> Result<StartingPosition> {
        let (kind, number, moment) = match self {
            Self::Horizon => (ShardIteratorType::TrimHorizon, None, None),
            Self::Latest => (ShardIteratorType::Latest, None, None),
            Self::Time(moment) => (ShardIteratorType::AtTimestamp, None, Some(*moment)),
            Self::At(number) => (ShardIteratorType::AtSequenceNumber, Some(number), None),
            Self::After(number) => (ShardIteratorType::AfterSequenceNumber, Some(number), None),
        };
        StartingPosition::builder()
            .r#type(kind)
            .set_sequence_number(number.map(|number| number.record().to_owned()))
            .set_timestamp(moment.map(DateTime::from_millis))
            .build()
            .map_err(|cause| Error::internal(format!("a starting position is not complete: {cause}")))
    }

    /// Behind `number`, unless this is further: a subscription never goes back.
    pub(super) fn pass(&mut self, number: SequenceNumber) {
        match self {
            Self::At(reached) if number < *reached => {}
            Self::After(reached) if number <= *reached => {}
            _ => *self = Self::After(number),
        }
    }
}

impl From<&OpenAt> for Place {
    fn from(at: &OpenAt) -> Self {
        match at {
            OpenAt::Beginning => Self::Horizon,
            OpenAt::Latest => Self::Latest,
            OpenAt::Time(moment) => Self::Time(*moment),
            OpenAt::At(number) => Self::At(number.clone()),
            OpenAt::After(number) => Self::After(number.clone()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).unwrap()
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let places = [
            Place::Horizon,
            Place::Latest,
            Place::Time(1_720_740_233_012),
            Place::At(number("7")),
            Place::After(number("49590338271490256608559692538361571095921575989136588898")),
        ];
        for place in places {
            assert_eq!(Place::read(&place.cursor()).unwrap(), place);
        }
        for text in ["", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER x", "AAAA"] {
            assert!(Place::read(&Cursor(text.into())).is_err(), "{text:?}");
        }
    }

    #[test]
    fn requests_carry_what_the_service_asks_for() {
        let position = Place::Time(1_500).starting_position().unwrap();
        assert_eq!(position.r#type(), &ShardIteratorType::AtTimestamp);
        assert_eq!(position.timestamp().unwrap().to_millis().unwrap(), 1_500);
        let position = Place::After(number("12:3")).starting_position().unwrap();
        assert_eq!((position.sequence_number(), position.timestamp()), (Some("12"), None));
    }

    #[test]
    fn a_place_never_goes_back() {
        let mut place = Place::At(number("10"));
        place.pass(number("9"));
        assert_eq!(place, Place::At(number("10")));
        place.pass(number("10"));
        assert_eq!(place, Place::After(number("10")));
        place.pass(number("9"));
        assert_eq!(place, Place::After(number("10")));
        let mut place = Place::Horizon;
        place.pass(number("0"));
        assert_eq!(place, Place::After(number("0")));
    }
}
