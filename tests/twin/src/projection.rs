//! ProjectionExpression: which attributes of an item a scan gives back.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{AwsError, Result};
use crate::item::{Attributes, Item, attributes, text};

/// Names of attributes at the top of an item.
#[derive(Debug, PartialEq)]
pub(crate) struct Projection(BTreeSet<String>);

impl Projection {
    /// # Errors
    /// `ValidationException` for an empty expression, a name twice, a placeholder that is not
    /// defined or not used (documented), and for a path into an attribute (not modelled).
    pub(crate) fn parse(expression: &str, names: &BTreeMap<String, String>) -> Result<Self> {
        if expression.trim().is_empty() {
            return Err(invalid("The expression can not be empty;"));
        }
        let (mut wanted, mut used) = (BTreeSet::new(), BTreeSet::new());
        for word in expression.split(',').map(str::trim) {
            let name = if word.starts_with('#') {
                used.insert(word);
                names.get(word).cloned().ok_or_else(|| undefined(word))?
            } else {
                plain(word)?.to_owned()
            };
            if !wanted.insert(name.clone()) {
                return Err(invalid(&format!(
                    "Two document paths overlap with each other; must remove or rewrite one of these paths; \
                     path one: [{name}], path two: [{name}]"
                )));
            }
        }
        match names.keys().find(|name| !used.contains(name.as_str())) {
            Some(name) => Err(AwsError::validation(format!(
                "Value provided in ExpressionAttributeNames unused in expressions: keys: {{{name}}}"
            ))),
            None => Ok(Self(wanted)),
        }
    }

    /// The item's text with only the wanted attributes; `{}` when it has none of them (assumed).
    pub(crate) fn apply(&self, item: &Item) -> Result<String> {
        let mut all: Attributes = attributes(&item.json);
        all.retain(|name, _| self.0.contains(name));
        text(&all)
    }
}

/// Documented: a letter, then letters, digits and underscores; any other name needs a placeholder.
fn plain(word: &str) -> Result<&str> {
    if word.contains(['.', '[']) {
        return Err(AwsError::validation(format!("the twin does not model the path {word}")));
    }
    let sound = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if sound { Ok(word) } else { Err(invalid(&format!("Syntax error; token: \"{word}\""))) }
}

fn undefined(placeholder: &str) -> AwsError {
    invalid(&format!(
        "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
    ))
}

fn invalid(reason: &str) -> AwsError {
    AwsError::validation(format!("Invalid ProjectionExpression: {reason}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(expression: &str, names: &[(&str, &str)]) -> Result<Projection> {
        let names = names.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect();
        Projection::parse(expression, &names)
    }

    #[test]
    fn names_and_placeholders_are_resolved() {
        let found = parse("id, #a,n_1", &[("#a", "odd name.x")]).unwrap();
        assert_eq!(found.0, ["id", "odd name.x", "n_1"].map(str::to_owned).into());
    }

    #[test]
    fn other_expressions_are_refused() {
        for bad in ["", "id,", "id,id", "#a", "m.x", "l[0]", "odd name", "1st"] {
            assert_eq!(parse(bad, &[]).unwrap_err().code, "ValidationException", "{bad}");
        }
        assert!(parse("id", &[("#a", "b")]).unwrap_err().message.contains("unused"));
        assert!(parse("id,#a", &[("#a", "id")]).unwrap_err().message.contains("overlap"));
    }
}
