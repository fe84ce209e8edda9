//! ConditionExpression: a write that happens only if the item is as expected.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use base64_simd::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{AwsError, Result};
use crate::item::Attributes;
use crate::value::normal;

/// A condition as a request carries it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Condition {
    #[serde(rename = "ConditionExpression")]
    pub expression: Option<String>,
    #[serde(rename = "ExpressionAttributeNames")]
    pub names: BTreeMap<String, String>,
    #[serde(rename = "ExpressionAttributeValues")]
    pub values: Attributes,
}

impl Condition {
    pub fn new(expression: &str) -> Self {
        Self { expression: Some(expression.to_owned()), ..Self::default() }
    }

    pub fn value(mut self, placeholder: &str, typed: Value) -> Self {
        self.values.insert(placeholder.to_owned(), typed);
        self
    }

    pub fn name(mut self, placeholder: &str, name: &str) -> Self {
        self.names.insert(placeholder.to_owned(), name.to_owned());
        self
    }

    /// # Errors
    /// `ConditionalCheckFailedException` where the item is otherwise; `ValidationException` for an
    /// expression that does not parse, or whose placeholders are not those defined (documented).
    pub(crate) fn check(&self, item: Option<&Attributes>) -> Result<()> {
        let Some(expression) = &self.expression else { return self.all_used(&BTreeSet::new()) };
        let mut parser =
            Parser { words: words(expression)?, at: 0, depth: 0, given: self, used: BTreeSet::new() };
        let test = parser.any()?;
        if let Some(word) = parser.words.get(parser.at) {
            return Err(syntax(word));
        }
        self.all_used(&parser.used)?;
        if test.holds(item) {
            return Ok(());
        }
        Err(AwsError::new("ConditionalCheckFailedException", 400, "The conditional request failed"))
    }

    fn all_used(&self, used: &BTreeSet<String>) -> Result<()> {
        for (member, mut keys) in [("Names", keys(&self.names)), ("Values", keys(&self.values))] {
            if let Some(idle) = keys.find(|key| !used.contains(*key)) {
                return Err(AwsError::validation(format!(
                    "Value provided in ExpressionAttribute{member} unused in expressions: keys: {{{idle}}}"
                )));
            }
        }
        Ok(())
    }
}

fn keys<'a, V>(map: &'a BTreeMap<String, V>) -> Box<dyn Iterator<Item = &'a String> + 'a> {
    Box::new(map.keys())
}

#[derive(Debug)]
enum Test {
    Any(Vec<Test>),
    All(Vec<Test>),
    Not(Box<Test>),
    Exists(String),
    Compare(Operand, String, Operand),
}

#[derive(Debug)]
enum Operand {
    Attribute(String),
    Value(Value),
}

impl Test {
    fn holds(&self, item: Option<&Attributes>) -> bool {
        match self {
            Self::Any(tests) => tests.iter().any(|test| test.holds(item)),
            Self::All(tests) => tests.iter().all(|test| test.holds(item)),
            Self::Not(test) => !test.holds(item),
            Self::Exists(name) => item.is_some_and(|item| item.contains_key(name)),
            Self::Compare(left, comparator, right) => {
                let pair = left.of(item).zip(right.of(item));
                pair.is_some_and(|(left, right)| compares(left, comparator, right))
            }
        }
    }
}

impl Operand {
    fn of<'a>(&'a self, item: Option<&'a Attributes>) -> Option<&'a Value> {
        match self {
            Self::Attribute(name) => item?.get(name),
            Self::Value(value) => Some(value),
        }
    }
}

