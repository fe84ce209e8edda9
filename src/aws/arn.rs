//! What a stream is asked for by: a table's name, its ARN, or the ARN of one of its streams; for
//! Kinesis, a stream's name or its ARN.

use crate::error::{Error, Result};

/// What the user named, parsed strictly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A table by its name.
    Table(String),
    /// A table by its ARN.
    TableArn(Arn),
    /// One stream of a table, by its ARN with label.
    Stream(Arn),
}

/// `arn:aws:dynamodb:eu-west-1:123456789012:table/orders`, with `/stream/<label>` for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    pub text: String,
    pub region: String,
    pub table: String,
    pub label: Option<String>,
}

impl Target {
    /// # Errors
    /// `Usage`, naming the value.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.starts_with("arn:") {
            return match is_table_name(text) {
                true => Ok(Self::Table(text.to_owned())),
                false => Err(bad_name(text)),
            };
        }
        let arn = Arn::parse(text)?;
        Ok(if arn.label.is_some() { Self::Stream(arn) } else { Self::TableArn(arn) })
    }

    pub fn table(&self) -> &str {
        match self {
            Self::Table(name) => name,
            Self::TableArn(arn) | Self::Stream(arn) => &arn.table,
        }
    }

    /// As the user named it.
    pub fn text(&self) -> &str {
        match self {
            Self::Table(name) => name,
            Self::TableArn(arn) | Self::Stream(arn) => &arn.text,
        }
    }

    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Table(_) => None,
            Self::TableArn(arn) | Self::Stream(arn) => Some(&arn.region),
        }
    }
}

impl Arn {
    /// # Errors
    /// `Usage`, naming the value, when it is not the ARN of a DynamoDB table or stream.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| {
            Error::usage(format!(
                "{text:?} is not the ARN of a DynamoDB table or stream, such as \
                 \"arn:aws:dynamodb:eu-west-1:123456789012:table/orders\""
            ))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (region, resource) = parts_of(text, "dynamodb")?;
        let (table, label) = match resource.split('/').collect::<Vec<_>>()[..] {
            ["table", table] => (table, None),
            ["table", table, "stream", label] if is_label(label) => (table, Some(label.to_owned())),
            _ => return None,
        };
        let arn = Self { text: text.to_owned(), region: region.to_owned(), table: table.to_owned(), label };
        is_table_name(table).then_some(arn)
    }

    /// The ARN of the table, also when this is one of its streams.
    pub fn table_arn(&self) -> &str {
        let end = self.text.find("/stream/").unwrap_or(self.text.len());
        &self.text[..end]
    }
}

/// A Kinesis stream as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KinesisTarget {
    Name(String),
    /// `arn:aws:kinesis:eu-west-1:123456789012:stream/clicks`.
    Arn {
        text: String,
        region: String,
        name: String,
    },
}

impl KinesisTarget {
    /// # Errors
    /// `Usage`, naming the value.
    pub fn parse(text: &str) -> Result<Self> {
        if text.starts_with("arn:") {
            return Self::read_arn(text).ok_or_else(|| {
                Error::usage(format!(
                    "{text:?} is not the ARN of a Kinesis stream, such as \
                     \"arn:aws:kinesis:eu-west-1:123456789012:stream/clicks\""
                ))
            });
        }
        if is_stream_name(text) {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(Error::usage(format!(
            "{text:?} is not the name of a Kinesis stream: it must be 1 to 128 letters, digits, '_', '-' or '.'"
        )))
    }

    fn read_arn(text: &str) -> Option<Self> {
        let (region, resource) = parts_of(text, "kinesis")?;
        let name = resource.strip_prefix("stream/").filter(|name| is_stream_name(name))?;
        Some(Self::Arn { text: text.to_owned(), region: region.to_owned(), name: name.to_owned() })
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Arn { name, .. } => name,
        }
    }

    pub fn arn(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { text, .. } => Some(text),
        }
    }

    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn { region, .. } => Some(region),
        }
    }
}

/// A consumer of a Kinesis stream as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerTarget {
    Name(String),
    /// `arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/app:1525898737`: the number is
    /// the moment of its registration in seconds.
    Arn(String),
}

impl ConsumerTarget {
    /// # Errors
    /// `Usage`, naming the value; also for the ARN of another stream's consumer.
    pub fn parse(text: &str, stream: &KinesisTarget) -> Result<Self> {
        if !text.starts_with("arn:") {
            return match is_stream_name(text) {
                true => Ok(Self::Name(text.to_owned())),
                false => Err(Error::usage(format!(
                    "fan_out {text:?} is not the name of a consumer: \
                     it must be 1 to 128 letters, digits, '_', '-' or '.'"
                ))),
            };
        }
        let owner = text.split_once("/consumer/").filter(|(_, consumer)| is_registered_name(consumer));
        let owner = owner.and_then(|(owner, _)| KinesisTarget::read_arn(owner)).ok_or_else(|| {
            Error::usage(format!(
                "fan_out {text:?} is not the ARN of a consumer, such as \
                 \"arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/app:1525898737\""
            ))
        })?;
        if owner.name() != stream.name() || stream.arn().is_some() && owner.arn() != stream.arn() {
            let name = stream.name();
            return Err(Error::usage(format!(
                "fan_out {text:?} is a consumer of another stream than {name}"
            )));
        }
        Ok(Self::Arn(text.to_owned()))
    }

