//! One shard's subscription: called for when there is none, read when there is one, and called for
//! again behind the last event that was handed on.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::event::{Event, Reached};
use super::place::Place;
use super::session::{End, Session};
use crate::aws::errors::Call;
use crate::error::{Error, ErrorKind, Result};
use crate::page::Millis;

/// What the service demands of those who subscribe, and how long we wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long one fetch waits for an event. Its page's memory is set aside all the while.
    pub(super) wait: Duration,
    /// "You can call SubscribeToShard once per second per registered consumer per shard."
    pub(super) between_calls: Duration,
    /// "If you call SubscribeToShard again with the same ConsumerARN and ShardId within 5 seconds of
    /// a successful call, you'll get a ResourceInUseException" (both from the API reference).
    pub(super) after_success: Duration,
    /// Events come about every 5 seconds when there is no record. Listened to for this long without any, the
    /// connection is dead, whatever it says.
    pub(super) silence: Duration,
    /// The service ends a session after 5 minutes. One that goes on is ended by us, since only the
    /// beginning of a session tells the service's time.
    pub(super) longest: Duration,
    /// A registration is over within seconds; the service documents no limit.
    pub(super) registration: Duration,
    /// Who was subscribed this long without being disturbed is alone again.
    pub(super) alone: Duration,
}

impl Rules {
    pub(super) const OF_THE_SERVICE: Self = Self {
        wait: Duration::from_millis(200),
        between_calls: Duration::from_secs(1),
        after_success: Duration::from_secs(5),
        silence: Duration::from_secs(30),
        longest: Duration::from_secs(600),
        registration: Duration::from_secs(60),
        alone: Duration::from_secs(60),
    };
}

/// Refusals and takeovers in a row that still may be our own: a session that the service has not
/// noticed the end of.
const OWN_TRACES: u32 = 1;

#[derive(Debug)]
pub(super) struct Subscription {
    rules: Rules,
    state: State,
    /// The service is not called before.
    not_before: Instant,
    /// How often in a row somebody else had the subscription.
    in_use: u32,
}

#[derive(Debug)]
enum State {
    None,
    /// The call is under way; where it begins.
    Calling(Place, AbortOnDropHandle<Result<Session>>),
    /// Behind which event it is.
    Reading(Place, Session),
}

/// What a fetch brings.
#[derive(Debug)]
pub(super) enum Told {
    /// Nothing yet: neither an event nor the end of the session.
    Nothing,
    /// An event, where to go on behind it (`None`: the shard has ended), and the service's time
    /// before it was sent.
    Event(Event, Option<Place>, Option<Millis>),
}

