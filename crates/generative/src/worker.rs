//! What is done about tasks: the paid call, the media, the check, the delivery. Each step is on the disk before the next.
//!
//! Three loops, each with places of its own, so that a slow provider delays no delivery and videos no pictures:
//! tasks that wait for a paid call, tasks whose call has been made (after a restart), and deliveries. A fourth removes
//! what is over.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adit_provenance::Format;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Checker, Verdict};
use crate::service::{
    FetchMediaError, JobId, Kind, Location, Plan, Progress, Provider, Reconciled, Service, ServiceError,
    Services, Started,
};
use crate::task::{
    Answer, Claim, Event, Job, JobTooLong, Media, MediaWriter, State, Store, StoreError, Task, UnixMs,
};
use crate::webhook::Webhook;
use crate::{Modality, Usd};

/// How often the queue is looked at where nothing says that it has changed: due times come, and other hosts change it.
const LOOK: Duration = Duration::from_millis(500);
/// Deliveries under way at once.
const DELIVERIES: usize = 8;
/// Paid calls for one task at most, the first included.
pub(crate) const ATTEMPTS: u32 = 3;
/// Pause before a call is made again that a provider did not carry out, unless it says how long.
const PAUSE: Duration = Duration::from_secs(2);
/// How long after a call in doubt its provider is asked for it.
const SETTLE: Duration = Duration::from_secs(5);
/// Pause after a check or a delivery that this host could not even try.
const LATER: Duration = Duration::from_secs(10);
/// So many tries find no media before these are given up: in the time between, other hosts copy what they have.
const COPYING: u32 = 3;
/// What is under way when the worker is told to stop has this long: the longest paid calls are pictures of a minute.
const DRAIN: Duration = Duration::from_secs(120);
/// How often what is over is removed.
pub(crate) const CLEANUP: Duration = Duration::from_secs(3600);
/// A job's provider that does not answer is asked again so long.
const UNANSWERED: u32 = 30;

/// How tasks are worked on.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Tasks in work at once (`MINER_MAX_CONCURRENT_TASKS`), 1 or more. Where pictures are made too, videos leave one
    /// place to them.
    pub concurrency: usize,
    /// How long a paid call with all that follows it may take (`MINER_TASK_TIMEOUT`).
    pub timeout: Duration,
    /// Whether another service is paid where one has failed.
    pub fail_over: bool,
    /// How long ended tasks and their media are kept, dead letters too; 24 h unless the operator says otherwise.
    pub keep: Duration,
    /// Whether delivered media stay in the output folder for good, each with a file that says what it is
    /// (`MINER_SAVE_LOCALLY`).
    pub save_locally: bool,
}

/// What works on tasks.
#[derive(Debug)]
pub struct Worker {
    store: Store,
    services: Services,
    checker: Checker,
    webhook: Webhook,
    rules: Rules,
    stopping: watch::Sender<bool>,
}

/// A provider's work, as it is kept between polls.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Handle {
    Job(JobId),
    Located(Location),
}

impl Handle {
    fn to_job(&self) -> Result<Job, JobTooLong> {
        Job::new(serde_json::to_string(self).unwrap_or_default())
    }
}

/// How one attempt ended without media.
enum Ended {
    Service(ServiceError),
    /// The media are not what a validator accepts.
    Unacceptable(String),
    /// They are paid for and cannot be had. Nobody is paid for others.
    Lost(String),
    OutOfTime,
    /// The miner stops. The next start goes on.
    Stopping,
    Store(StoreError),
}

