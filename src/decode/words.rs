//! Types in words: as a user declares them, as a checkpoint keeps them.

use arrow_schema::{DataType, Field, TimeUnit};

use crate::error::{Error, Result};

use super::kind::{Fixed, JSON_MARK, Kind, NUMBER_MARK, Width};

const KNOWN: &str = "utf8 (string), binary, bool, int16, int32, int64, float32, float64, decimal128(p,s), number, \
                     timestamp(s|ms|us|ns), json, list<…>, set<…>, struct<name:…,…>";
/// As deep as DynamoDB nests, and a little more.
const MAX_DEPTH: usize = 40;

impl Kind {
    /// # Errors
    /// `Usage` when the words name no type; it lists those there are.
    pub(super) fn parse(words: &str) -> Result<Self> {
        let mut reader = Reader { text: words, at: 0 };
        let kind = reader.kind(0);
        reader.space();
        kind.filter(|_| reader.at == words.len())
            .ok_or_else(|| Error::usage(format!("{words:?} is not a column type; the types are {KNOWN}")))
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, expected: char) -> Option<()> {
        self.space();
        self.rest().starts_with(expected).then(|| self.at += expected.len_utf8())
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let rest = self.rest();
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn kind(&mut self, depth: usize) -> Option<Kind> {
        if depth > MAX_DEPTH {
            return None;
        }
        Some(match self.word() {
            "utf8" | "string" => Kind::Text,
            "binary" => Kind::Binary,
            "bool" => Kind::Bool,
            "json" => Kind::Json,
            "int16" => Kind::Fixed(Fixed::Int16),
            "int32" => Kind::Fixed(Fixed::Int32),
            "int64" => Kind::Number(Width::Int),
            "float32" => Kind::Fixed(Fixed::Float32),
            "float64" => Kind::Fixed(Fixed::Float64),
            "number" => Kind::Number(Width::Text),
            "decimal128" => self.decimal()?,
            "timestamp" => self.timestamp()?,
            "list" => Kind::List(Box::new(self.element(depth)?)),
            "set" => Kind::Set(Box::new(self.element(depth).filter(may_be_in_set)?)),
            "struct" => self.fields(depth)?,
            _ => return None,
        })
    }

    fn element(&mut self, depth: usize) -> Option<Kind> {
        self.take('<')?;
        let kind = self.kind(depth + 1)?;
        self.take('>')?;
        Some(kind)
    }

    fn fields(&mut self, depth: usize) -> Option<Kind> {
        let mut fields: Vec<(String, Kind)> = Vec::new();
        self.take('<')?;
        loop {
            let name = self.name()?;
            self.take(':')?;
            if fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            fields.push((name, self.kind(depth + 1)?));
            if self.take(',').is_none() {
                self.take('>')?;
                return Some(Kind::Struct(fields));
            }
        }
    }

    /// A bare word, or a JSON string for any other name.
    fn name(&mut self) -> Option<String> {
        self.space();
        if !self.rest().starts_with('"') {
            let word = self.word();
            return (!word.is_empty()).then(|| word.to_owned());
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        let name = stream.next()?.ok()?;
        self.at += stream.byte_offset();
        Some(name)
    }

    fn decimal(&mut self) -> Option<Kind> {
        self.take('(')?;
        let precision: u8 = self.word().parse().ok()?;
        self.take(',')?;
        let scale: u8 = self.word().parse().ok()?;
        self.take(')')?;
        decimal(precision, i8::try_from(scale).ok()?)
    }

    fn timestamp(&mut self) -> Option<Kind> {
        if self.take('(').is_none() {
            return Some(Kind::Fixed(Fixed::Timestamp(TimeUnit::Microsecond)));
        }
        let unit = match self.word() {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            _ => return None,
        };
        // The time zone of every timestamp; it may be said.
        if self.take(',').is_some() && self.word() != "UTC" {
            return None;
        }
        self.take(')')?;
        Some(Kind::Fixed(Fixed::Timestamp(unit)))
    }
}

fn decimal(precision: u8, scale: i8) -> Option<Kind> {
    let valid = (1..=38).contains(&precision) && (0..=precision as i8).contains(&scale);
    valid.then_some(match (precision, scale) {
        (38, 9) => Kind::Number(Width::Decimal),
        _ => Kind::Fixed(Fixed::Decimal { precision, scale }),
    })
}

fn may_be_in_set(kind: &Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Binary | Kind::Number(_) | Kind::Fixed(_))
}

/// The words for the type of an Arrow field, for a schema that is given as an Arrow schema.
///
/// # Errors
/// `Usage`, naming the field, when no column can have its type.
pub fn type_words(field: &Field) -> Result<String> {
    match kind_of(field) {
        Some(kind) => Ok(kind.to_string()),
        None => Err(Error::usage(format!(
            "the column {:?} cannot have the type {}; the types are {KNOWN}",
            field.name(),
            field.data_type()
        ))),
    }
}

fn kind_of(field: &Field) -> Option<Kind> {
    let marked = |name: &str| field.metadata().get(name).is_some_and(|value| value == "true");
    Some(match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let extension = field.metadata().get("ARROW:extension:name").map(String::as_str);
            match () {
                () if marked(JSON_MARK) || extension == Some("arrow.json") => Kind::Json,
                () if marked(NUMBER_MARK) => Kind::Number(Width::Text),
                () => Kind::Text,
            }
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Kind::Binary,
        DataType::Boolean => Kind::Bool,
        DataType::Int16 => Kind::Fixed(Fixed::Int16),
        DataType::Int32 => Kind::Fixed(Fixed::Int32),
        DataType::Int64 => Kind::Number(Width::Int),
        DataType::Float32 => Kind::Fixed(Fixed::Float32),
        DataType::Float64 => Kind::Fixed(Fixed::Float64),
        DataType::Decimal128(precision, scale) => decimal(*precision, *scale)?,
        DataType::Timestamp(unit, zone) if zone.as_deref().is_none_or(|zone| zone == "UTC") => {
            Kind::Fixed(Fixed::Timestamp(*unit))
        }
        DataType::List(element) | DataType::LargeList(element) => Kind::List(Box::new(kind_of(element)?)),
        DataType::Struct(fields) if !fields.is_empty() => Kind::Struct(
            fields
                .iter()
                .map(|field| Some((field.name().clone(), kind_of(field)?)))
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        let words = [
            "utf8",
            "binary",
            "bool",
            "json",
            "int16",
            "int32",
            "int64",
            "float32",
            "float64",
            "number",
            "decimal128(38,9)",
            "decimal128(10,2)",
            "timestamp(s)",
            "timestamp(ns)",
            "list<list<utf8>>",
            "set<number>",
            r#"struct<"a":int64,"b \",<>":list<struct<"c":bool>>>"#,
        ];
        for word in words {
            assert_eq!(Kind::parse(word).unwrap().to_string(), word);
        }
        assert_eq!(
            Kind::parse(" struct< a : string , b:timestamp > ").unwrap().to_string(),
            r#"struct<"a":utf8,"b":timestamp(us)>"#
        );
    }

    #[test]
    fn other_words_are_refused() {
        let deep = format!("{}utf8{}", "list<".repeat(50_000), ">".repeat(50_000));
        for word in [
            "",
            "text",
            "int64x",
            "int64 int64",
            "list",
            "list<>",
            "list<utf8",
            "struct<>",
            "struct<a>",
            "struct<a:utf8,a:utf8>",
            "decimal128(39,0)",
            "decimal128(3,4)",
            "decimal128(3)",
            "timestamp(h)",
            "set<bool>",
            "unknown",
            &deep,
        ] {
            let error = Kind::parse(word).unwrap_err();
            assert!(error.message().contains("is not a column type"), "{word}");
        }
    }

    #[test]
    fn arrow_types_have_words() {
        let options = super::super::DecodeOptions::default();
        for word in [
            "utf8",
            "json",
            "number",
            "int64",
            "decimal128(5,1)",
            r#"struct<"a":list<json>>"#,
            "timestamp(ms)",
        ] {
            let field = Kind::parse(word).unwrap().field("x", true, &options);
            assert_eq!(type_words(&field).unwrap(), word);
        }
        let error = type_words(&Field::new("x", DataType::Date32, true)).unwrap_err();
        assert!(
            error.message().contains("\"x\"") && error.message().contains("Date32"),
            "{}",
            error.message()
        );
    }
}