/// Documented: values of different types are unequal and have no order.
fn compares(left: &Value, comparator: &str, right: &Value) -> bool {
    match comparator {
        "=" => left == right,
        "<>" => left != right,
        _ => match (order(left, right), comparator) {
            (Some(order), "<") => order.is_lt(),
            (Some(order), "<=") => order.is_le(),
            (Some(order), ">") => order.is_gt(),
            (Some(order), _) => order.is_ge(),
            (None, _) => false,
        },
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    let text = |value: &Value, kind: &str| value.get(kind).and_then(Value::as_str).map(str::to_owned);
    let both = |kind: &str| text(left, kind).zip(text(right, kind));
    let bytes = |base64: &str| STANDARD.decode_to_vec(base64).unwrap_or_default();
    both("S")
        .map(|(left, right)| left.cmp(&right))
        .or_else(|| both("N").map(|(left, right)| number_order(&left, &right)))
        .or_else(|| both("B").map(|(left, right)| bytes(&left).cmp(&bytes(&right))))
}

/// Numbers are in plain decimal without idle zeros.
fn number_order(left: &str, right: &str) -> Ordering {
    let magnitude = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        (whole.len(), whole.to_owned(), fraction.to_owned())
    };
    match (left.strip_prefix('-'), right.strip_prefix('-')) {
        (None, None) => magnitude(left).cmp(&magnitude(right)),
        (Some(left), Some(right)) => magnitude(right).cmp(&magnitude(left)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

/// So deep may parentheses and NOTs stand in each other. Assumed; more would exhaust the stack.
const DEPTH: usize = 100;

struct Parser<'a> {
    words: Vec<String>,
    at: usize,
    depth: usize,
    given: &'a Condition,
    used: BTreeSet<String>,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Test> {
        let mut tests = vec![self.all()?];
        while self.takes("OR") {
            tests.push(self.all()?);
        }
        Ok(Test::Any(tests))
    }

    fn all(&mut self) -> Result<Test> {
        let mut tests = vec![self.one()?];
        while self.takes("AND") {
            tests.push(self.one()?);
        }
        Ok(Test::All(tests))
    }

    fn one(&mut self) -> Result<Test> {
        if self.takes("NOT") {
            return Ok(Test::Not(Box::new(self.deeper(Self::one)?)));
        }
        if self.takes("(") {
            let inner = self.deeper(Self::any)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let word = self.next()?;
        if self.takes("(") {
            return self.function(&word);
        }
        let left = self.operand(word)?;
        let comparator = self.next()?;
        if !["=", "<>", "<", "<=", ">", ">="].contains(&&*comparator) {
            return Err(syntax(&comparator));
        }
        let right = self.next()?;
        Ok(Test::Compare(left, comparator, self.operand(right)?))
    }

    fn deeper(&mut self, inner: fn(&mut Self) -> Result<Test>) -> Result<Test> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(invalid("The expression is nested too deeply;"));
        }
        let test = inner(self)?;
        self.depth -= 1;
        Ok(test)
    }

    fn function(&mut self, name: &str) -> Result<Test> {
        let argument = self.next()?;
        let Operand::Attribute(attribute) = self.operand(argument.clone())? else {
            return Err(syntax(&argument));
        };
        self.expect(")")?;
        match name {
            "attribute_exists" => Ok(Test::Exists(attribute)),
            "attribute_not_exists" => Ok(Test::Not(Box::new(Test::Exists(attribute)))),
            _ => Err(AwsError::validation(format!("the twin does not model the function {name}"))),
        }
    }

    fn operand(&mut self, word: String) -> Result<Operand> {
        let undefined = |member: &str| {
            invalid(&format!("An expression attribute {member} used in expression is not defined; {word}"))
        };
        if word.starts_with('#') {
            let name = self.given.names.get(&word).cloned().ok_or_else(|| undefined("name"))?;
            self.used.insert(word);
            return Ok(Operand::Attribute(name));
        }
        if word.starts_with(':') {
            let value = self.given.values.get(&word).ok_or_else(|| undefined("value"))?;
            let value = normal(value)?;
            self.used.insert(word);
            return Ok(Operand::Value(value));
        }
        let plain = word.starts_with(|c: char| c.is_ascii_alphabetic());
        if plain { Ok(Operand::Attribute(word)) } else { Err(syntax(&word)) }
    }

    fn next(&mut self) -> Result<String> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word.ok_or_else(|| syntax("<EOF>"))
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let found = self.words.get(self.at).is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, keyword: &str) -> Result<()> {
        if self.takes(keyword) {
            Ok(())
        } else {
            Err(syntax(self.words.get(self.at).map_or("<EOF>", |word| word)))
        }
    }
}

