//! How often a limited operation may be called: a token bucket that learns from throttling.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One operation's rate, shared by everything in this process that calls it in one place.
///
/// Pure: the time is given, as the time since any fixed moment. Halved when the service asks
/// for fewer requests, growing back by a fixed step with each success.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Calls per second at present.
    rate: f64,
    limit: f64,
    /// Negative when calls are waiting for theirs.
    tokens: f64,
    at: Duration,
    halved: Option<Duration>,
}

impl Budget {
    const LEAST: f64 = 0.5;
    const STEP: f64 = 0.25;
    /// Answers that were under way when the rate was halved say nothing about the new one.
    const QUIET: Duration = Duration::from_secs(1);

    /// At most `limit` calls per second, and as many at once after a rest of a second.
    pub fn new(limit: f64) -> Self {
        Self { rate: limit, limit, tokens: limit, at: Duration::ZERO, halved: None }
    }

    /// Takes one call; it may be made after the returned time. Earlier callers go first.
    pub fn take(&mut self, now: Duration) -> Duration {
        self.refill(now);
        self.tokens -= 1.0;
        Duration::try_from_secs_f64(-self.tokens / self.rate).unwrap_or(Duration::ZERO)
    }

    pub fn throttled(&mut self, now: Duration) {
        self.refill(now);
        if self.halved.is_some_and(|halved| now < halved + Self::QUIET) {
            return;
        }
        self.halved = Some(now);
        self.rate = (self.rate / 2.0).max(Self::LEAST);
        self.tokens = self.tokens.min(0.0);
    }

    pub fn succeeded(&mut self, now: Duration) {
        self.refill(now);
        self.rate = (self.rate + Self::STEP).min(self.limit);
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.rate.max(1.0));
    }
}

/// A budget with a clock: waits before a call and hears how it went.
#[derive(Debug, Clone)]
pub struct SharedBudget(Arc<Mutex<Budget>>);

impl SharedBudget {
    /// The budget of this process for one operation in one place, the same for every caller.
    pub fn of(operation: &str, region: &str, endpoint: &str, limit: f64) -> Self {
        type Budgets = HashMap<[String; 3], SharedBudget>;
        static BUDGETS: LazyLock<Mutex<Budgets>> = LazyLock::new(Mutex::default);
        let place = [operation, region, endpoint].map(str::to_owned);
        let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.entry(place).or_insert_with(|| Self(Arc::new(Mutex::new(Budget::new(limit))))).clone()
    }

    pub async fn wait(&self) {
        let wait = self.with(Budget::take);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    pub fn throttled(&self) {
        self.with(Budget::throttled);
    }

    pub fn succeeded(&self) {
        self.with(Budget::succeeded);
    }

    fn with<T>(&self, change: impl FnOnce(&mut Budget, Duration) -> T) -> T {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), START.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let mut budget = Budget::new(10.0);
        assert!((0..10).all(|_| budget.take(at(0)).is_zero()));
        assert_eq!(budget.take(at(0)), at(100));
        assert_eq!(budget.take(at(0)), at(200));
        assert_eq!(budget.take(at(200)), at(100));
        assert!((0..10).all(|_| budget.take(at(60_000)).is_zero()), "rests are not saved up beyond a second");
        assert!(!budget.take(at(60_000)).is_zero());
    }

    #[test]
    fn throttling_halves_once_a_second_and_success_grows_back_to_the_limit() {
        let mut budget = Budget::new(10.0);
        for _ in 0..5 {
            budget.throttled(at(10));
        }
        assert_eq!(budget.rate, 5.0);
        assert_eq!(budget.take(at(10)), at(200));
        budget.throttled(at(1010));
        assert_eq!(budget.rate, 2.5);
        for second in 2..60 {
            budget.throttled(at(second * 1000 + 100));
        }
        assert_eq!(budget.rate, Budget::LEAST);
        for _ in 0..100 {
            budget.succeeded(at(60_000));
        }
        assert_eq!(budget.rate, 10.0);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_gives_nothing() {
        let mut budget = Budget::new(10.0);
        for _ in 0..10 {
            budget.take(at(1000));
        }
        assert_eq!(budget.take(at(500)), at(100));
        assert_eq!(budget.take(at(1000)), at(200));
    }

    #[test]
    fn one_place_has_one_budget() {
        let a = SharedBudget::of("DescribeStream", "test-1", "", 10.0);
        a.throttled();
        let b = SharedBudget::of("DescribeStream", "test-1", "", 10.0);
        let other = SharedBudget::of("DescribeStream", "test-2", "", 10.0);
        assert_eq!(b.with(|budget, _| budget.rate), 5.0);
        assert_eq!(other.with(|budget, _| budget.rate), 10.0);
    }
}