impl From<ServiceError> for Ended {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<JobTooLong> for Ended {
    fn from(error: JobTooLong) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Worker {
    /// A worker on these tasks: who makes media, who says what a validator would say of them, and where they go.
    #[must_use]
    pub fn new(store: Store, services: Services, checker: Checker, webhook: Webhook, rules: Rules) -> Self {
        Self { store, services, checker, webhook, rules, stopping: watch::Sender::new(false) }
    }

    /// Works until `stop` is ready, or until a loop is gone, without which some tasks would wait for ever. Then until
    /// what is under way has come to a step from which the next start goes on: a paid call is waited for, a provider's
    /// job is not.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) {
        let places = |count: usize| Arc::new(Semaphore::new(count.max(1)));
        let concurrency = self.rules.concurrency;
        let pictures = self.services.chosen(Modality::Image).is_some();
        let videos = places(if pictures { concurrency.saturating_sub(1) } else { concurrency });
        let all = places(concurrency);
        let mut loops = JoinSet::new();
        loops.spawn(Arc::clone(&self).queue(Modality::Image, vec![Arc::clone(&all)]));
        loops.spawn(Arc::clone(&self).queue(Modality::Video, vec![videos, all]));
        loops.spawn(Arc::clone(&self).resume(places(concurrency)));
        loops.spawn(Arc::clone(&self).deliver(places(DELIVERIES)));
        loops.spawn(Arc::clone(&self).clean_up());
        self.tend(loops, stop).await;
    }