/// Names, placeholders and signs. Documented: at most 4 KB.
fn words(expression: &str) -> Result<Vec<String>> {
    if expression.trim().is_empty() || expression.len() > 4096 {
        return Err(invalid("The expression can not be empty or longer than 4096 bytes;"));
    }
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for c in expression.chars() {
        let kind = if c.is_ascii_alphanumeric() || "_#:".contains(c) {
            'a'
        } else if "<>=".contains(c) {
            '='
        } else {
            c
        };
        let last = words.last_mut().filter(|last| {
            joins
                && last.chars().next().is_some_and(|first| {
                    matches!((kind, "<>=".contains(first)), ('a', false) | ('=', true))
                        && !"(),".contains(first)
                })
        });
        match (last, c.is_whitespace()) {
            (_, true) => {}
            (Some(last), false) => last.push(c),
            (None, false) => words.push(c.to_string()),
        }
        joins = !c.is_whitespace();
    }
    Ok(words)
}

fn syntax(word: &str) -> AwsError {
    invalid(&format!("Syntax error; token: \"{word}\""))
}

fn invalid(reason: &str) -> AwsError {
    AwsError::validation(format!("Invalid ConditionExpression: {reason}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(condition: &Condition) -> String {
        let item = json!({"id": {"S": "a"}, "n": {"N": "10"}, "b": {"B": "/w=="}});
        let item: Attributes = serde_json::from_value(item).unwrap();
        condition.check(Some(&item)).map_or_else(|error| error.code, |()| "holds".to_owned())
    }

    #[test]
    fn conditions_hold_or_do_not() {
        let with = |text: &str| {
            let all =
                [(":nine", json!({"N": "9"})), (":ten", json!({"N": "1e1"})), (":low", json!({"B": "AA=="}))];
            let used = all.into_iter().filter(|(name, _)| text.contains(name));
            used.fold(Condition::new(text), |condition, (name, value)| condition.value(name, value))
        };
        for holds in [
            "attribute_exists(id)",
            "attribute_not_exists(x) AND n=:ten",
            "n > :nine and NOT n < :nine",
            "x = :nine OR (n >= :ten and b > :low)",
            "n <> :low",
            "not n < :low",
        ] {
            assert_eq!(code(&with(holds)), "holds", "{holds}");
        }
        for fails in ["attribute_not_exists(id)", "n < :nine", "x <> :nine", "n = :low", "id > :nine"] {
            assert_eq!(code(&with(fails)), "ConditionalCheckFailedException", "{fails}");
        }
        assert!(Condition::new("attribute_not_exists(id)").check(None).is_ok());
        assert!(Condition::new("attribute_exists(id)").check(None).is_err());
    }

    #[test]
    fn other_expressions_are_refused() {
        for bad in [
            "",
            "id",
            "id =",
            "= :v",
            "id == :v",
            "(id = id",
            "begins_with(id)",
            "id = id id",
            ":v = id",
            "#n = id",
        ] {
            assert_eq!(code(&Condition::new(bad)), "ValidationException", "{bad}");
        }
        let idle = Condition::new("attribute_exists(id)");
        assert_eq!(code(&idle.clone().value(":v", json!({"N": "1"}))), "ValidationException");
        assert_eq!(code(&idle.name("#n", "id")), "ValidationException");
        assert_eq!(code(&Condition::default().name("#n", "id")), "ValidationException");
        let deep = "(".repeat(4000);
        assert_eq!(code(&Condition::new(&deep)), "ValidationException");
    }

    #[test]
    fn numbers_have_their_order() {
        let sorted = ["-10", "-2.5", "-2", "-0.1", "0", "0.05", "0.5", "2", "2.25", "2.5", "10", "100"];
        assert!(sorted.is_sorted_by(|a, b| number_order(a, b).is_lt()));
    }
}
