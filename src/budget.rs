//! Budgets as arithmetic: bytes of memory, pauses after failures, the pace of one shard.

use std::time::Duration;

use crate::broken;

/// Bytes that pages in flight, rows being gathered and batches waiting may hold together.
#[derive(Debug)]
pub struct Memory {
    limit: usize,
    in_flight: usize,
    gathering: usize,
    waiting: usize,
    peak: usize,
}

impl Memory {
    pub fn new(limit: usize) -> Self {
        Self { limit, in_flight: 0, gathering: 0, waiting: 0, peak: 0 }
    }

    /// Sets a page's largest size aside, before it is asked for. One page may always proceed.
    pub fn reserve(&mut self, page: usize) -> bool {
        let granted = broken::is("memory-without-limit")
            || self.in_flight == 0 && self.waiting == 0
            || self.used() + page <= self.limit;
        if granted {
            self.in_flight += page;
            self.peak = self.peak.max(self.used());
        }
        granted
    }

    pub fn release(&mut self, page: usize) {
        self.in_flight =
            self.in_flight.saturating_sub(if broken::is("memory-not-released") { 0 } else { page });
    }

    pub fn set_gathering(&mut self, bytes: usize) {
        self.gathering = bytes;
        self.peak = self.peak.max(self.used());
    }

    pub fn queue(&mut self, batch: usize) {
        self.waiting += batch;
    }

    /// A batch that was handed out is the consumer's memory.
    pub fn hand_out(&mut self, batch: usize) {
        self.waiting = self.waiting.saturating_sub(batch);
    }

    pub fn used(&self) -> usize {
        self.in_flight + self.gathering + self.waiting
    }

    pub fn peak(&self) -> usize {
        self.peak
    }
}

/// Capped exponential pauses with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    failures: u32,
    first: Duration,
    cap: Duration,
}

impl Backoff {
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self { failures: 0, first, cap }
    }

    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The pause before the next attempt. `jitter` is in 0..1.
    pub fn fail(&mut self, jitter: f64) -> Duration {
        let ceiling = self.first.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(0.1 + 0.9 * jitter)
    }
}

/// How often one shard may be read: at will, until the service objects.
///
/// Each throttle doubles the least interval between requests; each success takes a tenth off it.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    interval: Duration,
}

impl Pace {
    const FIRST: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(5);
    const FREE: Duration = Duration::from_millis(10);

    pub fn throttle(&mut self) {
        self.interval = (self.interval * 2).clamp(Self::FIRST, Self::CAP);
    }

    pub fn succeed(&mut self) {
        self.interval = self.interval.mul_f64(0.9);
        if self.interval < Self::FREE {
            self.interval = Duration::ZERO;
        }
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }
}

/// A small deterministic generator for jitter (xorshift64*): the core has no randomness of its own.
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number in 0..1.
    pub fn draw(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_page_may_always_proceed_and_no_second_beyond_the_limit() {
        let mut memory = Memory::new(10);
        assert!(memory.reserve(20));
        assert!(!memory.reserve(1));
        memory.release(20);
        memory.queue(8);
        assert!(!memory.reserve(4));
        memory.hand_out(8);
        assert!(memory.reserve(4));
    }

    #[test]
    fn pauses_grow_to_the_cap_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let pauses: Vec<_> = (0..7).map(|_| backoff.fail(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.succeed();
        assert_eq!(backoff.fail(1.0).as_millis(), 100);
    }

    #[test]
    fn jitter_stays_in_its_range() {
        let mut jitter = Jitter::new(7);
        assert!((0..1000).map(|_| jitter.draw()).all(|drawn| (0.0..1.0).contains(&drawn)));
    }

    #[test]
    fn a_throttled_shard_slows_down_and_recovers() {
        let mut pace = Pace::default();
        pace.throttle();
        pace.throttle();
        assert_eq!(pace.interval(), Duration::from_millis(200));
        (0..40).for_each(|_| pace.succeed());
        assert_eq!(pace.interval(), Duration::ZERO);
    }
}
