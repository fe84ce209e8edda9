//! Feeds events to the `Run` and carries out its actions.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::opening::open;
use super::store::{Job, Store};
use super::thread::broken_task;
use super::{Command, Plan, Shared, Tokens, Told, closed};
use crate::error::{Error, Result};
use crate::run::{Action, Event, Now, Run};
use crate::source::Source;

const READY: &str =
    "ready: the snapshot is complete, and every change made up to its end has been handed out";

/// How long what the consumer did may wait to be heard.
const MOMENT: Duration = Duration::from_millis(1);

/// Opens a stream and runs it until it is closed.
pub(super) async fn drive(
    plan: Plan,
    shared: Arc<Shared>,
    mut commands: mpsc::UnboundedReceiver<Command>,
    tokens: Tokens,
) -> Result<()> {
    let (saved, saves) = mpsc::unbounded_channel();
    let mut store = None;
    let opening = open(plan, &shared, saved, &mut store);
    let opened = tokio::select! {
        opened = opening => opened,
        () = closing(&mut commands) => Err(closed()),
        () = tokens.cancelled() => Err(closed()),
    };
    let result = match opened {
        Ok(source) => {
            let mut driver = Driver::new(source, shared.clone(), store.take());
            let result = tokio::select! {
                result = driver.run(&mut commands, saves) => result,
                () = tokens.cancelled() => Err(closed()),
            };
            store = driver.let_go().await;
            result
        }
        Err(error) => Err(error),
    };
    if let Some(store) = store {
        let words = store.close().await;
        shared.front().last_words = words;
    }
    result
}

/// Resolves when the consumer closes the stream, or dropped it. There is nothing else to do yet.
async fn closing(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = commands.recv().await {
        if matches!(command, Command::Close) {
            return;
        }
    }
}

struct Driver {
    source: Arc<dyn Source>,
    shared: Arc<Shared>,
    store: Option<Store>,
    tasks: JoinSet<Event>,
    tickets: Vec<(u64, oneshot::Sender<Result<()>>)>,
    /// After `Fail` and `End` nothing is read any more; what was handed out may still be saved.
    over: bool,
    closing: Option<oneshot::Receiver<Result<()>>>,
    /// When what the consumer told is heard at the latest.
    listens_until: Option<Instant>,
}

impl Driver {
    fn new(source: Arc<dyn Source>, shared: Arc<Shared>, store: Option<Store>) -> Self {
        Self {
            source,
            shared,
            store,
            tasks: JoinSet::new(),
            tickets: Vec::new(),
            over: false,
            closing: None,
            listens_until: None,
        }
    }

    /// Returns when the stream was closed and everything done is durable.
    async fn run(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        mut saves: mpsc::UnboundedReceiver<Event>,
    ) -> Result<()> {
        let actions = self.with_run(|run, now| run.start(now));
        self.carry_out(actions);
        loop {
            if let Some(outcome) = self.closing.as_mut().and_then(|end| end.try_recv().ok()) {
                return outcome;
            }
            let deadline = self.deadline();
            tokio::select! {
                Some(command) = commands.recv() => self.obey(command),
                Some(event) = saves.recv() => self.saved(event),
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => match done {
                    Ok(event) => self.answered(event),
                    Err(error) if error.is_panic() => self.fail(broken_task(error)),
                    Err(_) => {}
                },
                () = self.shared.told.notified() => self.listen(),
                () = wait_until(deadline) => self.tick(),
            }
        }
    }

    /// What the consumer did can wait a moment for more of it, unless somebody waits for what follows.
    fn listen(&mut self) {
        if self.shared.front().is_urgent() {
            self.hear_told();
        } else {
            self.listens_until.get_or_insert_with(|| Instant::now() + MOMENT);
        }
    }

    fn hear_told(&mut self) {
        self.listens_until = None;
        let told = std::mem::take(&mut self.shared.front().told);
        let taken = told.iter().filter(|told| matches!(told, Told::Taken(_))).count();
        told.into_iter().for_each(|told| self.step(told.into()));
        if taken > 0 && self.heard_last(taken) {
            (self.shared.wake)();
        }
    }

    /// Counts batches as heard of. Says whether they were the last ones of a stream that is over: only
    /// then is it certain what taking them meant.
    fn heard_last(&self, taken: usize) -> bool {
        let mut front = self.shared.front();
        front.unheard = front.unheard.saturating_sub(taken);
        front.unheard == 0 && front.outcome.is_some()
    }

    fn answered(&mut self, event: Event) {
        self.hear_told();
        self.step(event);
    }

    fn tick(&mut self) {
        self.hear_told();
        self.step(Event::Tick);
    }

    /// What was told before the command comes before it.
    fn obey(&mut self, command: Command) {
        self.hear_told();
        match command {
            Command::Save => self.step(Event::Flush),
            Command::Saved(through) => self.step(Event::Saved { through, result: Ok(()) }),
            Command::Flush(ticket) => self.flush(ticket),
            Command::State(answer) => {
                let state = self.with_run(|run, _| run.state());
                let _ = answer.send(Ok(state));
                (self.shared.wake)();
            }
            Command::Gaps(answer) => self.ask_store(Job::Gaps(answer)),
            Command::Quarantined(answer) => self.ask_store(Job::Quarantined(answer)),
            Command::Close => self.close(),
        }
    }