    async fn tend(&self, mut loops: JoinSet<()>, stop: impl Future<Output = ()>) {
        tokio::select! {
            // A loop ends by itself only where it panicked.
            Some(ended) = loops.join_next() => tracing::error!("work on tasks has come to an end: {ended:?}"),
            () = stop => {}
        }
        self.stopping.send_replace(true);
        if timeout(DRAIN, async { while loops.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(
                "some tasks did not come to a halt within {} s; the next start goes on",
                DRAIN.as_secs()
            );
        }
    }

    /// Ready when no more tasks are begun: told to stop, or a loop is gone.
    pub(crate) async fn stopping(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    async fn queue(self: Arc<Self>, modality: Modality, places: Vec<Arc<Semaphore>>) {
        let claim = |worker: Arc<Self>| async move { worker.store.claim_queued(modality).await };
        let work = |worker: Arc<Self>, claim| async move { worker.make(claim).await };
        self.each(&places, claim, work).await;
    }

    async fn resume(self: Arc<Self>, places: Arc<Semaphore>) {
        let claim = |worker: Arc<Self>| async move { worker.store.claim_paid().await };
        let work = |worker: Arc<Self>, claim| async move { worker.go_on(claim).await };
        self.each(&[places], claim, work).await;
    }

    async fn deliver(self: Arc<Self>, places: Arc<Semaphore>) {
        let claim = |worker: Arc<Self>| async move { worker.store.claim_delivery().await };
        let work = |worker: Arc<Self>, claim| async move { worker.try_to_deliver(claim).await };
        self.each(&[places], claim, work).await;
    }

    async fn clean_up(self: Arc<Self>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            let cleaning = self.store.clean_up(self.rules.keep, self.rules.save_locally);
            // Nothing is lost where it is cut short.
            tokio::select! {
                cleaned = cleaning => {
                    if let Err(error) = cleaned {
                        tracing::error!("not all that is over could be removed: {error}");
                    }
                }
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
            tokio::select! {
                () = sleep(CLEANUP) => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
    }

    /// Claims what there is, as long as there are places, and works on it.
    async fn each<C, W>(
        self: Arc<Self>,
        places: &[Arc<Semaphore>],
        claim: impl Fn(Arc<Self>) -> C,
        work: impl Fn(Arc<Self>, Claim) -> W,
    ) where
        C: Future<Output = Result<Option<Claim>, StoreError>>,
        W: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let mut changes = self.store.changes();
        let mut stopping = self.stopping.subscribe();
        let mut working = JoinSet::new();
        loop {
            let taken = tokio::select! {
                taken = take(places) => taken,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            let Some(held) = taken.filter(|_| !*self.stopping.borrow()) else { break };
            changes.mark_unchanged();
            match claim(Arc::clone(&self)).await {
                Ok(Some(claim)) => {
                    let id = claim.task().id;
                    let work = work(Arc::clone(&self), claim);
                    working.spawn(async move {
                        let _held = held;
                        match work.await {
                            Ok(()) => {}
                            Err(StoreError::ClaimLost(_)) => {
                                tracing::warn!(task = %id, "taken over by another host")
                            }
                            Err(error) => tracing::error!(task = %id, "{error}"),
                        }
                    });
                    while working.try_join_next().is_some() {}
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::error!("no task can be claimed: {error}"),
            }
            drop(held);
            tokio::select! {
                _ = timeout(LOOK, changes.changed()) => {}
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        while working.join_next().await.is_some() {}
    }

    /// Waits, unless the time is over before, or the miner stops.
    async fn wait(&self, pause: Duration, deadline: Instant) -> Result<(), Ended> {
        if Instant::now() + pause >= deadline {
            return Err(Ended::OutOfTime);
        }
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            () = sleep(pause) => Ok(()),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Ended::Stopping),
        }
    }

    fn now(&self) -> UnixMs {
        self.store.ledger().now()
    }

    /// A task that waits for its paid call.
    async fn make(&self, mut claim: Claim) -> Result<(), StoreError> {
        let task = claim.task().clone();
        if self.now() >= task.deliver_by {
            return self.store.apply(&mut claim, Event::Expire).await;
        }
        let Some(service) = self.service_for(&task) else {
            let why = format!("no service makes {}s any more", task.modality);
            return self.fail(&mut claim, why).await;
        };
        let plan = match plan(service, &task) {
            Ok(plan) => plan,
            Err(why) => return self.fail(&mut claim, why).await,
        };
        match self.store.call(&mut claim, service.provider().name(), &plan.model, plan.cost).await {
            Err(error @ StoreError::BudgetSpent { .. }) => {
                let tomorrow = (self.store.ledger().today().0 + 1) * 86_400_000;
                if tomorrow >= task.deliver_by {
                    return self.fail(&mut claim, error.to_string()).await;
                }
                let wait = Event::Postpone { due_at: tomorrow, why: error.to_string() };
                return self.store.apply(&mut claim, wait).await;
            }
            other => other?,
        }
        tracing::info!(task = %task.id, service = %service.provider(), model = plan.model, cost = %plan.cost, "calling");
        let deadline = Instant::now() + self.rules.timeout;
        let outcome = match service.start(&plan, deadline).await {
            Ok(Started::Media(bytes)) => self.keep(&mut claim, bytes, deadline).await,
            Ok(Started::Job(id)) => self.follow(&mut claim, service, Handle::Job(id), deadline).await,
            Ok(Started::Located(location)) => {
                self.follow(&mut claim, service, Handle::Located(location), deadline).await
            }
            Err(error) => Err(error.into()),
        };
        match outcome {
            Ok(()) => self.check(claim).await,
            Err(ended) => self.end(&mut claim, ended).await,
        }
    }

    /// The service for the next attempt: the one that was settled, as long as it may be paid, or the chosen one.
    fn service_for(&self, task: &Task) -> Option<&Service> {
        let named = |service: &&Service| task.next_service.as_deref() == Some(service.provider().name());
        self.may_be_paid(task.modality).find(named).or_else(|| self.services.chosen(task.modality))
    }

    /// The chosen service, and then, where the settings allow to move on, the others.
    fn may_be_paid(&self, modality: Modality) -> impl Iterator<Item = &Service> {
        let others = self.services.others(modality, SystemTime::now());
        self.services.chosen(modality).into_iter().chain(others.filter(|_| self.rules.fail_over))
    }

    /// Saves where a provider's work is, waits for it, and brings it.
    async fn follow(
        &self,
        claim: &mut Claim,
        service: &Service,
        handle: Handle,
        deadline: Instant,
    ) -> Result<(), Ended> {
        let job = handle.to_job()?;
        self.store.apply(claim, Event::Submitted { job }).await?;
        self.bring(claim, service, handle, deadline).await
    }

    async fn bring(
        &self,
        claim: &mut Claim,
        service: &Service,
        handle: Handle,
        deadline: Instant,
    ) -> Result<(), Ended> {
        let mut unanswered = 0;
        loop {
            let location = match &handle {
                Handle::Located(location) => location.clone(),
                Handle::Job(id) => match service.poll(id, deadline).await {
                    Ok(Progress::Ready(location)) => location,
                    Ok(Progress::Working) => {
                        unanswered = 0;
                        self.wait(service.provider().poll_interval(), deadline).await?;
                        continue;
                    }
                    Err(error) if error.kind.is_repeatable() && unanswered < UNANSWERED => {
                        unanswered += 1;
                        self.wait(error.retry_after.unwrap_or(service.provider().poll_interval()), deadline)
                            .await?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                },
            };
            match self.fetch(claim, service, &location, deadline).await {
                Err(Ended::Service(error))
                    if unanswered < UNANSWERED
                        && (error.kind.is_repeatable()
                            || (error.kind == Kind::Expired && matches!(handle, Handle::Job(_)))) =>
                {
                    unanswered += 1;
                    self.wait(error.retry_after.unwrap_or(PAUSE), deadline).await?;
                }
                other => return other,
            }
        }
    }

    async fn fetch(
        &self,
        claim: &mut Claim,
        service: &Service,
        location: &Location,
        deadline: Instant,
    ) -> Result<(), Ended> {
        let task = claim.task();
        let mut writer = self.store.output().create(task.id, task.modality).await?;
        let (ours, mut theirs) = tokio::io::duplex(256 * 1024);
        let modality = task.modality;
        let sending = async {
            let sent = service.fetch(location, modality, &mut theirs, deadline).await;
            let _ = theirs.shutdown().await;
            drop(theirs);
            sent
        };
        let (sent, written) = tokio::join!(sending, drain(ours, &mut writer));
        match sent {
            Err(FetchMediaError::Service(error)) => return Err(error.into()),
            // Whoever reads has gone, and says why.
            Err(FetchMediaError::Write(_)) | Ok(_) => written?,
        }
        let media = finish(writer).await?;
        Ok(self.store.apply(claim, Event::Fetched { media, cost: None }).await?)
    }

    /// Media that came with the answer to the paid call. They are nowhere else, so a disk that does not take them is
    /// tried again, also while the miner stops.
    async fn keep(&self, claim: &mut Claim, bytes: Bytes, deadline: Instant) -> Result<(), Ended> {
        let media = loop {
            match self.write(claim.task(), &bytes).await {
                Ok(media) => break media,
                Err(error) => {
                    tracing::error!(task = %claim.task().id, "its media cannot be written: {error}");
                    if Instant::now() + LATER >= deadline {
                        return Err(Ended::Lost("the media could not be written".to_owned()));
                    }
                    sleep(LATER).await;
                }
            }
        };
        Ok(self.store.apply(claim, Event::Fetched { media, cost: None }).await?)
    }

    async fn write(&self, task: &Task, bytes: &[u8]) -> Result<Media, StoreError> {
        let mut writer = self.store.output().create(task.id, task.modality).await?;
        writer.write(bytes).await?;
        finish(writer).await
    }

    /// What a validator would refuse is never sent as a success.
    async fn check(&self, mut claim: Claim) -> Result<(), StoreError> {
        let file = match self.store.media_file(claim.task()).await {
            Ok(file) => file,
            Err(error @ StoreError::MediaGone(..)) => {
                return self.end(&mut claim, Ended::Lost(error.to_string())).await;
            }
            Err(error) => return self.go_on_later(&mut claim, error.to_string()).await,
        };
        let sent_at = DateTime::<Utc>::from_timestamp_millis(claim.task().accepted_at);
        match self.checker.verdict(file, sent_at).await {
            Ok(Verdict::Accepted(words)) => {
                claim.judged(words);
                self.store.apply(&mut claim, Event::Checked).await
            }
            Ok(Verdict::Refused(why)) => {
                claim.judged(format!("refused: {why}"));
                self.end(&mut claim, Ended::Unacceptable(why)).await
            }
            Err(why) => self.go_on_later(&mut claim, why).await,
        }
    }

    /// This host failed, and no word is said against what was paid for: it goes on with that later, while there is time.
    async fn go_on_later(&self, claim: &mut Claim, why: String) -> Result<(), StoreError> {
        tracing::error!(task = %claim.task().id, "it cannot go on now: {why}");
        let due_at = self.now() + millis(LATER);
        if due_at >= claim.task().deliver_by {
            return self.fail(claim, why).await;
        }
        self.store.apply(claim, Event::Postpone { due_at, why }).await
    }

    /// An attempt that came to nothing: another one, or the report of it.
    async fn end(&self, claim: &mut Claim, ended: Ended) -> Result<(), StoreError> {
        let task = claim.task().clone();
        let provider = task.service.clone().unwrap_or_default();
        let (cost, why, again) = match ended {
            // The work is the provider's still, and paid for.
            Ended::Store(error)
                if task.state == State::Submitted && !matches!(error, StoreError::ClaimLost(_)) =>
            {
                return self.go_on_later(claim, error.to_string()).await;
            }
            Ended::Store(error) => return Err(error),
            Ended::Stopping => return Ok(()),
            Ended::Service(error) if error.kind == Kind::InDoubt && task.state == State::Calling => {
                tracing::warn!(task = %task.id, "{error}");
                let due_at = self.now() + millis(SETTLE);
                return self.store.apply(claim, Event::Doubt { due_at, why: error.to_string() }).await;
            }
            Ended::Service(error) => {
                let cost = if error.may_have_cost { None } else { Some(Usd(0)) };
                let again = match error.kind {
                    Kind::RateLimited | Kind::Transient if task.state == State::Calling => {
                        Again::Same(error.retry_after.unwrap_or(PAUSE * task.attempt))
                    }
                    Kind::Expired => Again::No,
                    _ => Again::Other,
                };
                (cost, error.to_string(), again)
            }
            Ended::Unacceptable(why) => {
                tracing::error!(task = %task.id, service = provider, "a validator would refuse this: {why}");
                (None, format!("{provider}: {why}"), Again::Other)
            }
            Ended::Lost(why) => (None, format!("{provider}: {why}"), Again::No),
            Ended::OutOfTime => {
                let why = format!("{provider} did not finish within {} s", self.rules.timeout.as_secs());
                (None, why, Again::Other)
            }
        };
        tracing::warn!(task = %task.id, "attempt {} came to nothing: {why}", task.attempt);
        let next = match again {
            Again::Same(pause) => Some((pause, provider)),
            Again::Other => {
                let mut names = self.may_be_paid(task.modality).map(|service| service.provider().name());
                let other = names.find(|name| *name != provider);
                other.map(|name| (Duration::ZERO, name.to_owned()))
            }
            Again::No => None,
        };
        let event = match next {
            Some((pause, next_service))
                if task.attempt < ATTEMPTS
                    && self.now() + millis(pause) + millis(self.rules.timeout) < task.deliver_by =>
            {
                let due_at = self.now() + millis(pause);
                Event::Retry { due_at, cost, why, next_service: Some(next_service) }
            }
            _ => Event::Fail { cost, why },
        };
        self.store.apply(claim, event).await
    }

    async fn fail(&self, claim: &mut Claim, why: String) -> Result<(), StoreError> {
        tracing::warn!(task = %claim.task().id, "there will be no media: {why}");
        self.store.apply(claim, Event::Fail { cost: None, why }).await
    }

    /// A task whose paid call has been made before, by a worker that is no more.
    async fn go_on(&self, mut claim: Claim) -> Result<(), StoreError> {
        let task = claim.task().clone();
        let service =
            task.service.as_deref().and_then(Provider::named).and_then(|named| self.services.get(named));
        let deadline = Instant::now() + self.rules.timeout;
        match (task.state, service) {
            (State::Fetched, _) => self.check(claim).await,
            (State::Submitted, Some(service)) => {
                let handle = task.job.as_ref().and_then(|job| serde_json::from_str(job.as_str()).ok());
                let outcome = match handle {
                    Some(handle) => self.bring(&mut claim, service, handle, deadline).await,
                    None => return self.fail(&mut claim, "its job's name cannot be read".to_owned()).await,
                };
                match outcome {
                    Ok(()) => self.check(claim).await,
                    Err(ended) => self.end(&mut claim, ended).await,
                }
            }
            (State::Unknown, Some(service)) => self.reconcile(claim, service, deadline).await,
            _ => {
                let why = format!("{} has no key any more", task.service.as_deref().unwrap_or("its service"));
                self.fail(&mut claim, why).await
            }
        }
    }

    /// A paid call in doubt is asked for where that is possible, and never made again.
    async fn reconcile(
        &self,
        mut claim: Claim,
        service: &Service,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let task = claim.task().clone();
        let asked =
            SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(task.accepted_at).unwrap_or(0));
        let found = match plan(service, &task) {
            Ok(plan) => service.reconcile(&plan, asked, deadline).await,
            Err(_) => Ok(Reconciled::Unknown),
        };
        match found {
            Ok(Reconciled::Found(id)) if !self.is_known(service, &id).await? => {
                tracing::info!(task = %task.id, job = id.as_str(), "the call in doubt was carried out");
                match self.follow(&mut claim, service, Handle::Job(id), deadline).await {
                    Ok(()) => self.check(claim).await,
                    Err(ended) => self.end(&mut claim, ended).await,
                }
            }
            Ok(_) => {
                let why =
                    "a crash or a lost connection left it in doubt whether the service was paid for this";
                self.fail(&mut claim, why.to_owned()).await
            }
            Err(error)
                if error.kind.is_repeatable()
                    && self.now() + millis(self.rules.timeout) < task.deliver_by =>
            {
                let due_at = self.now() + millis(error.retry_after.unwrap_or(SETTLE));
                self.store.apply(&mut claim, Event::Postpone { due_at, why: error.to_string() }).await
            }
            Err(error) => self.fail(&mut claim, error.to_string()).await,
        }
    }

    /// Whether another task has this job: two may have the same prompt.
    async fn is_known(&self, service: &Service, id: &JobId) -> Result<bool, StoreError> {
        // An id is short, and always fits.
        let Ok(job) = Handle::Job(id.clone()).to_job() else { return Ok(false) };
        self.store.ledger().knows_job(service.provider().name(), &job).await
    }

    /// One try.
    async fn try_to_deliver(&self, mut claim: Claim) -> Result<(), StoreError> {
        self.store.apply(&mut claim, Event::Try).await?;
        let task = claim.task().clone();
        let now = self.now();
        // What the disk or the database refuses now it may give later. What is gone is gone, unless another host is
        // about to copy it for this one.
        let later = |why: String| Answer::Later { due_at: now + millis(LATER), why };
        let answer = match (&task.failure, &task.media) {
            (Some(why), _) => self.webhook.failure(&task, why, now).await,
            (None, Some(media)) => match self.store.media_file(&task).await {
                Ok(file) => {
                    let sent = self.webhook.media(&task, media, &file, now).await;
                    sent.unwrap_or_else(|error| later(error.to_string()))
                }
                Err(error @ StoreError::MediaGone(..)) if task.tries > COPYING => {
                    Answer::Undeliverable(error.to_string())
                }
                Err(error) => later(error.to_string()),
            },
            (None, None) => Answer::Undeliverable("there is nothing to deliver".to_owned()),
        };
        tracing::info!(task = %task.id, try_number = task.tries, ?answer, "delivery");
        self.store.apply(&mut claim, Event::Answered(answer)).await?;
        if self.rules.save_locally && claim.task().state == State::Delivered {
            // Where the disk does not take it now, it is written before the task is removed.
            if let Err(error) = self.store.output().save_sidecar(claim.task()).await {
                tracing::warn!(task = %task.id, "what was saved cannot be described: {error}");
            }
        }
        Ok(())
    }
}

enum Again {
    /// The same call, after a pause.
    Same(Duration),
    /// Another service, where there is one.
    Other,
    No,
}

fn plan(service: &Service, task: &Task) -> Result<Plan, String> {
    let none = Map::new();
    let parameters = task.request.parameters.as_object().unwrap_or(&none);
    let plan =
        service.plan(task.modality, &task.request.prompt, parameters).map_err(|error| error.to_string())?;
    match service.flaw(task.modality, &plan.model, SystemTime::now()) {
        Some(flaw) => Err(flaw.to_string()),
        None => Ok(plan),
    }
}

/// Puts media in their place.
async fn finish(writer: MediaWriter) -> Result<Media, StoreError> {
    let extension = Format::detect(writer.head()).extension();
    writer.finish(extension).await
}

/// Writes what comes. Where the disk does not take it, the sender is told by the pipe's end.
async fn drain(mut from: DuplexStream, to: &mut MediaWriter) -> Result<(), StoreError> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => to.write(&piece[..read]).await?,
        }
    }
}

/// A permit of each.
async fn take(places: &[Arc<Semaphore>]) -> Option<Vec<OwnedSemaphorePermit>> {
    let mut held = Vec::with_capacity(places.len());
    for place in places {
        held.push(Arc::clone(place).acquire_owned().await.ok()?);
    }
    Some(held)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use adit_keys::Keypair;
    use adit_outbound::{AddressGuard, Client};
    use adit_settings::Environment;

    use super::*;
    use crate::task::{Address, Config};

    async fn worker(folder: &tempfile::TempDir) -> Worker {
        let store = Store::open(Config {
            database: Address::Sqlite(folder.path().join("tasks.db")),
            output_dir: folder.path().join("media"),
            queue: 1,
            daily_budget: None,
            journal: None,
        });
        let environment = Environment::layered([], None).unwrap();
        let services = Services::from_environment(&environment, SystemTime::now()).unwrap();
        let client = Client::new(AddressGuard::public_only()).unwrap();
        let webhook = Webhook::new(Arc::new(Keypair::generate()), client);
        let (timeout, keep) = (Duration::from_secs(1), Duration::from_secs(1));
        let rules = Rules { concurrency: 1, timeout, fail_over: false, keep, save_locally: false };
        Worker::new(store.await.unwrap(), services, Checker::Here(Vec::new()), webhook, rules)
    }

    #[tokio::test]
    async fn where_a_loop_is_gone_the_others_stop_and_let_paid_calls_end() {
        let folder = tempfile::tempdir().unwrap();
        let worker = Arc::new(worker(&folder).await);
        let (paid, mut is_paid) = watch::channel(false);
        let mut loops = JoinSet::new();
        let other = Arc::clone(&worker);
        loops.spawn(async move {
            other.stopping().await;
            sleep(Duration::from_millis(200)).await;
            paid.send_replace(true);
        });
        loops.spawn(async { panic!("as the test asked") });
        timeout(Duration::from_secs(30), worker.tend(loops, pending())).await.unwrap();
        assert!(*is_paid.borrow_and_update(), "a paid call was cut short");
        worker.store.clone().close().await.unwrap();
    }
}
