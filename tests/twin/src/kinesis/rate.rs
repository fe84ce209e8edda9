//! How fast a shard may be read and written.

use crate::clock::Millis;

/// A token bucket in virtual time that holds one second's worth.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bucket {
    /// The level and when it was so; `None` before the first use, which finds it full.
    level: Option<(f64, Millis)>,
}

impl Bucket {
    fn fill(&mut self, now: Millis, rate: f64) -> f64 {
        let (level, since) = self.level.unwrap_or((rate, now));
        let level = (level + (now - since) as f64 / 1000.0 * rate).min(rate);
        self.level = Some((level, now));
        level
    }

    /// Takes `amount` if it is there; without a rate everything is.
    pub(crate) fn take(&mut self, now: Millis, rate: Option<f64>, amount: f64) -> bool {
        let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return true };
        let level = self.fill(now, rate);
        let enough = level >= amount.min(rate);
        if enough {
            self.level = Some((level - amount, now));
        }
        enough
    }

    /// Whether something is left; what is taken is known only afterwards (see `spend`).
    pub(crate) fn has_some(&mut self, now: Millis, rate: Option<f64>) -> bool {
        rate.filter(|rate| *rate > 0.0).is_none_or(|rate| self.fill(now, rate) > 0.0)
    }

    /// Takes `amount`, also beyond what is there. What exceeds a second's worth forfeits the
    /// saved one, so that 10 MiB at 2 MiB per second block for 5 seconds (documented).
    pub(crate) fn spend(&mut self, now: Millis, rate: Option<f64>, amount: f64) {
        let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return };
        let level = self.fill(now, rate);
        let saved = if amount > rate { level.min(0.0) } else { level };
        self.level = Some((saved - amount, now));
    }
}