    fn step(&mut self, event: Event) {
        // A page takes its time to decode: meanwhile the request for the next one is on its way.
        if let Some(ahead) = self.with_run(|run, now| run.ask_ahead(&event, now)) {
            self.ask_source(ahead);
        }
        let actions = self.with_run(|run, now| run.step(event, now));
        self.carry_out(actions);
        self.resolve_tickets();
    }

    fn saved(&mut self, event: Event) {
        let failed = match &event {
            Event::Saved { result: Err(error), .. } => Some(error.clone()),
            _ => None,
        };
        self.step(event);
        if let Some(error) = failed {
            self.refuse_tickets(&error);
        }
    }

    fn flush(&mut self, ticket: oneshot::Sender<Result<()>>) {
        self.step(Event::Flush);
        // Before the stream is open nothing was handed out, and nothing will be saved.
        let unsaved = self.with_run(|run, _| run.unsaved_through().filter(|_| run.is_open()));
        match unsaved {
            Some(through) if self.store.is_some() => self.tickets.push((through, ticket)),
            _ => self.answer(ticket, Ok(())),
        }
    }

    fn close(&mut self) {
        if self.closing.is_none() {
            let (ticket, end) = oneshot::channel();
            self.closing = Some(end);
            self.flush(ticket);
        }
    }

    fn resolve_tickets(&mut self) {
        let saved = self.with_run(|run, _| run.saved_through());
        for (_, ticket) in self.tickets.extract_if(.., |(through, _)| *through <= saved).collect::<Vec<_>>() {
            self.answer(ticket, Ok(()));
        }
    }

    fn refuse_tickets(&mut self, error: &Error) {
        for (_, ticket) in std::mem::take(&mut self.tickets) {
            self.answer(ticket, Err(error.clone()));
        }
    }

    fn answer(&self, ticket: oneshot::Sender<Result<()>>, result: Result<()>) {
        let _ = ticket.send(result);
        (self.shared.wake)();
    }

    fn ask_store(&self, job: Job) {
        if let Some(store) = &self.store {
            store.send(job);
        } else {
            drop(job);
            (self.shared.wake)();
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        // Who sees that the stream has ended must see, too, whether it was ready.
        self.tell_ready();
        for action in actions {
            self.act(action);
        }
        let open = self.with_run(|run, _| run.is_open());
        let mut front = self.shared.front();
        if open && front.opened.is_none() {
            front.opened = Some(Ok(()));
            drop(front);
            (self.shared.wake)();
        }
    }

    fn tell_ready(&self) {
        let ready = self.with_run(|run, _| run.is_ready());
        let mut front = self.shared.front();
        if ready == front.ready {
            return;
        }
        front.ready = ready;
        // A stream that is ready from the first has nothing to announce.
        if ready && matches!(front.opened, Some(Ok(()))) {
            self.shared.log(&mut front, |log| log.inform(READY));
        }
        drop(front);
        (self.shared.wake)();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Save(save) => match &self.store {
                Some(store) => store.send(Job::Save(save)),
                None => {
                    self.fail(Error::internal("a save was asked for although a loader keeps the checkpoint"))
                }
            },
            Action::Warn(line) => {
                self.shared.log(&mut self.shared.front(), |log| log.warn(line));
                (self.shared.wake)();
            }
            Action::Fail(error) => self.fail(error),
            Action::End => self.end(Ok(())),
            _ if self.over => {}
            Action::Emit(batch) => {
                self.shared.front().queue.push_back(batch.into());
                (self.shared.wake)();
            }
            Action::List { .. }
            | Action::Open { .. }
            | Action::Fetch { .. }
            | Action::Scan(_)
            | Action::Describe => self.ask_source(action),
        }
    }

    fn ask_source(&mut self, action: Action) {
        let source = self.source.clone();
        self.tasks.spawn(async move {
            match action {
                Action::List { stream, scope } => {
                    let result = source.list(&stream, &scope).await;
                    Event::Listed { scope, result }
                }
                Action::Open { stream, shard, at } => {
                    let result = source.open(&stream, &shard, &at).await;
                    Event::Opened { shard, result }
                }
                Action::Fetch { shard, cursor } => {
                    let result = source.fetch(&shard, &cursor).await;
                    Event::Fetched { shard, cursor, result }
                }
                Action::Scan(request) => {
                    let result = source.scan(&request).await;
                    Event::Scanned { segment: request.segment, result }
                }
                _ => Event::Described(source.describe().await),
            }
        });
    }

    fn fail(&mut self, error: Error) {
        self.end(Err(error));
    }

    fn end(&mut self, outcome: Result<()>) {
        self.over = true;
        self.tasks.abort_all();
        let mut front = self.shared.front();
        if let Err(error) = &outcome {
            front.opened.get_or_insert_with(|| Err(error.clone()));
        }
        front.outcome.get_or_insert(outcome);
        drop(front);
        (self.shared.wake)();
    }

    fn with_run<T>(&self, work: impl FnOnce(&mut Run, Now) -> T) -> T {
        let mut run = self.shared.run();
        let now = self.shared.began.elapsed();
        work(run.as_mut().expect("the run exists while the driver does"), now)
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.with_run(|run, _| run.deadline()).map(|after| self.shared.began + after);
        [due, self.listens_until].into_iter().flatten().min()
    }

    async fn let_go(mut self) -> Option<Store> {
        self.tasks.shutdown().await;
        self.store.take()
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