    /// As the user named it.
    pub fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Arn(text) => text,
        }
    }
}

/// The region and the resource of an ARN of this service.
fn parts_of<'a>(text: &'a str, service: &str) -> Option<(&'a str, &'a str)> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, of, region, account, resource] = parts[..] else { return None };
    let account_ok = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let good = of == service && partition.starts_with("aws") && account_ok;
    (good && super::check_region(region).is_ok()).then_some((region, resource))
}

/// "Between 3 and 255 characters, containing only letters, numbers, underscores, hyphens, and
/// periods" (naming rules of the DynamoDB developer guide).
fn is_table_name(text: &str) -> bool {
    (3..=255).contains(&text.len()) && text.bytes().all(is_name_byte)
}

/// `[a-zA-Z0-9_.-]+`, 1 to 128 characters (API reference of Kinesis, `StreamName`).
fn is_stream_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(is_name_byte)
}

/// A consumer's name, a colon and the second of its registration.
fn is_registered_name(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.rsplit_once(':').is_some_and(|(name, second)| is_stream_name(name) && is_number(second))
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn bad_name(text: &str) -> Error {
    Error::usage(format!(
        "{text:?} is not the name of a DynamoDB table: it must be 3 to 255 letters, digits, '_', '-' or '.'"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders";

    #[test]
    fn names_and_arns_are_told_apart() {
        assert_eq!(Target::parse("or.ders_-9").unwrap(), Target::Table("or.ders_-9".into()));
        let Target::TableArn(table) = Target::parse(TABLE).unwrap() else { panic!() };
        assert_eq!((table.region.as_str(), table.table.as_str()), ("eu-west-1", "orders"));
        let text = format!("{TABLE}/stream/2026-01-01T00:00:00.000");
        let Target::Stream(stream) = Target::parse(&text).unwrap() else { panic!() };
        assert_eq!(stream.label.as_deref(), Some("2026-01-01T00:00:00.000"));
        assert_eq!((stream.text.as_str(), stream.table_arn()), (text.as_str(), TABLE));
        assert!(Target::parse("arn:aws-us-gov:dynamodb:us-gov-east-1:123456789012:table/abc").is_ok());
    }

    #[test]
    fn kinesis_streams_have_names_and_arns() {
        assert_eq!(KinesisTarget::parse("c").unwrap(), KinesisTarget::Name("c".into()));
        let text = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks";
        let arn = KinesisTarget::parse(text).unwrap();
        assert_eq!((arn.name(), arn.region(), arn.arn()), ("clicks", Some("eu-west-1"), Some(text)));
        let consumer = format!("{text}/consumer/me:1");
        for text in ["", "a b", "a/b", &"x".repeat(129), "arn:aws:kinesis", TABLE, &consumer] {
            let error = KinesisTarget::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn consumers_have_names_and_arns_of_their_stream() {
        let stream = KinesisTarget::parse("clicks").unwrap();
        assert_eq!(ConsumerTarget::parse("app", &stream).unwrap(), ConsumerTarget::Name("app".into()));
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/clicks/consumer/app:1525898737";
        assert_eq!(ConsumerTarget::parse(arn, &stream).unwrap().text(), arn);
        let other = "arn:aws:kinesis:us-east-1:123456789012:stream/clicks";
        let bad = ["", "a b", "a:1", "arn:aws:kinesis", &arn[..arn.len() - 11], "arn:/consumer/a:1"];
        let cases = bad.map(|text| (text, "clicks")).into_iter().chain([(arn, "views"), (arn, other)]);
        for (text, stream) in cases {
            let stream = KinesisTarget::parse(stream).unwrap();
            let error = ConsumerTarget::parse(text, &stream).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.message().contains("fan_out") && error.message().contains(text), "{error}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_its_value() {
        let long = "x".repeat(256);
        let bad = [
            "",
            "ab",
            "has space",
            "größe",
            &long,
            "arn:",
            "arn:aws:dynamodb",
            "arn:aws:s3:eu-west-1:123456789012:table/orders",
            "arn:aws:dynamodb::123456789012:table/orders",
            "arn:aws:dynamodb:eu-west-1:12345:table/orders",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/index/by-date",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/",
            "arn:aws:dynamodb:eu-west-1:123456789012:table/",
            "arn:aws:dynamodb:eu/west:123456789012:table/orders",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        ];
        for text in bad {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.message().contains(text), "{error}");
        }
    }
}