impl Subscription {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, state: State::None, not_before: Instant::now(), in_use: 0 }
    }

    /// The next event behind `place`, as far as one comes before `deadline`.
    ///
    /// `subscribe` calls the service; `call` is what errors of the session name; `jitter` is in 0..1.
    pub(super) async fn next<S>(
        &mut self,
        place: &Place,
        deadline: Instant,
        subscribe: impl FnOnce(Place) -> S,
        call: &Call<'_>,
        jitter: f64,
    ) -> Result<Told>
    where
        S: Future<Output = Result<Session>> + Send + 'static,
    {
        if !self.is_at(place) {
            self.state = State::None;
        }
        if matches!(self.state, State::None) && !self.call(place, subscribe, deadline).await {
            return Ok(Told::Nothing);
        }
        if !self.answered(deadline, jitter).await? {
            return Ok(Told::Nothing);
        }
        self.listen(deadline, call, jitter).await
    }

    /// Whether what is under way goes on from here. After an error somewhere between this and the
    /// checkpoint it may be further, and then it is of no use.
    fn is_at(&self, place: &Place) -> bool {
        match &self.state {
            State::None => true,
            State::Calling(at, _) | State::Reading(at, _) => at == place,
        }
    }

    /// Calls for a session as soon as the service allows it. Says whether it did.
    async fn call<S>(&mut self, place: &Place, subscribe: impl FnOnce(Place) -> S, deadline: Instant) -> bool
    where
        S: Future<Output = Result<Session>> + Send + 'static,
    {
        tokio::time::sleep_until(self.not_before.min(deadline)).await;
        let now = Instant::now();
        if now < self.not_before {
            return false;
        }
        self.not_before = now + self.rules.between_calls;
        // The call outlives the fetch that makes it, so that a slow one holds no page's memory.
        let calling = AbortOnDropHandle::new(tokio::spawn(subscribe(place.clone())));
        self.state = State::Calling(place.clone(), calling);
        true
    }

    /// Waits for the call that is under way. Says whether there is a session now.
    async fn answered(&mut self, deadline: Instant, jitter: f64) -> Result<bool> {
        let State::Calling(place, calling) = &mut self.state else { return Ok(true) };
        let Ok(answer) = timeout_at(deadline, calling).await else { return Ok(false) };
        let place = place.clone();
        self.state = State::None;
        match answer {
            Ok(Ok(session)) => {
                self.not_before = session.began + self.rules.after_success.mul_f64(1.0 + 0.1 * jitter);
                self.state = State::Reading(place, session);
                Ok(true)
            }
            Ok(Err(error)) => self.refused(error, jitter).map(|()| false),
            Err(panic) => Err(Error::internal("a call for a subscription did not end").with_cause(panic)),
        }
    }

    /// Waits for an event of the session.
    async fn listen(&mut self, deadline: Instant, call: &Call<'_>, jitter: f64) -> Result<Told> {
        let State::Reading(place, session) = &mut self.state else { return Ok(Told::Nothing) };
        let began = Instant::now();
        match timeout_at(deadline, session.next(call)).await {
            Ok(Ok(event)) => {
                if session.began.elapsed() >= self.rules.alone {
                    self.in_use = 0;
                }
                let server_time = session.date;
                let next = event.reached.clone().map(|Reached(number)| {
                    place.pass(number);
                    place.clone()
                });
                if next.is_none() {
                    self.state = State::None;
                }
                Ok(Told::Event(event, next, server_time))
            }
            Ok(Err(End::Over)) => {
                self.state = State::None;
                Ok(Told::Nothing)
            }
            // The shard is gone, or the consumer: the answer to the next call tells which.
            Ok(Err(End::Failed(error))) if error.kind() == ErrorKind::NotFound => {
                self.state = State::None;
                Ok(Told::Nothing)
            }
            Ok(Err(End::Failed(error))) => {
                self.state = State::None;
                self.refused(error, jitter).map(|()| Told::Nothing)
            }
            Err(_) => self.heard_nothing(began.elapsed(), call),
        }
    }

    /// Nothing came in the time there was.
    fn heard_nothing(&mut self, listened: Duration, call: &Call<'_>) -> Result<Told> {
        let State::Reading(_, session) = &mut self.state else { return Ok(Told::Nothing) };
        let silence = session.heard_nothing(listened);
        if session.began.elapsed() >= self.rules.longest {
            self.state = State::None;
        } else if silence >= self.rules.silence {
            self.state = State::None;
            let silence = silence.as_secs_f64();
            let message = format!("{call} fell silent: no event came for {silence:.0} s");
            return Err(Error::new(ErrorKind::Connection, message));
        }
        Ok(Told::Nothing)
    }

    /// What the service's refusal means for the next call, in words for a person only where it
    /// is more than a trace of ourselves.
    fn refused(&mut self, error: Error, jitter: f64) -> Result<()> {
        let now = Instant::now();
        match error.code() {
            Some("ResourceInUseException") => {
                self.not_before = now + self.rules.after_success.mul_f64(1.0 + 0.5 * jitter);
                self.in_use += 1;
                if self.in_use <= OWN_TRACES {
                    return Ok(());
                }
                let message = format!(
                    "{error}; it happened {} times in a row, so another reader uses the same consumer: \
                     give every reader a fan_out of its own",
                    self.in_use
                );
                Err(Error::new(ErrorKind::InUse, message).with_code("ResourceInUseException"))
            }
            _ => {
                let pause = self.rules.between_calls.mul_f64(1.0 + jitter);
                self.not_before = self.not_before.max(now + pause);
                Err(error)
            }
        }
    }
}
