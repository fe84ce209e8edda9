//! The thin driver of a writer: requests under one token, at most so many at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::plan::{Outcome, Plan, Request};
use super::service::{Service, Weights};
use super::{Ending, Phase, Settings, Shared, State, closed, limits};
use crate::error::{Error, Result};

type Answers = JoinSet<(u64, Result<Vec<Outcome>>)>;

/// Opens, sends until the end, and says so; also when the task is cancelled.
pub(super) async fn run(
    settings: Settings,
    shared: Arc<Shared>,
    own: CancellationToken,
    root: CancellationToken,
) {
    let outcome = tokio::select! {
        outcome = work(settings, &shared) => outcome,
        () = own.cancelled() => Err(closed()),
        () = root.cancelled() => Err(closed()),
    };
    let mut state = shared.state();
    if let Err(error) = outcome {
        state.failure.get_or_insert(error);
    }
    state.phase = Phase::Closed;
    drop(state);
    (shared.wake)();
}

async fn work(settings: Settings, shared: &Shared) -> Result<()> {
    let (service, weights) = Service::open(&settings.place).await?;
    begin(shared, Plan::new(limits(&settings, weights), settings.seed), weights);
    send(&Arc::new(service), shared).await
}

fn begin(shared: &Shared, plan: Plan, weights: Weights) {
    let mut state = shared.state();
    state.plan = Some(plan);
    state.weights = Some(weights);
    state.phase = Phase::Open;
    drop(state);
    (shared.wake)();
}

async fn send(service: &Arc<Service>, shared: &Shared) -> Result<()> {
    let mut answers = Answers::new();
    loop {
        let Some(wake_at) = start(service, shared, &mut answers) else { return Ok(()) };
        let pause = async {
            match wake_at {
                Some(at) => sleep_until(shared.began + at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(answer) = answers.join_next() => hear(shared, answer),
            () = shared.changed.notified() => {}
            () = pause => {}
        }
    }
}

/// Sends what may be sent; gives the time to look again. `None`: there is nothing left to do.
fn start(service: &Arc<Service>, shared: &Shared, answers: &mut Answers) -> Option<Option<Duration>> {
    let mut state = shared.state();
    let stopped = state.failure.is_some() || state.ending == Some(Ending::Abandoned);
    let finished = state.ending.is_some() && state.plan.as_ref().is_none_or(Plan::is_empty);
    if (stopped || finished) && answers.is_empty() {
        return None;
    }
    let plan = state.plan.as_mut()?;
    if stopped {
        return Some(None);
    }
    while let Some(request) = plan.next(shared.began.elapsed()) {
        answers.spawn(ask(service.clone(), request));
    }
    Some(plan.wake_at())
}

async fn ask(service: Arc<Service>, request: Request) -> (u64, Result<Vec<Outcome>>) {
    (request.id, service.put(&request.entries).await)
}

fn hear(shared: &Shared, answer: Result<(u64, Result<Vec<Outcome>>), tokio::task::JoinError>) {
    let now = shared.began.elapsed();
    let mut state = shared.state();
    let settled = match answer {
        Ok((request, answer)) => settle(&mut state, request, answer, now),
        Err(cause) => Err(Error::internal("a request of the writer panicked").with_cause(cause)),
    };
    if let Err(error) = settled {
        state.failure.get_or_insert(error);
    }
    drop(state);
    (shared.wake)();
}

fn settle(state: &mut State, request: u64, answer: Result<Vec<Outcome>>, now: Duration) -> Result<()> {
    let Some(plan) = &mut state.plan else { return Ok(()) };
    match answer {
        Ok(outcomes) => plan.answered(request, &outcomes, now),
        Err(error) => plan.unanswered(request, &error, now),
    }
}
