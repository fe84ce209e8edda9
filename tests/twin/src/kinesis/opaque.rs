//! Texts that only the twin reads: iterators and tokens that hold everything, so that the
//! service keeps no state.

use base64_simd::STANDARD;

use crate::random::place;

/// Packs parts without line breaks; the text looks like base64, as the service's does (recorded).
pub(crate) fn seal(parts: &[&str]) -> String {
    let plain = parts.join("\n");
    STANDARD.encode_to_string(format!("{:016x}{plain}", place(&plain)))
}

/// The parts, if the text was sealed here and nobody altered it.
pub(crate) fn open(text: &str) -> Option<Vec<String>> {
    let sealed = String::from_utf8(STANDARD.decode_to_vec(text).ok()?).ok()?;
    let (check, plain) = sealed.split_at_checked(16)?;
    let known = u64::from_str_radix(check, 16).ok()? == place(plain);
    known.then(|| plain.split('\n').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_opens() {
        let sealed = seal(&["orders", "", "7"]);
        assert_eq!(open(&sealed), Some(vec!["orders".to_owned(), String::new(), "7".to_owned()]));
        let mut altered = sealed.clone();
        altered.replace_range(24..25, if &sealed[24..25] == "A" { "B" } else { "A" });
        for bad in ["", "x", "é", "AAAA", &altered, &sealed[4..]] {
            assert_eq!(open(bad), None, "{bad}");
        }
    }
}
