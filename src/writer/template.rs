//! `"{customer}-{id}"`: a partition key made of columns and of text between them.

use crate::error::{Error, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// The value of the column with this name.
    Column(String),
}

/// `{{` and `}}` stand for the braces themselves.
///
/// # Errors
/// `Usage`, naming the template.
pub(super) fn parse(template: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let brace = rest.find(['{', '}']).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(brace);
        add_text(&mut parts, text);
        rest = match (behind.strip_prefix("{{"), behind.strip_prefix("}}"), behind.strip_prefix('{')) {
            (Some(rest), ..) => {
                add_text(&mut parts, "{");
                rest
            }
            (_, Some(rest), _) => {
                add_text(&mut parts, "}");
                rest
            }
            (.., Some(named)) => {
                let (name, rest) = named.split_once('}').ok_or_else(|| bad(template))?;
                if name.is_empty() || name.contains('{') {
                    return Err(bad(template));
                }
                parts.push(Part::Column(name.to_owned()));
                rest
            }
            _ if behind.is_empty() => behind,
            _ => return Err(bad(template)),
        };
    }
    match parts.iter().any(|part| matches!(part, Part::Column(_))) {
        true => Ok(parts),
        false => Err(bad(template)),
    }
}

fn add_text(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        _ if text.is_empty() => {}
        Some(Part::Text(before)) => before.push_str(text),
        _ => parts.push(Part::Text(text.to_owned())),
    }
}

fn bad(template: &str) -> Error {
    Error::usage(format!(
        "partition_key={template:?} is not a template: write columns in braces, such as \"{{customer}}-{{id}}\", \
         and {{{{ or }}}} for a brace itself"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_the_text_between_them() {
        let text = |text: &str| Part::Text(text.into());
        let column = |name: &str| Part::Column(name.into());
        let cases = [
            ("{a}", vec![column("a")]),
            ("{customer}-{id}", vec![column("customer"), text("-"), column("id")]),
            ("x{{{a b}}}y", vec![text("x{"), column("a b"), text("}y")]),
            ("{ä}{b}", vec![column("ä"), column("b")]),
        ];
        for (template, parts) in cases {
            assert_eq!(parse(template).unwrap(), parts, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_named() {
        for bad in ["", "plain", "{}", "{a", "a}", "{a}}", "{{a}}", "{a{b}}"] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.message().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
